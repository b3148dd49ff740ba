"""Which of two releases has the older commit, by the run numbers of GitHub's workflows.

Not by when an image was pushed: of two pushes in quick succession the second may be built first, and running an old
workflow again pushes a new image of old code. A person who releases by hand knows what they do: only what the ledger
has is compared then.
"""

import re
from collections.abc import Sequence

from infra_runtime.release.ledger import Release

# A workflow's file, and the number of its run, which grows with each push and stays when it is run again
# (GitHub docs, variables reference: GITHUB_WORKFLOW_REF, GITHUB_RUN_NUMBER).
_RUN = re.compile(r".{1,300}#[0-9]{1,18}")


def run_of(said: object) -> str | None:
    """WORKFLOW#NUMBER as the caller says it; None outside of a workflow. Raises `ValueError`."""
    if said is None or (isinstance(said, str) and _RUN.fullmatch(said)):
        return said
    raise ValueError(f"run {said!r}: expected WORKFLOW#NUMBER")


def why_older(releases: Sequence[Release], image: str, run: str | None, running: str) -> tuple[str, str] | None:
    """(what, what to do) when `image` is older than the `running` one; `releases` are the ledger's, newest first."""
    done = [each for each in releases if each.outcome == "succeeded"]
    of_running = [each for each in done if each.image == running]
    if not of_running or image == running:
        return None
    served = next((each.run for each in of_running if each.run), None)
    if run is not None and served is not None:
        (workflow, number), (other, newest) = (each.rsplit("#", 1) for each in (run, served))
        if workflow == other and int(number) >= int(newest):
            return None
        if workflow == other:
            what = f"{run} is older than #{newest}, which has released what runs"
            return what, "infra rollback ENV goes back; a release takes a newer commit"
    before = next((each for each in reversed(done) if each.image == image), None)
    if before is not None and before.id < of_running[-1].id:
        what = f"{before.id} has released it before {of_running[-1].id} released what runs"
        return what, f"infra rollback ENV {before.id} goes back, and compares the schema"
    return None
