"""`infra`: what a person asks of a running environment."""

import sys
from typing import Annotated

import typer
from rich.console import Console

from config import InvalidEnvironments, available, load
from config.model import Environment
from ops.edge import commands
from ops.errors import OperatorError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
edge = typer.Typer(
    no_args_is_help=True, help="The Cloudflare zone: what would change, what has drifted, what is there."
)
app.add_typer(edge, name="edge")

Name = Annotated[str, typer.Argument(help=f"One of {', '.join(available())}.", metavar="ENV")]
AsJson = Annotated[bool, typer.Option("--json", help="For programs: one JSON document on standard output.")]


@app.callback()
def infra() -> None:
    """What a person asks of a running environment."""


@edge.command()
def plan(environment: Name, as_json: AsJson = False) -> None:
    """What the zone lacks to be as the code here says. Exit code 3 when there is anything."""
    commands.plan(environment, _environment(environment), Console(), as_json=as_json)


@edge.command()
def drift(environment: Name, as_json: AsJson = False) -> None:
    """What is in the zone and not as it was deployed. Exit code 3 when there is anything."""
    commands.drift(environment, _environment(environment), Console(), as_json=as_json)


@edge.command()
def show(environment: Name, as_json: AsJson = False) -> None:
    """Everything in the places where ours stands: ours, and that of others."""
    commands.show(environment, _environment(environment), Console(), as_json=as_json)


@edge.command()
def apply(environment: Name) -> None:
    """Puts right what `drift` shows, and nothing else."""
    commands.apply(environment, _environment(environment), Console())


def _environment(name: str) -> Environment:
    return load([name])[name]


def main() -> None:
    """Exit codes: 2 for wrong input, 1 for what AWS or Cloudflare refuse, 3 for "there is something"."""
    try:
        app(prog_name="infra")
    except InvalidEnvironments as invalid:
        print(invalid, file=sys.stderr)
        sys.exit(2)
    except OperatorError as error:
        print(error, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
