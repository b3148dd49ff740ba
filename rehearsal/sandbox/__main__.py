"""`make sandbox`: runs the command under a supervisor, which cleans up after it."""

import shutil
import sys
from pathlib import Path

from simulators.supervisor import supervised

_BUILD = Path(__file__).resolve().parents[2] / "build"
_FAILED = 1


def _run() -> int:
    # Imported here: the supervisor forks, and needs none of it.
    import typer

    from rehearsal import clean_environment

    clean_environment.enter()
    from rehearsal.sandbox.command import main

    typer.run(main)
    return 0


def _supervised() -> int:
    code = supervised(_run)
    if code != 2:  # Wrong input: another sandbox may be running.
        # Also after SIGKILL: `./infra` would fail with a file of a sandbox that has ended.
        (_BUILD / "sandbox.json").unlink(missing_ok=True)
        if code != _FAILED:
            shutil.rmtree(_BUILD / "sandbox", ignore_errors=True)
    return code


if __name__ == "__main__":
    # `--keep` starts it in the background, where it has its own supervisor.
    sys.exit(_run() if "--keep" in sys.argv else _supervised())
