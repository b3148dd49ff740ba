"""The report of used and granted permissions, and what each used grant is needed for."""

import json
from pathlib import Path
from typing import Any

from rehearsal.permissions import denied, figures, surplus

ROLE = "arn:aws:sts::111122223333:assumed-role/reader/session"
TOPIC = "arn:aws:sns:eu-central-1:111122223333:critical"


def _workspace(folder: Path, calls: list[dict[str, Any]], *statements: dict[str, Any]) -> Path:
    (folder / "calls.jsonl").write_text("".join(f"{json.dumps(each)}\n" for each in calls))
    (folder / "permissions.json").write_text(json.dumps({"reader": {"policies": [{"Statement": list(statements)}]}}))
    return folder


def _call(
    action: str, resource: str, caller: str = ROLE, *, denied: bool = False, namespace: str = ""
) -> dict[str, Any]:
    context = {"cloudwatch:namespace": namespace} if namespace else {}
    return {"caller": caller, "action": action, "resource": resource, "context": context, "denied": denied}


def _allow(action: str, resource: str, **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": [action], "Resource": [resource], **more}


def test_each_used_grant_is_missed_when_it_is_taken_away(tmp_path: Path) -> None:
    calls = [_call("sns:Publish", TOPIC), _call("ecs:ListTasks", "*")]
    assert surplus(_workspace(tmp_path, calls, _allow("sns:Publish", TOPIC), _allow("ecs:ListTasks", "*"))) == ([], 2)


def test_a_grant_that_another_one_covers_is_named(tmp_path: Path) -> None:
    call = _call("sns:Publish", TOPIC)
    twice = _workspace(tmp_path, [call], _allow("sns:Publish", TOPIC), _allow("sns:Pub*", "*"))
    found, tried = surplus(twice)
    assert (len(found), tried) == (2, 2)
    assert found[0] == f"reader: sns:Publish on ['{TOPIC}']"


def test_the_figures_count_used_and_granted_permissions(tmp_path: Path) -> None:
    grants = (_allow("sns:Publish", TOPIC), _allow("ecs:ListTasks", "*"))
    found = figures(_workspace(tmp_path, [_call("sns:Publish", TOPIC)], *grants))
    assert found.pop("seconds of taking all away") > 0
    assert found == {
        "roles": 1, "roles exercised": 1, "grants": 2, "grants used": 1, "grants taken away": 1, "grants missed": 1,
    }  # fmt: skip


def test_conditions_are_replayed(tmp_path: Path) -> None:
    own = {"Condition": {"StringEquals": {"cloudwatch:namespace": "App"}}}
    other = {"Condition": {"StringEquals": {"cloudwatch:namespace": "Other"}}}
    call = _call("cloudwatch:PutMetricData", "*", namespace="App")
    grants = (_allow("cloudwatch:PutMetricData", "*", **own), _allow("cloudwatch:PutMetricData", "*", **other))
    # The first is needed; the second allowed no call.
    assert surplus(_workspace(tmp_path, [call], *grants)) == ([], 1)


def test_denials_of_services_and_of_roles_are_reported(tmp_path: Path) -> None:
    calls = [
        _call("sns:Publish", TOPIC, "events.amazonaws.com", denied=True),
        _call("sns:Publish", TOPIC, denied=True),
        _call("sns:Publish", TOPIC),
    ]
    assert denied(_workspace(tmp_path, calls)) == [
        f"events.amazonaws.com may not sns:Publish {TOPIC}",
        f"{ROLE} may not sns:Publish {TOPIC}",
    ]
