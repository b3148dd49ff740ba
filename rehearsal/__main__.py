"""`python -m rehearsal`: runs the command under a supervisor, which cleans up after it."""

import gc
import sys

from simulators.supervisor import supervised


def _run() -> int:
    # With Python's default, a tenth of this process's time goes into collecting garbage.
    gc.set_threshold(50_000)
    # Imported here: the supervisor forks, and needs none of it.
    import typer

    from rehearsal import clean_environment

    clean_environment.enter()
    from rehearsal.command import main

    typer.run(main)
    return 0


if __name__ == "__main__":
    sys.exit(supervised(_run))
