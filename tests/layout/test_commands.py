"""docs/commands.md lists every command of ./infra."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from ops.__main__ import app
from tests.test_runbooks import commands_of

_PAGE = (Path(__file__).resolve().parents[2] / "docs" / "commands.md").read_text()
_ROWS = [line.split(" | ")[0] for line in _PAGE.splitlines() if line.startswith("| `")]


def listed(row: str) -> Iterator[tuple[str, ...]]:
    """A row names a group once: `preview list ENV`, `take`."""
    group: tuple[str, ...] = ()
    for code in re.findall(r"`([^`]+)`", row):
        words = tuple(itertools.takewhile(re.compile(r"[a-z]+$").match, code.split()))
        group = group or words[:-1]
        yield words if len(words) > 1 else (*group, *words)


def test_every_command_is_in_the_list_and_nothing_else() -> None:
    found = {" ".join(each) for each in commands_of(app)}
    assert "redis check" in found
    assert {" ".join(each) for row in _ROWS for each in listed(row)} == found


def test_rows_with_several_commands_are_understood() -> None:
    assert list(listed("| `preview list ENV`, `take`")) == [("preview", "list"), ("preview", "take")]
    assert list(listed("| `run ENV -- COMMAND`, `exec ENV`")) == [("run",), ("exec",)]
