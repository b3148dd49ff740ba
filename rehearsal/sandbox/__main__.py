"""`make sandbox`: the command, below its guardian."""

import shutil
import sys
from pathlib import Path

from simulators.guardian import guarded

_BUILD = Path(__file__).resolve().parents[2] / "build"
_FAILED = 1


def _run() -> int:
    # Only here: the guardian, which forks, needs none of it.
    import typer

    from rehearsal import clean_environment

    clean_environment.enter()
    from rehearsal.sandbox.command import main

    typer.run(main)
    return 0


def _guarded() -> int:
    code = guarded(_run)
    if code != 2:  # Of wrong input: another sandbox may run.
        # Also when it was killed: a file that names no sandbox would stop `./infra`.
        (_BUILD / "sandbox.json").unlink(missing_ok=True)
        if code != _FAILED:
            shutil.rmtree(_BUILD / "sandbox", ignore_errors=True)
    return code


if __name__ == "__main__":
    # In the background it has a guardian there.
    sys.exit(_run() if "--keep" in sys.argv else _guarded())
