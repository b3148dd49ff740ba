"""Whatever happens in a handler, CloudFormation gets one answer that it can take."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from infra_runtime.custom_resource import Request, Result, serve


def event(kind: str, physical_id: str | None = None, **properties: str) -> dict[str, Any]:
    made: dict[str, Any] = {
        "RequestType": kind,
        "RequestId": "request-1",
        "StackId": "arn:aws:cloudformation:eu-central-1:111122223333:stack/s/1",
        "LogicalResourceId": "Thing",
        "ResponseURL": "https://answers.example/signed",
        "ResourceProperties": {"ServiceToken": "arn", **properties},
    }
    return made | ({"PhysicalResourceId": physical_id} if physical_id else {})


class Answers:
    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, Any], int]] = []

    def __call__(self, url: str, body: bytes) -> None:
        self.sent.append((url, json.loads(body), len(body)))

    @property
    def only(self) -> Mapping[str, Any]:
        assert len(self.sent) == 1
        url, answer, size = self.sent[0]
        assert url == "https://answers.example/signed"
        assert size <= 4096
        assert {"RequestId", "StackId", "LogicalResourceId", "Status", "PhysicalResourceId"} <= set(answer)
        return answer


@pytest.fixture
def answers() -> Answers:
    return Answers()


def test_success_is_answered_with_id_and_attributes(answers: Answers) -> None:
    serve(event("Create", Name="a"), lambda request: Result(request.properties["Name"], {"Arn": "x"}), send=answers)
    assert answers.only["Status"] == "SUCCESS"
    assert (answers.only["PhysicalResourceId"], answers.only["Data"]) == ("a", {"Arn": "x"})


def test_an_invocation_that_another_one_follows_says_nothing(answers: Answers) -> None:
    serve(event("Create"), lambda _: None, send=answers)
    assert answers.sent == []


def fail(request: Request) -> Result:
    raise ValueError("the reason " + "é" * 5000)


def test_failure_is_answered_and_the_delete_that_follows_changes_nothing(answers: Answers) -> None:
    serve(event("Create"), fail, send=answers)
    assert answers.only["Status"] == "FAILED"
    assert answers.only["Reason"].startswith("ValueError: the reason")
    after = Answers()
    serve(event("Delete", answers.only["PhysicalResourceId"]), fail, send=after)
    assert after.only["Status"] == "SUCCESS"


def test_a_failed_update_keeps_its_id(answers: Answers) -> None:
    """Another id would make CloudFormation delete the resource that still works."""
    serve(event("Update", "a"), fail, send=answers)
    assert (answers.only["Status"], answers.only["PhysicalResourceId"]) == ("FAILED", "a")


def test_a_real_delete_reaches_the_handler(answers: Answers) -> None:
    serve(event("Delete", "a"), fail, send=answers)
    assert answers.only["Status"] == "FAILED"


def test_an_answer_too_long_is_a_failure_and_not_silence(answers: Answers) -> None:
    serve(event("Create"), lambda _: Result("a", {"Data": "x" * 5000}), send=answers)
    assert answers.only["Status"] == "FAILED"
    assert "4096" in answers.only["Reason"]
