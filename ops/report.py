"""What was found, as a table for people or as JSON for programs, and as an exit code for both."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.table import Table

from ops.console import Console
from ops.errors import FINDINGS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def report(
    found: "Sequence[DataclassInstance]", nothing: str, console: Console, *, as_json: bool, fails: bool = True
) -> None:
    """Columns are the fields' names. Raises `typer.Exit` with 3 when there is anything that `fails`."""
    rows = [asdict(each) for each in found]
    if as_json:
        print(json.dumps(rows, indent=2))  # noqa: T201
    elif not rows:
        console.print(nothing, highlight=False)
    else:
        table = Table()
        for heading in rows[0]:
            table.add_column(heading, overflow="fold")
        for row in rows:
            table.add_row(*(str(value) for value in row.values()))
        console.print(table)
    if rows and fails:
        raise typer.Exit(FINDINGS)
