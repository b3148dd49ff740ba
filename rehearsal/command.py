"""`make rehearse`: deploys a whole environment on this machine, without account and network."""

import sys
import tempfile
import time
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from config import ENVIRONMENTS, Environment, InvalidEnvironments, available, load
from ops.console import Console
from ops.errors import InputError, OperatorError
from rehearsal.account import main_service
from rehearsal.cdk_cli import CdkFailed
from rehearsal.lifecycle import WORKSPACES, live
from rehearsal.lint import LintFailed
from rehearsal.lock import AlreadyRunning, locked
from rehearsal.progress import Progress
from rehearsal.upgrade import upgrade
from rehearsal.variants import WAYS_OF_REDIS, WAYS_TO_HOST, with_redis, with_sites_on_amplify, without_sites
from simulators.aws import conditions
from simulators.aws.process import EmulatorError


def main(
    environment: Annotated[str, typer.Argument(help=f"{', '.join(available())}, or all")] = "production",
    redis: Annotated[
        str, typer.Option(help=f"Redis in another way than the file says: {', '.join(WAYS_OF_REDIS)}")
    ] = "",
    sites: Annotated[str, typer.Option(help=f"Where the sites are hosted: {', '.join(WAYS_TO_HOST)}")] = "ecs",
    base: Annotated[
        str, typer.Option("--from", help="Only upgrade what this commit has deployed, with data and under traffic.")
    ] = "",
    without: Annotated[
        str,
        typer.Option(help=f"Conditions of a real account to turn off: {', '.join(conditions.Condition)}"),
    ] = "",
) -> None:
    """Deploy an environment into an embedded emulator, read back the requirements, update, roll back, destroy."""
    console = Console(markup=True, width=None if sys.stdout.isatty() else 140)
    started, failures = time.monotonic(), []
    try:
        environments = load([] if environment == "all" else [environment], directory=ENVIRONMENTS)
        turned_off = _conditions(without)
        _check(environments, redis, sites)
        with ExitStack() as locks:
            for name in environments:
                locks.enter_context(locked(name, folder=WORKSPACES))
            for name in environments:
                progress = Progress(console)
                if base:
                    upgrade(name, base, progress)
                else:
                    with tempfile.TemporaryDirectory() as edited:
                        files = _environments(name, Path(edited), redis=redis, sites=sites)
                        live(name, progress, environments=files, without=turned_off)
                failures += [f"{name}: {line}" for line in progress.failures]
    except (InvalidEnvironments, InputError, AlreadyRunning) as invalid:
        print(invalid, file=sys.stderr)
        raise typer.Exit(2) from None
    except (CdkFailed, EmulatorError, LintFailed, OperatorError) as failed:
        console.print(f"[red]{name} failed:[/] {escape(str(failed))}", highlight=False)
        raise typer.Exit(1) from None
    result = "every check passed" if not failures else f"{len(failures)} failed"
    console.print(f"\n{', '.join(environments)}: {result}; {time.monotonic() - started:.0f} s. Logs: {WORKSPACES}")
    for line in failures:
        console.print(f"[red]FAILED[/] {escape(line)}", highlight=False)
    raise typer.Exit(1 if failures else 0)


def _conditions(without: str) -> Collection[conditions.Condition]:
    try:
        return conditions.parse(without.split(",") if without else [])
    except ValueError as unknown:
        raise InputError(f"--without: {unknown}") from None


def _check(environments: Mapping[str, Environment], redis: str, sites: str) -> None:
    """Raises `InputError`, before anything waits or starts."""
    if redis and redis not in WAYS_OF_REDIS:
        raise InputError(f"--redis {redis!r}: expected one of {', '.join(WAYS_OF_REDIS)}")
    if sites not in WAYS_TO_HOST:
        raise InputError(f"--sites {sites!r}: expected one of {', '.join(WAYS_TO_HOST)}")
    for name, each in environments.items():
        try:
            main_service(each)
        except InputError as error:
            raise InputError(f"{name}: {error}") from None


def _environments(name: str, edited: Path, *, redis: str, sites: str) -> Path:
    files = ENVIRONMENTS
    if redis:
        files = with_redis(files, name, {"main": redis}, serves="main", into=edited / "redis")
    if sites == "amplify":
        files = with_sites_on_amplify(files, name, into=edited / "sites")
    if sites == "none":
        files = without_sites(files, name, into=edited / "sites")
    return files
