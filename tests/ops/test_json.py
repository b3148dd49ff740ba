"""`--json`: documented by a type for every command that has it; each document that is printed is of that type."""

import io
import json
from typing import Any

import pytest
from pydantic import ValidationError

from config import load
from ops.console import Console
from ops.previews import commands as previews
from ops.previews.commands import PreviewSlots
from tests.ops.every_command import conforms, types, with_json

PREVIEW = {
    "slot": 1, "id": "a1", "name": "add-email", "who": "arn:aws:sts::111122223333:assumed-role/Preview/zara",
    "until": "2026-11-28T12:00:00+00:00", "phase": "running", "images": {"api": "api@sha256:1"}, "asked": None,
    "has_database": True, "release": "r1", "urls": {"api": "https://api-dev-preview-1.daadaar.com"}, "state": "runs",
}  # fmt: skip


def test_every_command_that_has_it_is_on_the_page_with_a_type_that_exists() -> None:
    assert types().keys() == with_json(), "docs/commands.md, JSON: the type of each document"


@pytest.mark.parametrize(
    "document",
    [
        [{"severity": "critical"}],
        [{**dict.fromkeys(("severity", "alarm", "since", "means", "runbook"), "x"), "more": 1}],
    ],
)
def test_a_field_that_is_missing_or_not_documented_is_noticed(document: Any) -> None:
    with pytest.raises((AssertionError, ValidationError)):
        conforms("alarms", json.dumps(document))


class Control(PreviewSlots):
    """Answers with one preview."""

    def ask(self, action: str, **more: Any) -> dict[str, Any]:
        return {"problems": [], "previews": [PREVIEW], "preview": PREVIEW}


def test_previews_are_printed_as_documented(capsys: pytest.CaptureFixture[str]) -> None:
    control, console = Control("dev", load(["dev"])["dev"], None), Console(file=io.StringIO())  # type: ignore[arg-type]
    previews.show(control, console, as_json=True)
    (listed,) = conforms("preview list", capsys.readouterr().out)
    assert (listed["name"], listed["reason"]) == ("add-email", None)
    previews.take(control, "add-email", console, as_json=True)
    assert conforms("preview take", capsys.readouterr().out)["slot"] == 1
    previews.start(control, "add-email", "api", "api@sha256:1", console, as_json=True)
    assert conforms("preview start", capsys.readouterr().out)["state"] == "runs"
