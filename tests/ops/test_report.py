"""What `./infra` prints of a finding is the finding."""

import io
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from rich.table import Table

from ops.console import Console
from ops.report import report

# In `[bold]` and `[/a]` rich sees styles, which vanish or raise, and in `:secret:` an emoji.
TEXTS = ["arn:aws:secretsmanager:eu-central-1:111122223333:secret:a-b", "ports[main]", "[/a]", "[bold]name"]


@dataclass(frozen=True)
class Found:
    what: str


@pytest.mark.parametrize("text", TEXTS)
def test_a_report_shows_values_as_they_are(text: str) -> None:
    printed = io.StringIO()
    with pytest.raises(typer.Exit):
        report([Found(text)], "nothing", Console(file=printed, width=100), as_json=False)
    assert text in printed.getvalue()


@pytest.mark.parametrize("text", TEXTS)
def test_lines_titles_headings_and_cells_are_shown_as_they_are(text: str) -> None:
    printed = io.StringIO()
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    console = Console(file=printed, width=100)
    console.print(table)
    console.print(text)
    console.rule(text)
    assert printed.getvalue().count(text) == 5


def test_every_command_prints_by_that_console_and_styles_without_markup() -> None:
    for path in sorted((Path(__file__).resolve().parents[2] / "ops").rglob("*.py")):
        text = path.read_text()
        assert "rich.markup" not in text and "[/]" not in text, path
        assert "rich.console" not in text or path.name == "console.py", path
