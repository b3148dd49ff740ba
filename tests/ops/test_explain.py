"""`infra explain`: of all that CloudFormation says of a failed deployment the cause, with the lines that declare it."""

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer

from config import load
from ops import explain
from ops.console import Console
from ops.errors import OperatorError
from ops.templates import synthesized_with_lines

ROOT = Path(__file__).resolve().parents[2]
STACK, API = "AWS::CloudFormation::Stack", "daadaar-dev-api"
BEGAN = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


class CloudFormation:
    """One stack; its events come newest first, two on a page."""

    def __init__(self, status: str, *events: tuple[str, str, str, str]) -> None:
        self.status, self.events = status, events
        self.token = "cdk"

    def client(self, name: str) -> "CloudFormation":
        assert name == "cloudformation"
        return self

    def get_paginator(self, operation: str) -> Any:
        return type("Pages", (), {"paginate": lambda _, **asked: getattr(self, operation)(**asked)})()

    def describe_stacks(self) -> Iterator[dict[str, Any]]:
        tags = [{"Key": "environment", "Value": "dev"}, {"Key": "product", "Value": "daadaar"}]
        yield {"Stacks": [{"StackName": API, "StackStatus": self.status, "Tags": tags}] if self.status else []}

    def describe_stack_events(self, StackName: str) -> Iterator[dict[str, Any]]:  # noqa: N803
        assert StackName == API
        value = [
            {
                "LogicalResourceId": resource, "ResourceType": kind, "ResourceStatus": status,
                "ResourceStatusReason": reason, "Timestamp": BEGAN + timedelta(seconds=at),
                "ClientRequestToken": self.token,
            }
            for at, (resource, kind, status, reason) in enumerate(self.events)
        ][::-1]  # fmt: skip
        for at in range(0, len(value), 2):
            yield {"StackEvents": value[at : at + 2]}


FAILED = (
    (API, STACK, "UPDATE_IN_PROGRESS", "User Initiated"),
    ("Older", "AWS::Lambda::Function", "UPDATE_FAILED", "of the deployment before"),
    (API, STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to update: [Older]."),
    (API, STACK, "UPDATE_ROLLBACK_COMPLETE", ""),
    (API, STACK, "UPDATE_IN_PROGRESS", "User Initiated"),
    ("Topic", "AWS::SNS::Topic", "UPDATE_IN_PROGRESS", ""),
    ("Service", "AWS::ECS::Service", "UPDATE_FAILED", "the circuit breaker was triggered"),
    ("Topic", "AWS::SNS::Topic", "UPDATE_FAILED", "Resource update cancelled"),
    (API, STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "The following resource(s) failed to update: [Service, Topic]."),
    (API, STACK, "UPDATE_ROLLBACK_COMPLETE", ""),
)
IN_USE = (
    (API, STACK, "UPDATE_IN_PROGRESS", "User Initiated"),
    (API, STACK, "UPDATE_ROLLBACK_IN_PROGRESS", "Export a cannot be deleted as it is in use by b"),
    (API, STACK, "UPDATE_ROLLBACK_COMPLETE", ""),
)


def found(cloudformation: CloudFormation) -> list[explain.ExplainedFailure]:
    return explain.failures("dev", load(["dev"])["dev"], cloudformation)


def test_the_cause_is_reported_and_not_its_consequences() -> None:
    (failure,) = found(CloudFormation("UPDATE_ROLLBACK_COMPLETE", *FAILED))
    assert (failure.resource, failure.type, failure.status) == (
        "Service",
        "AWS::ECS::Service",
        "UPDATE_ROLLBACK_COMPLETE",
    )
    assert (failure.reason, failure.release) == ("the circuit breaker was triggered", None)
    assert failure.when == "2026-11-26T12:00:06+00:00"


def test_a_change_that_was_refused_as_a_whole_has_the_stacks_own_reason() -> None:
    (failure,) = found(CloudFormation("UPDATE_ROLLBACK_COMPLETE", *IN_USE))
    assert (failure.type, failure.reason) == (STACK, "Export a cannot be deleted as it is in use by b")


def test_a_failed_release_refers_to_the_ledger() -> None:
    cloudformation = CloudFormation("UPDATE_ROLLBACK_COMPLETE", *FAILED)
    cloudformation.token = "r20261126-120000-abcdef"
    assert found(cloudformation)[0].release == "r20261126-120000-abcdef"


def test_a_stack_that_is_well_has_nothing_to_explain() -> None:
    assert found(CloudFormation("UPDATE_COMPLETE", *FAILED)) == []
    with pytest.raises(OperatorError, match="deploy it first: make deploy ENV=dev"):
        found(CloudFormation(""))


def test_every_resource_leads_to_a_line_of_ours(
    templates: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made, lines = synthesized_with_lines("dev")
    assert made.keys() == {
        f"daadaar-dev-{each.partition('/')[2].lower()}" for each in templates if each.startswith("dev/")
    }
    common = {"status": "", "when": "2026-11-26T12:00:00+00:00", "reason": "", "release": None}
    every = [
        explain.ExplainedFailure(stack=stack, resource=resource, type=each["Type"], **common)  # type: ignore[arg-type]
        for stack, template in made.items()
        for resource, each in template["Resources"].items()
    ]
    located = explain.located(every, made, lines)
    assert len(located) > 100
    for each in located:
        assert each.lines, each
        for line in each.lines:
            path, _, number = line.partition(":")
            assert (ROOT / path).read_text().splitlines()[int(number) - 1], line
    (database,) = [each for each in located if each.type == "AWS::RDS::DBInstance"]
    path, _, number = database.lines[0].partition(":")
    assert path == "constructs/infra_constructs/database.py"
    assert "DatabaseInstance" in (ROOT / path).read_text().splitlines()[int(number) - 1]

    monkeypatch.setattr(explain, "synthesized_with_lines", lambda _: (made, lines))
    (service,) = [each for each in located if each.type == "AWS::ECS::Service" and each.stack == API]
    events = [(service.resource if event[0] == "Service" else event[0], *event[1:]) for event in FAILED]
    cloudformation, out = CloudFormation("UPDATE_ROLLBACK_COMPLETE", *events), io.StringIO()
    for as_json in (False, True):
        with pytest.raises(typer.Exit) as end:
            explain.explain("dev", load(["dev"])["dev"], cloudformation, Console(file=out, width=300), as_json=as_json)
        assert end.value.exit_code == 3
    assert f"declared at {', by '.join(service.lines)}" in out.getvalue()
    assert "infra doctor" not in out.getvalue(), "the stack is there: it is updated"
    cloudformation.status = "ROLLBACK_COMPLETE"
    with pytest.raises(typer.Exit):
        explain.explain("dev", load(["dev"])["dev"], cloudformation, Console(file=out, width=300), as_json=False)
    assert out.getvalue().endswith("before you deploy again: infra doctor dev --fix\n")
    (printed,) = json.loads(capsys.readouterr().out)
    assert (printed["lines"], printed["path"]) == (list(service.lines), service.path)
