"""What `./infra` prints of a finding is the finding."""

import io
from dataclasses import dataclass

import pytest
import typer

from ops.console import Console
from ops.report import report


@dataclass(frozen=True)
class Found:
    what: str


@pytest.mark.parametrize("what", ["arn:aws:secretsmanager:eu-central-1:111122223333:secret:a-b", "ports[main]", "[/a]"])
def test_a_table_shows_values_as_they_are(what: str) -> None:
    printed = io.StringIO()
    console = Console(file=printed, width=100)
    with pytest.raises(typer.Exit):
        report([Found(what)], "nothing", console, as_json=False)
    assert what in printed.getvalue()
