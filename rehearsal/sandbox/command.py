"""`make sandbox`: a rehearsed environment that stays up."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from config import InvalidEnvironments, available, load
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.sandbox import FAULTS, FILE, Sandbox
from ops.sandbox import running as running_sandbox
from rehearsal.cdk_cli import CdkFailed
from rehearsal.lock import AlreadyRunning, locked
from rehearsal.progress import Progress
from rehearsal.sandbox.lifecycle import follow, sandbox
from simulators.aws.process import ROOT, EmulatorError

WORKSPACES = ROOT / "build" / "sandbox"
_POLL_SECONDS = 0.3


def main(
    environment: Annotated[str, typer.Argument(help=", ".join(available()))] = "dev",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave it running after Ctrl-C; the next call finds it again.")
    ] = False,
) -> None:
    """Deploy an environment into the emulators and keep it up, with a page and `./infra`, until Ctrl-C."""
    console = Console(markup=True, width=None if sys.stdout.isatty() else 140)
    try:
        load([environment])
        other = running_sandbox()
        if other is not None and (other.environment != environment or not keep):
            raise InputError(
                f"a sandbox of {other.environment} runs in this clone: {other.page}; to end it: ./infra sandbox end"
            )
        if keep:
            _in_the_background(environment, other, console)
        else:
            _in_the_foreground(environment, console)
    except (InvalidEnvironments, InputError, AlreadyRunning) as invalid:
        print(invalid, file=sys.stderr)
        raise typer.Exit(2) from None


def _in_the_foreground(environment: str, console: Console) -> None:
    began, workspace = time.monotonic(), WORKSPACES / environment
    with ExitStack() as stack:
        stack.enter_context(locked("sandbox", folder=ROOT / "build"))
        shutil.rmtree(workspace, ignore_errors=True)
        workspace.mkdir(parents=True)
        try:
            up = stack.enter_context(sandbox(environment, workspace, Progress(console)))
        except (CdkFailed, EmulatorError, OperatorError) as failed:
            console.print(f"[red]{environment} failed:[/] {escape(str(failed))}\nlogs: {workspace}", highlight=False)
            raise typer.Exit(1) from None
        _explain(up, console, f"up after {time.monotonic() - began:.0f} s", "Ctrl-C ends it and removes everything")
        follow(up, console)


def _in_the_background(environment: str, known: Sandbox | None, console: Console) -> None:
    began = time.monotonic()
    try:
        up = known or _start(environment, console)
        what = "runs already" if known else f"up after {time.monotonic() - began:.0f} s"
        _explain(up, console, what, "Ctrl-C leaves it running; to end it: ./infra sandbox end")
        follow(up, console)
    except KeyboardInterrupt:
        console.print(f"\nit goes on; to come back: make sandbox ENV={environment} KEEP=1", highlight=False)


def _start(environment: str, console: Console) -> Sandbox:
    """Starts the sandbox as a separate process, which survives the terminal."""
    log = WORKSPACES / "log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "rehearsal.sandbox", environment],
            cwd=ROOT,
            # It must survive this `make`.
            env={name: value for name, value in os.environ.items() if name != "MAKELEVEL"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    said = 0
    while True:
        said = _copied(log, said, console)
        if process.poll() is not None:
            raise typer.Exit(process.returncode)
        if FILE.exists() and (found := running_sandbox()) is not None:
            return found
        time.sleep(_POLL_SECONDS)


def _copied(log: Path, said: int, console: Console) -> int:
    text = log.read_text(errors="replace")
    if new := text[said:].rpartition("\n")[0]:
        console.print(new, markup=False, highlight=False)
        said += len(new) + 1
    return said


def _explain(up: Sandbox, console: Console, what: str, how_it_ends: str) -> None:
    lines = [
        f"\n[bold]{what}:[/] {up.page}",
        *(f"  {name:12} {address}" for name, address in up.read("addresses").items()),
        "\nin another terminal of this clone:",
        f"  ./infra status {up.environment}",
        f"  ./infra sandbox break {'|'.join(FAULTS)}",
        "  ./infra sandbox repair",
        f"\n{how_it_ends}. Alarms that change:",
    ]
    for line in lines:
        console.print(line, highlight=False)
