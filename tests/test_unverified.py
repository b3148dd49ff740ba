"""docs/unverified-on-live.md: every assumption can be tried, and says how strong its evidence is."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ops.verify.checks import CHECKS
from tests import test_runbooks

PAGE = Path(__file__).resolve().parents[1] / "docs" / "unverified-on-live.md"
COLUMNS = ["assumption", "command", "to be seen", "evidence", "source"]
LEVELS = {"documented", "recorded", "reported", "assumed"}


@dataclass(frozen=True)
class Line:
    cells: tuple[str, ...]

    @property
    def assumption(self) -> str:
        return self.cells[0]


def lines(text: str) -> list[Line]:
    """Rows of every table whose first column is the assumption."""
    found: list[Line] = []
    inside = False
    for row in text.splitlines():
        cells = tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1])
        if not cells:
            inside = False
        elif cells[0] == COLUMNS[0]:
            assert list(cells) == COLUMNS
            inside = True
        elif inside and set(row) - set("|- "):
            found.append(Line(cells))
    return found


def faults(text: str) -> list[str]:
    found = []
    for line in lines(text):
        if len(line.cells) != len(COLUMNS) or not all(line.cells):
            found.append(f"{line.assumption}: five cells, none empty")
        elif line.cells[3] not in LEVELS:
            found.append(f"{line.assumption}: {line.cells[3]!r} is none of {', '.join(sorted(LEVELS))}")
    counted = Counter(line.assumption for line in lines(text))
    return found + [f"{assumption}: {times} times" for assumption, times in counted.items() if times > 1]


def untried(text: str) -> list[str]:
    """Names of checks whose assumption no line has with the check's own command."""
    commands = {line.assumption: line.cells[1] for line in lines(text)}
    return [
        each.name
        for each in CHECKS
        if f"infra verify ENV --live --only {each.name}`" not in commands.get(each.assumption, "")
    ]


def test_every_line_has_its_command_what_to_see_its_evidence_and_its_source() -> None:
    text = PAGE.read_text()
    assert len(lines(text)) > len(CHECKS)
    assert faults(text) == []


def test_every_check_of_infra_verify_is_a_line_with_the_same_words() -> None:
    assert untried(PAGE.read_text()) == []


def test_its_commands_exist() -> None:
    test_runbooks.test_commands_in_runbooks_exist(PAGE)


def test_malformed_rows_are_detected() -> None:
    head = f"| {' | '.join(COLUMNS)} |\n| --- | --- | --- | --- | --- |\n"
    good = "| a | `b \\| c` | d | reported | e |\n"
    assert faults(head + good) == []
    assert len(faults(head + good + good)) == 1
    assert len(faults(head + good.replace("reported", "likely"))) == 1
    assert len(faults(head + good.replace("| d |", "| |"))) == 1
    assert len(faults(head + good.replace("| d ", ""))) == 1
    assert untried(head + good) == [each.name for each in CHECKS]
