"""What `infra github` prints."""

import json
from dataclasses import asdict

import typer

from config.model import Environment
from ops.functions import Clients
from ops.github.settings import commands, outputs_of, settings


def show(name: str, environment: Environment, clients: Clients, *, as_json: bool) -> None:
    """As a script for a shell with `gh`, or as JSON. Raises `OperatorError`, and what boto3 raises."""
    needed = list(settings(environment, outputs_of(clients, f"{environment.product}-{name}-delivery")))
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in needed], indent=2))
        return
    for each in needed:
        typer.echo(f"\n# {each.repository}, environment {each.name}, for {each.workflow}")
        typer.echo("\n".join(commands(each)))
