"""`make rehearse`: the whole production on this machine, with no account and no network."""

import os
import signal
import sys
import time
from typing import Annotated

# jsii and the CLI would otherwise print about the age of Node 20 in every process.
os.environ.setdefault("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION", "20")

import typer
from rich.console import Console

from config import InvalidEnvironments, available, load
from rehearsal.cdk_cli import CdkFailed
from rehearsal.emulator_process import EmulatorError
from rehearsal.life import WORKSPACES, live
from rehearsal.lint import LintFailed
from rehearsal.stage import Progress


def main(
    environment: Annotated[str, typer.Argument(help=f"{', '.join(available())}, or all")] = "production",
) -> None:
    """Deploy an environment into an embedded emulator, read back what was promised, update, roll back, destroy."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    try:
        environments = load([] if environment == "all" else [environment])
    except InvalidEnvironments as invalid:
        print(invalid, file=sys.stderr)
        raise typer.Exit(2) from None
    started, broken = time.monotonic(), []
    for name, each in environments.items():
        try:
            outcome = live(name, each, Progress(console))
        except (CdkFailed, EmulatorError, LintFailed) as failed:
            console.print(f"[red]{name} failed:[/] {failed}", highlight=False, markup=True)
            raise typer.Exit(1) from None
        broken += [f"{name}: {line}" for line in outcome.broken]
    kept = "every promise that can be shown here was kept" if not broken else f"{len(broken)} broken"
    console.print(f"\n{', '.join(environments)}: {kept}; {time.monotonic() - started:.0f} s. Logs: {WORKSPACES}")
    for line in broken:
        console.print(f"[red]BROKEN[/] {line}", highlight=False)
    raise typer.Exit(1 if broken else 0)


if __name__ == "__main__":
    # A TERM ends like a Ctrl-C: by way of every `finally`, so that no emulator is left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    typer.run(main)
