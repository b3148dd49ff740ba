"""Prints findings as a table for people or as JSON for programs, and returns the exit code."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields, is_dataclass
from typing import IO, TYPE_CHECKING, Any

import typer
from rich.table import Table

from ops.console import Console
from ops.errors import FINDINGS

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def print_json(found: object, file: IO[str] | None = None) -> None:
    """Prints one document, to standard output or `file`. Dataclasses become objects."""
    print(json.dumps(found, indent=2, default=_plain), file=file or sys.stdout)


def _plain(found: Any) -> dict[str, Any]:
    if not is_dataclass(found):
        raise TypeError(f"{type(found).__name__} is not of JSON")
    return {each.name: getattr(found, each.name) for each in fields(found)}


def report(
    found: "Sequence[DataclassInstance]", nothing: str, console: Console, *, as_json: bool, fails: bool = True
) -> None:
    """Columns are the fields' names. Raises `typer.Exit` with 3 when there is anything that `fails`."""
    rows = [asdict(each) for each in found]
    if as_json:
        print_json(rows)
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
