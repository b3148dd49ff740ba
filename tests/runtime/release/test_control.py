"""Beginning a release and ending it, when AWS says no, says it twice, or never says anything."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest

from infra_runtime.release import control as control_module
from infra_runtime.release.control import Control
from infra_runtime.release.ledger import Ledger, new_id
from infra_runtime.release.preflight import Preflight, Problem, Service
from tests.runtime.release.aws import IMAGE, OLD, REPOSITORY, CloudFormation, Dynamo, Ssm

STACK = "arn:aws:cloudformation:eu-central-1:111122223333:stack/daadaar-production-api/1"


class Aws:
    def __init__(self) -> None:
        self.cloudformation, self.ssm = CloudFormation(), Ssm(OLD)

    def client(self, service: str) -> Any:
        return {"cloudformation": self.cloudformation, "ssm": self.ssm}[service]


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def problems(monkeypatch: pytest.MonkeyPatch) -> list[Problem]:
    """What the preflight finds; of that there are tests of its own, in a deployed account."""
    found: list[Problem] = []
    monkeypatch.setattr(Preflight, "problems", lambda self, image, kind: list(found))
    monkeypatch.setattr(control_module, "why_it_went_back", lambda clients, stack: "ECS has its reasons")
    return found


@pytest.fixture
def control(aws: Aws, problems: list[Problem]) -> Control:
    service = Service("api", "daadaar-production-api", "/daadaar/production/api/image", REPOSITORY)
    return Control(aws, Ledger(Dynamo(), "releases"), service)


def start(control: Control, **more: Any) -> dict[str, Any]:
    return control.asked({"action": "start", "image": IMAGE, "who": "somebody", **more})


def news(control: Control, status: str, token: str) -> None:
    control.settle({"stack-id": STACK, "status-details": {"status": status}, "client-request-token": token})


def test_the_stack_is_updated_with_the_template_that_is_there(control: Control, aws: Aws) -> None:
    identity = start(control)["id"]
    (update,) = aws.cloudformation.updates
    assert update == {
        "StackName": "daadaar-production-api",
        "UsePreviousTemplate": True,
        "Parameters": [{"ParameterKey": "Image", "UsePreviousValue": True}],
        "Capabilities": ["CAPABILITY_IAM"],
        "ClientRequestToken": identity,
    }
    assert aws.ssm.value == IMAGE


def test_looking_changes_nothing(control: Control, aws: Aws) -> None:
    assert control.asked({"action": "check", "image": IMAGE, "who": "somebody"}) == {"problems": []}
    assert (aws.ssm.value, aws.cloudformation.updates, control.ledger.releases("api")) == (OLD, [], [])


def test_what_stands_against_it_stops_it(control: Control, aws: Aws, problems: list[Problem]) -> None:
    problems.append(Problem("scan", "holes", "build it anew"))
    assert start(control) == {"problems": [{"check": "scan", "what": "holes", "todo": "build it anew"}]}
    assert (aws.ssm.value, control.ledger.releases("api")) == (OLD, [])


def test_what_cloudformation_refuses_leaves_everything_as_it_was(control: Control, aws: Aws) -> None:
    aws.cloudformation.refuses = "No updates are to be performed."
    (problem,) = start(control)["problems"]
    assert "No updates" in problem["what"]
    assert aws.ssm.value == OLD
    (entry,) = control.ledger.releases("api")
    assert entry.outcome == "failed"


@pytest.mark.parametrize(
    ("status", "outcome", "runs"),
    [
        ("UPDATE_COMPLETE", "succeeded", IMAGE),
        ("UPDATE_ROLLBACK_COMPLETE", "failed", OLD),
        ("UPDATE_ROLLBACK_FAILED", "failed", OLD),
        ("UPDATE_FAILED", "failed", OLD),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "running", IMAGE),
    ],
)
def test_how_it_ends_is_written_down_once(status: str, outcome: str, runs: str, control: Control, aws: Aws) -> None:
    identity = start(control)["id"]
    for _ in range(2):  # EventBridge delivers at least once
        news(control, status, identity)
    (entry,) = control.ledger.releases("api")
    assert (entry.outcome, aws.ssm.value) == (outcome, runs)
    if outcome == "failed":
        assert entry.reason == "ECS has its reasons"
        # A late second piece of news is no second end.
        aws.ssm.value = "what was released since"
        news(control, status, identity)
        assert aws.ssm.value == "what was released since"


def test_news_of_somebody_elses_update_is_none_of_ours(control: Control, aws: Aws) -> None:
    start(control)
    for token in ("", "cdk-deploy-change-set", "r20200101-000000-abcdef"):
        news(control, "UPDATE_COMPLETE", token)
    assert control.ledger.releases("api")[0].outcome == "running"


def test_two_at_once_are_one(control: Control, aws: Aws) -> None:
    start(control)
    (problem,) = start(control, who="somebody else")["problems"]
    assert problem["check"] == "release"
    assert "by somebody is under way" in problem["what"]
    assert len(aws.cloudformation.updates) == 1


def test_news_that_never_came_are_made_up_for(control: Control, aws: Aws) -> None:
    first = start(control)["id"]
    aws.cloudformation.status = "UPDATE_ROLLBACK_COMPLETE"
    assert "id" in start(control)
    outcomes = {each.id: each.outcome for each in control.ledger.releases("api")}
    assert outcomes.pop(first) == "failed"
    assert list(outcomes.values()) == ["running"]


def test_ids_sort_by_time_and_are_tokens() -> None:
    """CloudFormation's: at most 128 letters, digits and hyphens, a letter first."""
    moments = [datetime(2026, 11, 23, 7, 0, second, tzinfo=UTC) for second in (1, 2, 10)]
    identities = [new_id(each, "abcdef") for each in moments]
    assert identities == sorted(identities)
    assert all(re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", each) for each in identities)
