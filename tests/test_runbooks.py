"""Runbooks: the same five headings in each, and commands that exist."""

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest
import typer

from ops.__main__ import app
from ops.alarms_page import PAGE, page
from ops.ids import KINDS, STACKS, chosen, label

ROOT = Path(__file__).resolve().parents[1]
RUNBOOKS = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
ALARMS = [path for path in RUNBOOKS if path.read_text().startswith("# Alarm: ")]
# Commands of the AWS CLI itself, which are no operation of a service.
CUSTOM = {("logs", "tail"), ("s3", "cp"), ("s3", "ls"), ("s3", "sync")}
_CODE = re.compile(r"`([^`]+)`|^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def code(path: Path) -> list[str]:
    return [line for found in _CODE.finditer(path.read_text()) for line in (found[1] or found[2]).splitlines()]


def commands_of(group: Any) -> set[tuple[str, ...]]:
    found: set[tuple[str, ...]] = set()
    for name, command in typer.main.get_group(group).commands.items():
        inner = getattr(command, "commands", None)
        found |= {(name, each) for each in inner} if inner else {(name,)}
    return found


@pytest.mark.parametrize("path", ALARMS, ids=lambda path: path.stem)
def test_a_runbook_of_an_alarm_has_its_headings_in_order(path: Path) -> None:
    text = path.read_text()
    assert "**Meaning.**" in text
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == ["## Check", "## Act", "## When not to", "## Roll back"]
    assert all(text.split(heading)[1].strip() for heading in headings), "said and left empty"


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_commands_in_runbooks_exist(path: Path) -> None:
    # Not before numpy: a hook of botocore's makes its import a warning.
    import botocore.session
    from botocore import xform_name

    ours, makefile = commands_of(app), (ROOT / "Makefile").read_text()
    session = botocore.session.get_session()
    services = set(session.get_available_services())
    for line in code(path):
        for first, second in re.findall(r"(?:^|\s|\./)infra ([a-z]+)(?: ([a-z]+))?", line):
            assert (first,) in ours or (first, second) in ours, f"infra {first} {second}"
        for word in re.findall(r"(?:^|\s)make ([a-z]+)", line):
            assert f"\n{word}:" in makefile, f"make {word}"
        for service, operation in re.findall(r"(?:^|\s)aws ([a-z0-9-]+) ([a-z0-9-]+)", line):
            service = service.removesuffix("api") if service == "s3api" else service  # noqa: PLW2901
            if (service, operation) in CUSTOM:
                continue
            assert service in services, f"aws {service}"
            known = session.get_service_model(service).operation_names
            names = {xform_name(each, "-") for each in known}
            waits = operation == "wait"
            assert waits or operation in names, f"aws {service} {operation}"


# What the operator knows or decides; everything else is looked up by the command itself.
_KNOWN = {
    "ENV", "PRODUCT", "STACK", "NAME", "TIME", "DATE", "WHY", "RANGE", "NEW", "SNAPSHOT", "PENDING", "TASK", "THEIRS",
    "PREFIX", "KEY", "MARKER", "N", "M",
    # AWS's own words.
    "ALARM", "AWSPENDING", "ROTATE", "S",
}  # fmt: skip
_LOOKED_UP = re.compile(r'"\$\(infra id ENV [^)]+\)"')


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_no_command_needs_a_name_that_the_operator_does_not_know(path: Path) -> None:
    for line in code(path):
        assert not re.match(r"aws logs (tail|filter)", line), f"infra logs finds the log group: {line}"
        if line.startswith("aws "):
            asked = {word for word in re.findall(r"\b[A-Z][A-Z_]*\b", _LOOKED_UP.sub("", line)) if word not in _KNOWN}
            assert not asked, f"{line}: `infra id` prints {asked}"


def _named(templates: dict[str, dict[str, Any]], kinds: Collection[str]) -> set[str]:
    """STACK/PART of every resource of these types, in any environment of the tests."""
    return {
        label(key.partition("/")[2].lower(), logical)
        for key, template in templates.items()
        for logical, each in template["Resources"].items()
        if each["Type"] in kinds
    }


def test_names_that_commands_look_up_exist(templates: dict[str, dict[str, Any]]) -> None:
    logs = _named(templates, ["AWS::Logs::LogGroup"]) | {"data/database", *STACKS}
    functions = _named(templates, [KINDS["function"]])
    looked = 0
    for path in RUNBOOKS:
        for line in code(path):
            for command, what in re.findall(r"infra (id|logs|call) ENV ([A-Za-z/-]+)", line):
                looked += 1
                wanted = what.replace("SERVICE", "api")
                kind, _, part = wanted.partition("/")
                if command == "logs":
                    assert chosen(sorted(logs), wanted), f"{path.stem}: infra logs ENV {what}"
                elif command == "call":
                    assert len(chosen(sorted(functions), wanted)) == 1, f"{path.stem}: infra call ENV {what}"
                elif kind != "stack":
                    assert chosen(sorted(_named(templates, [KINDS[kind]])), part), f"{path.stem}: infra id ENV {what}"
    assert looked > 30


def test_an_unknown_command_is_detected(tmp_path: Path) -> None:
    for line in ("infra relaese ENV", "make deploi", "aws rds describe-db-instancez"):
        wrong = tmp_path / "wrong.md"
        wrong.write_text(f"Run `{line}`.\n")
        with pytest.raises(AssertionError):
            test_commands_in_runbooks_exist(wrong)


def test_a_command_that_asks_for_an_unknown_name_is_detected(tmp_path: Path) -> None:
    for line in (
        "aws ecs update-service --cluster CLUSTER",
        "aws logs tail LOG_GROUP",
        "aws sns publish --topic-arn ARN",
    ):
        wrong = tmp_path / "wrong.md"
        wrong.write_text(f"Run `{line}`.\n")
        with pytest.raises(AssertionError):
            test_no_command_needs_a_name_that_the_operator_does_not_know(wrong)


def test_the_page_of_alarms_is_current(templates: dict[str, dict[str, Any]]) -> None:
    """If this fails, run `make accept`."""
    assert PAGE.read_text() == page(templates)
