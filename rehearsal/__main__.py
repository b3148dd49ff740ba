"""`python -m rehearsal`: the command, below its guardian."""

import gc
import sys

from simulators.guardian import guarded


def _run() -> int:
    # With Python's default, a tenth of this process's time goes into collecting garbage.
    gc.set_threshold(50_000)
    # Only here: the guardian, which forks, needs none of it.
    import typer

    from rehearsal import clean_environment

    clean_environment.enter()
    from rehearsal.command import main

    typer.run(main)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(_run))
