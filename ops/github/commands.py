"""`infra github`: what GitHub needs, printed or set."""

import typer

from config.model import Environment
from infra_runtime.contract.names import stack_name
from ops.console import Console
from ops.errors import FINDINGS, InputError
from ops.functions import Clients
from ops.github.api import connection
from ops.github.apply import apply
from ops.github.settings import commands, outputs_of, settings
from ops.report import print_json


def show(name: str, environment: Environment, clients: Clients, *, as_json: bool) -> None:
    """Prints a shell script with `gh`, or JSON. Raises `OperatorError`, and what boto3 raises."""
    needed = list(settings(environment, outputs_of(clients, stack_name(environment.product, name, "delivery"))))
    if as_json:
        print_json(needed)
        return
    for each in needed:
        typer.echo(f"\n# {each.repository}, environment {each.name}, for {each.workflow}")
        typer.echo("\n".join(commands(each)))


def put(name: str, environment: Environment, clients: Clients, console: Console) -> None:
    """Exit code 3 when something is left for a person. Raises `InputError`, `OperatorError`, and what boto3 raises."""
    with connection() as github:
        if "Authorization" not in github.headers:
            raise InputError("GITHUB_TOKEN is not set: --set needs a token that may write environments (gh auth token)")
        needed = list(settings(environment, outputs_of(clients, stack_name(environment.product, name, "delivery"))))
        written, left = 0, 0
        for step in apply(needed, github):
            console.print(f"{step.what} → {step.todo}" if step.todo else step.what, highlight=False)
            written, left = written + (not step.todo), left + bool(step.todo)
    if not written and not left:
        console.print("Everything was set already.", highlight=False)
    if left:
        raise typer.Exit(FINDINGS)
