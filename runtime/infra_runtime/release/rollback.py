"""Which release a service can go back to, what the database has since lost of it, and which releases then wait."""

from collections.abc import Sequence

from infra_runtime.release.ledger import Release


class CannotGoBack(Exception):
    """There is no such release, or none before the one that runs."""


def choose(releases: Sequence[Release], wanted: str | None, running: str) -> tuple[Release, Release]:
    """(the one that runs, the one to go back to) of `releases`, newest first; `wanted` is an id.

    Only releases that succeeded count: the others never served users. Raises `CannotGoBack`.
    """
    done = [each for each in releases if each.outcome == "succeeded"]
    current = next((each for each in done if each.image == running), None)
    if current is None:
        raise CannotGoBack("the image that runs has no successful release in the ledger: release an image instead")
    if wanted is not None:
        target = next((each for each in done if each.id == wanted), None)
        if target is None:
            known = ", ".join(each.id for each in done[:5])
            raise CannotGoBack(f"RELEASE {wanted!r}: expected one that succeeded: {known}")
        if target.image == running:
            raise CannotGoBack(f"RELEASE {wanted!r}: expected another image than the one that runs")
        return current, target
    earlier = [each for each in done[done.index(current) + 1 :] if each.image != running]
    # A rollback of a rollback goes further back, not forward: to what ran before the release that it went back to.
    if current.kind == "rollback":
        first = next(each for each in reversed(done) if each.image == running)
        earlier = [each for each in earlier if each.id < first.id]
    if not earlier:
        raise CannotGoBack(f"nothing was released successfully before {current.id}")
    return current, earlier[0]


def lost_since(releases: Sequence[Release], target: Release) -> list[str]:
    """What the target needs and later migrations have removed, those of failed releases included."""
    first = min(each.id for each in releases if each.image == target.image)
    since = [each for each in reversed(releases) if each.id > first and each.migration]
    lost = [f"{each.id}: {what}" for each in since for what in each.breaks]
    if since and since[-1].migration.get("interrupted"):
        lost.append(f"{since[-1].id}: unknown: its migration was stopped, and no release has compared the schema since")
    return lost


def holding(releases: Sequence[Release]) -> Release | None:
    """The rollback or stop that makes pipelines wait; None when there is none, or when releases were resumed."""
    newest = next((each for each in releases if each.kind == "rollback" or each.stopped is not None), None)
    return newest if newest is not None and newest.resumed is None else None
