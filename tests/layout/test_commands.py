"""docs/commands.md lists every command of ./infra."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from ops.__main__ import app

_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
_ROWS = [line.split(" | ")[0] for line in _PAGE.splitlines() if line.startswith("| `")]


def commands(group: Any, *above: str) -> Iterator[tuple[str, ...]]:
    """("redis", "check"), for example."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, *above, name)
        else:
            yield (*above, name)


def is_listed(command: tuple[str, ...], rows: list[str]) -> bool:
    """A row names its group once: `preview list`, `take`, `put`, `end`."""
    *group, name = command
    wanted = re.compile(rf"`{' '.join(command)}[` ]")
    alone = re.compile(rf"`{name}[` ]")
    return any(
        wanted.search(row) or (group and row.startswith(f"| `{group[0]} ") and alone.search(row)) for row in rows
    )


def test_every_command_is_in_the_list() -> None:
    found = list(commands(typer.main.get_command(app)))
    assert ("redis", "check") in found
    assert [" ".join(each) for each in found if not is_listed(each, _ROWS)] == []


def test_a_command_that_is_missing_is_found() -> None:
    rows = ["| `preview list`, `take`"]
    assert is_listed(("preview", "take"), rows)
    assert not is_listed(("preview", "end"), rows)
    assert not is_listed(("take",), ["| `preview list ENV`"])
