"""ECS's questions and our answers, again and again, as ECS asks; and the ledger's part in it."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from infra_runtime.contract.revision import HookCall
from infra_runtime.release.ledger import Ledger, Release
from infra_runtime.release.verify import Verify
from simulators.http_server import send, serving
from tests.runtime.release.aws import IMAGE, OLD, Dynamo, Ecs

EVENT: dict[str, Any] = {
    "executionDetails": {
        "testTrafficWeights": {},
        "productionTrafficWeights": {},
        "serviceArn": "arn:aws:ecs:eu-central-1:111122223333:service/cluster/api",
        "targetServiceRevisionArn": "arn:aws:ecs:eu-central-1:111122223333:service-revision/cluster/api/42",
    },
    "executionId": "a635edb5-a66b-4f44-bf3f-fcee4b3641a5",
    "lifecycleStage": "PRE_SCALE_UP",
    "resourceArn": "arn:aws:ecs:eu-central-1:111122223333:service-deployment/cluster/api/TFX5sH9q9XDboDTOv0rIt",
}


def release(**changes: Any) -> Release:
    plain = {
        "service": "api", "id": "r20261123-070000-abcdef", "kind": "release", "image": IMAGE, "previous": OLD,
        "who": "somebody", "began": "2026-11-23T07:00:00+00:00", "template": "t",
    }  # fmt: skip
    return Release(**(plain | changes))


@pytest.fixture
def ledger() -> Ledger:
    found = Ledger(Dynamo(), "releases")
    found.begin(release())
    return found


def status(hook: Any, event: Any = EVENT) -> str:
    answer = hook.answer(HookCall.of(event))
    assert set(answer) <= {"hookStatus", "callBackDelay"}, "ECS knows no other words"
    found: str = answer["hookStatus"]
    return found


def test_both_shapes_of_the_event_are_understood() -> None:
    assert HookCall.of(EVENT) == HookCall.of({"event": EVENT})
    with pytest.raises(KeyError):
        HookCall.of({"something": "else"})


class Pages:
    def __init__(self, ecs: Ecs) -> None:
        self._ecs = ecs

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"taskArns": list(self._ecs.tasks)}]


@contextmanager
def verifying(ledger: Ledger, status: int, *answers: object) -> Iterator[tuple[Verify, list[str]]]:
    """Two tasks of the new version, which give these answers in turn, and one old task that must not be requested."""
    ecs = Ecs()
    asked: list[str] = []
    ecs.get_paginator = lambda name: Pages(ecs)  # type: ignore[method-assign]

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        asked.append(handler.path)
        answer = answers[min(len(asked), len(answers)) - 1]
        send(handler, status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())

    with serving(respond) as url:
        host, port = url.removeprefix("http://").split(":")
        for number in range(2):
            ecs.tasks[f"new-{number}"] = _task("app:3", host)
        ecs.tasks["old"] = _task("app:2", "192.0.2.1")
        yield (
            Verify(
                ecs,
                path="/release",
                port=int(port),
                version_field="version",
                expect={"checks.database": "ok", "checks.redis": "ok"},
                repository=IMAGE.partition("@")[0],
                ledger=ledger,
                service="api",
                sleep=lambda _: None,
            ),
            asked,
        )


def _task(definition: str, address: str) -> dict[str, Any]:
    details = [{"name": "subnetId", "value": "s"}, {"name": "privateIPv4Address", "value": address}]
    return {"taskDefinitionArn": definition, "lastStatus": "RUNNING", "attachments": [{"details": details}]}


GOOD = {"version": IMAGE, "checks": {"database": "ok", "redis": "ok"}}


def test_each_new_task_is_asked_and_no_other(ledger: Ledger) -> None:
    with verifying(ledger, 200, GOOD) as (hook, asked):
        assert status(hook) == "SUCCEEDED"
    assert asked == ["/release", "/release"]


@pytest.mark.parametrize(
    ("code", "document", "expected", "attempts"),
    [
        (200, {**GOOD, "version": OLD}, "RELEASE was", 1),
        (200, {"checks": GOOD["checks"]}, "version is missing", 1),
        (200, b"not released yet", "no JSON", 3),
        (200, ["nothing"], "version is missing", 1),
        (404, {}, "answers 404", 1),
        (503, GOOD, "answers 503", 3),
        (200, {**GOOD, "checks": {"database": "ok"}}, "redis is missing", 3),
        (200, {**GOOD, "checks": {"database": "slow", "redis": "ok"}}, "database is 'slow'", 3),
    ],
)
def test_a_task_that_cannot_serve_is_reported_with_the_reason(
    code: int, document: object, expected: str, attempts: int, ledger: Ledger
) -> None:
    with verifying(ledger, code, document) as (hook, asked):
        assert status(hook) == "FAILED"
    assert len(asked) == 2 * attempts
    (entry,) = ledger.releases("api")
    assert len(entry.complaints) == 2
    assert all(expected in each for each in entry.complaints), entry.complaints


def test_a_path_that_answers_200_is_enough_where_nothing_else_is_asked_for(ledger: Ledger) -> None:
    with verifying(ledger, 200, b"<html>") as (hook, _):
        assert status(replace(hook, version_field=None, expect={})) == "SUCCEEDED"
    with verifying(ledger, 200, {"status": "ok", "services": {"redis": True}}) as (hook, _):
        assert status(replace(hook, version_field=None, expect={"services.redis": "true"})) == "SUCCEEDED"


def test_a_brief_failure_of_the_check_is_retried(ledger: Ledger) -> None:
    weak = {**GOOD, "checks": {"database": "ok", "redis": "reconnecting"}}
    with verifying(ledger, 200, weak, weak, GOOD) as (hook, _):
        assert status(hook) == "SUCCEEDED"


def test_without_tasks_the_check_fails(ledger: Ledger) -> None:
    with verifying(ledger, 200, GOOD) as (hook, _):
        hook.ecs.tasks.clear()
        assert status(hook) == "FAILED"


def test_a_stopped_release_fails_its_check(ledger: Ledger) -> None:
    with verifying(ledger, 200, GOOD) as (hook, asked):
        ledger.stop(ledger.releases("api")[0], "stopped by an operator")
        assert status(hook) == "FAILED"
    assert asked == []
