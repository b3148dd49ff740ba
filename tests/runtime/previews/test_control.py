"""Preview slots: they are assigned, used, and always freed in the end."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra_runtime.previews import control as control_module
from infra_runtime.previews.control import BUSY, PreviewControl, Slot
from infra_runtime.previews.leases import Lease, LeaseChanged, Leases
from infra_runtime.release.ledger import Ledger
from tests.runtime.release.aws import IMAGE, OLD, REPOSITORY, Dynamo, Manifests, Ssm

ANY = {"manifests": [{"platform": {"os": "linux", "architecture": "arm64"}}]}
BOOTSTRAP = "registry.example.com/node:24"
SERVICES = {
    "api": {"repository": REPOSITORY, "pointer": "/p/dev/api/image", "bootstrap": BOOTSTRAP, "platform": "linux/arm64"},
    "web-site": {
        "repository": "elsewhere/web-site",
        "pointer": "/p/dev/web-site/image",
        "bootstrap": BOOTSTRAP,
        "platform": "linux/arm64",
    },
}
REST = {"Count": "0", "Lease": "none", "ApiImage": BOOTSTRAP, "WebSiteImage": BOOTSTRAP, "Other": "kept"}


class Stacks:
    """CloudFormation: an update is under way until a test ends it."""

    def __init__(self) -> None:
        self.values = {"slot1": dict(REST), "slot2": dict(REST)}
        self.before = {name: dict(REST) for name in self.values}
        self.status = dict.fromkeys(self.values, "CREATE_COMPLETE")
        self.refuses: set[str] = set()
        self.events: list[dict[str, Any]] = []
        self.meanwhile: Callable[[], object] = lambda: None
        """Runs between the request for an update and its start."""

    def get_paginator(self, name: str) -> "Stacks":
        assert name == "describe_stack_events"
        return self

    def paginate(self, StackName: str) -> list[dict[str, Any]]:  # noqa: N803
        newest = [each for each in reversed(self.events) if each["LogicalResourceId"] == StackName]
        return [{"StackEvents": newest}]

    def _happens(self, name: str, status: str, token: str) -> None:
        self.status[name] = status
        event = {"LogicalResourceId": name, "ResourceType": "AWS::CloudFormation::Stack", "ResourceStatus": status}
        self.events.append({**event, "ClientRequestToken": token, "Timestamp": datetime.now(UTC)})

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        parameters = [{"ParameterKey": key, "ParameterValue": value} for key, value in self.values[StackName].items()]
        return {"Stacks": [{"StackStatus": self.status[StackName], "Parameters": parameters}]}

    def update_stack(self, *, StackName: str, Parameters: list[dict[str, Any]], **request: Any) -> None:  # noqa: N803
        self.meanwhile()
        if StackName in self.refuses or self.status[StackName].endswith("_IN_PROGRESS"):
            raise ClientError({"Error": {"Code": "ValidationError", "Message": "not now"}}, "UpdateStack")
        assert request["UsePreviousTemplate"] is True
        assert {each["ParameterKey"] for each in Parameters} == set(REST), "each parameter has to be named"
        new = {each["ParameterKey"]: each["ParameterValue"] for each in Parameters if "ParameterValue" in each}
        if self.values[StackName] == self.values[StackName] | new:
            text = "No updates are to be performed."
            raise ClientError({"Error": {"Code": "ValidationError", "Message": text}}, "UpdateStack")
        self.before[StackName] = dict(self.values[StackName])
        self.values[StackName] |= new
        self._happens(StackName, "UPDATE_IN_PROGRESS", request["ClientRequestToken"])

    def end(self, name: str, *, well: bool = True) -> None:
        self._happens(name, "UPDATE_COMPLETE" if well else "UPDATE_ROLLBACK_COMPLETE", "")
        if not well:
            self.values[name] = self.before[name]


class Lambda:
    """Runs synchronous invocations at once, and asynchronous ones when a test says so."""

    def __init__(self) -> None:
        self.databases: list[tuple[str, int]] = []
        self.later: list[dict[str, Any]] = []
        self.wrong: str | None = None

    def invoke(self, *, FunctionName: str, InvocationType: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        event = json.loads(Payload)
        if InvocationType == "Event":
            self.later.append(event)
            return {}
        assert FunctionName == "databases"
        if self.wrong:
            return {"FunctionError": "Unhandled", "Payload": BytesIO(json.dumps({"errorMessage": self.wrong}).encode())}
        self.databases.append((event["action"], event["slot"]))
        return {"Payload": BytesIO(b"null")}


class DatabaseLog:
    """A log with one error of each of two logins; the first page is empty, as CloudWatch's may be."""

    def get_paginator(self, operation: str) -> "DatabaseLog":
        assert operation == "filter_log_events"
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        assert request["logGroupName"] == "log"
        logins = ("preview_1_owner", "app_owner_a")
        messages = [{"message": f"2026:10.0.0.1:{login}@x:[1]:ERROR:  of {login}"} for login in logins]
        return [{"events": []}, {"events": messages}]


class Manager:
    def __init__(self) -> None:
        self.missing: set[str] = set()

    def describe_secret(self, *, SecretId: str) -> dict[str, Any]:  # noqa: N803
        if SecretId in self.missing:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": "no"}}, "DescribeSecret")
        return {"VersionIdsToStages": {"1": ["AWSCURRENT"]}, "LastChangedDate": datetime.now(UTC)}


class Aws:
    def __init__(self) -> None:
        self.stacks, self.functions, self.manager = Stacks(), Lambda(), Manager()
        self._clients = {
            "cloudformation": self.stacks,
            "lambda": self.functions,
            "secretsmanager": self.manager,
            "ssm": Ssm(OLD),
            "ecr": Manifests({f"sha256:{letter * 64}": ANY for letter in "abc"}),
            "logs": DatabaseLog(),
        }

    def client(self, service: str, **_: Any) -> Any:
        return self._clients[service]


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def control(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> PreviewControl:
    monkeypatch.setattr(control_module, "rollback_reason", lambda clients, stack, since: "the migration failed")
    dynamodb = Dynamo()
    slots = [Slot(number=number, stack=f"slot{number}", urls={"api": f"https://{number}"}) for number in (1, 2)]
    return PreviewControl(
        aws, Leases(dynamodb, "t"), Ledger(dynamodb, "t"), slots, services=SERVICES,
        lifetime=timedelta(hours=2), databases="databases", database_log="log", itself="itself",
        secrets=["daadaar/app", "daadaar/crm"],
    )  # fmt: skip


def ask(control: PreviewControl, action: str, name: str = "x", **more: Any) -> Mapping[str, Any]:
    found: Mapping[str, Any] = control.asked({"action": action, "name": name, "who": "somebody", **more})
    return found


def start(
    control: PreviewControl, aws: Aws, name: str = "x", image: str = IMAGE, service: str = "api"
) -> Mapping[str, Any]:
    """Starts a preview, up to the stack's update."""
    answer = ask(control, "start", name, service=service, image=image)
    while aws.functions.later:
        control.asked(aws.functions.later.pop(0))
    return answer


def states(control: PreviewControl) -> dict[str, str]:
    return {each["name"]: each["state"] for each in ask(control, "list")["previews"]}


def hours_pass(control: PreviewControl) -> None:
    for lease in control.leases.all():
        control.leases.change(lease, lease.with_(until=(datetime.now(UTC) - timedelta(minutes=1)).isoformat()))


def test_a_preview_gets_a_database_and_then_its_image(control: PreviewControl, aws: Aws) -> None:
    answer = ask(control, "start", service="api", image=IMAGE)
    assert (answer["problems"], answer["preview"]["state"]) == ([], "copying")
    start(control, aws, "y")
    assert states(control) == {"x": "deploying", "y": "deploying"}
    assert aws.functions.databases == [("make", 1), ("make", 2)]
    lease = control.leases.all()[0]
    assert aws.stacks.values["slot1"] == {
        "Count": "1", "Lease": lease.id, "ApiImage": IMAGE, "WebSiteImage": OLD, "Other": "kept",
    }  # fmt: skip
    aws.stacks.end("slot1")
    assert states(control) == {"x": "runs", "y": "deploying"}


def test_a_missing_secret_is_named_before_a_slot_is_taken(control: PreviewControl, aws: Aws) -> None:
    """A missing secret of any service counts: all of them run in the slot."""
    aws.manager.missing = {"daadaar/app", "daadaar/crm"}
    answer = ask(control, "start", service="api", image=IMAGE)
    assert answer == {"problems": [
        {"check": "secret", "what": f"{name} does not exist", "todo": f"./infra secret set ENV {name}"}
        for name in ("daadaar/app", "daadaar/crm")
    ]}  # fmt: skip
    assert (states(control), aws.functions.later) == ({}, [])
    aws.manager.missing.clear()
    assert start(control, aws)["problems"] == []


def test_a_look_before_the_update_begins_is_no_failure(control: PreviewControl, aws: Aws) -> None:
    seen: list[dict[str, str]] = []
    aws.stacks.meanwhile = lambda: seen.append(states(control))
    start(control, aws)
    assert (seen, states(control)) == ([{"x": "deploying"}], {"x": "deploying"})


def test_pushed_again_it_keeps_its_slot_and_its_data_and_lasts_longer(control: PreviewControl, aws: Aws) -> None:
    start(control, aws)
    aws.stacks.end("slot1")
    before = control.leases.all()[0]
    control.leases.change(before, before.with_(until="2026-01-01T00:00:00+00:00"))
    start(control, aws, image=OLD)
    aws.stacks.end("slot1")
    (lease,) = control.leases.all()
    assert (lease.id, lease.slot) == (before.id, 1)
    assert datetime.fromisoformat(lease.until) > datetime.now(UTC) + timedelta(hours=1)
    assert aws.functions.databases == [("make", 1)]
    assert aws.stacks.values["slot1"]["ApiImage"] == OLD
    assert states(control) == {"x": "runs"}


def test_the_same_image_again_runs_on(control: PreviewControl, aws: Aws) -> None:
    """For example if a workflow is run again."""
    start(control, aws)
    aws.stacks.end("slot1")
    start(control, aws)
    assert states(control) == {"x": "runs"}


def test_both_repositories_share_a_preview_of_one_name(control: PreviewControl, aws: Aws) -> None:
    start(control, aws)
    aws.stacks.end("slot1")
    site = f"elsewhere/web-site@sha256:{'c' * 64}"
    start(control, aws, service="web-site", image=site)
    assert (aws.stacks.values["slot1"]["ApiImage"], aws.stacks.values["slot1"]["WebSiteImage"]) == (IMAGE, site)


def test_when_all_are_taken_it_says_by_whom(control: PreviewControl) -> None:
    assert {ask(control, "take", name)["preview"]["slot"] for name in ("x", "y")} == {1, 2}
    (problem,) = ask(control, "take", "z")["problems"]
    assert "all 2 are taken: x until" in problem["what"]
    assert ask(control, "take", "y")["preview"]["slot"] == 2


def test_only_one_of_two_concurrent_callers_gets_the_last_slot(
    control: PreviewControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second sees a slot as free that the first has taken meanwhile."""
    ask(control, "take", "x")
    ask(control, "take", "y")
    seen = iter([[], control.leases.all()])
    monkeypatch.setattr(Leases, "all", lambda self: next(seen))
    (problem,) = ask(control, "take", "z")["problems"]
    assert problem["check"] == "slot"


def test_a_lease_that_has_changed_is_not_overwritten(control: PreviewControl) -> None:
    ask(control, "take")
    (before,) = control.leases.all()
    control.leases.change(before, before.with_(phase="ending"))
    with pytest.raises(LeaseChanged):
        control.leases.change(before, before.with_(phase="making"))


def test_while_one_push_is_deployed_the_next_has_to_wait(control: PreviewControl, aws: Aws) -> None:
    ask(control, "start", service="api", image=IMAGE)
    for _ in range(2):
        (problem,) = ask(control, "start", service="api", image=OLD)["problems"]
        assert problem["check"] == BUSY
        # First its database is made, then its stack is updated.
        start(control, aws, "y")
    aws.stacks.end("slot1")
    assert ask(control, "start", service="api", image=OLD)["problems"] == []


@pytest.mark.parametrize(
    ("service", "image"),
    [("web", IMAGE), ("api", "evil.example.com/api@sha256:" + "a" * 64), ("api", f"{REPOSITORY}:latest")],
)
def test_an_unknown_service_or_image_takes_no_slot(service: str, image: str, control: PreviewControl) -> None:
    assert ask(control, "start", service=service, image=image)["problems"]
    assert control.leases.all() == []


def test_the_reason_of_a_failure_is_returned_and_a_retry_is_possible(control: PreviewControl, aws: Aws) -> None:
    start(control, aws)
    control.ledger.note("preview-1", "migration", {"reason": "it ended with 1", "lines": ["relation does not exist"]})
    aws.stacks.end("slot1", well=False)
    (value,) = ask(control, "list")["previews"]
    assert (value["state"], value["reason"]) == ("failed", "the migration failed")
    assert value["lines"] == ["it ended with 1", "relation does not exist", "PostgreSQL: of preview_1_owner"]
    start(control, aws, image=OLD)
    aws.stacks.end("slot1")
    assert states(control) == {"x": "runs"}


def test_a_database_that_cannot_be_made_ends_it_there(control: PreviewControl, aws: Aws) -> None:
    aws.functions.wrong = "no space left"
    start(control, aws)
    (value,) = ask(control, "list")["previews"]
    assert (value["state"], value["reason"]) == (
        "failed", "its database could not be made: databases: no space left",
    )  # fmt: skip
    assert aws.stacks.values["slot1"] == REST
    aws.functions.wrong = None
    start(control, aws)
    assert aws.functions.databases == [("make", 1)]


def test_a_refusal_by_cloudformation_is_returned(control: PreviewControl, aws: Aws) -> None:
    aws.stacks.refuses = {"slot1"}
    start(control, aws)
    (value,) = ask(control, "list")["previews"]
    assert value["state"] == "failed"
    assert "not now" in value["reason"]


def test_the_clock_takes_a_slot_back_with_all_that_was_in_it(control: PreviewControl, aws: Aws) -> None:
    """No workflow ever reports that the pull request was closed."""
    start(control, aws)
    aws.stacks.end("slot1")
    control.asked({"source": "aws.events"})
    assert states(control) == {"x": "runs"}
    hours_pass(control)
    control.asked({"source": "aws.events"})
    assert states(control) == {"x": "ending"}
    assert aws.functions.databases == [("make", 1)], "tasks still use it"
    control.asked({"source": "aws.events"})
    assert aws.functions.databases == [("make", 1)]
    aws.stacks.end("slot1")
    control.asked({"source": "aws.events"})
    assert aws.stacks.values["slot1"] == REST
    assert aws.functions.databases == [("make", 1), ("drop", 1)]
    assert control.leases.all() == []
    assert ask(control, "take", "z")["preview"]["slot"] == 1


def test_a_preview_can_be_ended_during_its_deployment(control: PreviewControl, aws: Aws) -> None:
    start(control, aws)
    assert ask(control, "end")["preview"]["state"] == "ending"
    assert aws.stacks.values["slot1"]["Count"] == "1", "CloudFormation takes no second update"
    aws.stacks.end("slot1")
    control.asked({})
    aws.stacks.end("slot1")
    control.asked({})
    assert (aws.stacks.values["slot1"], control.leases.all()) == (REST, [])


def test_a_preview_can_be_ended_while_its_database_is_created(control: PreviewControl, aws: Aws) -> None:
    ask(control, "start", service="api", image=IMAGE)
    ask(control, "end")
    for event in aws.functions.later:
        control.asked(event)
    assert aws.stacks.values["slot1"] == REST
    assert control.leases.all() == []


def test_a_slot_that_cannot_be_ended_is_reported_and_delays_no_other(control: PreviewControl, aws: Aws) -> None:
    for name in ("x", "y"):
        start(control, aws, name)
    for stack in ("slot1", "slot2"):
        aws.stacks.end(stack)
    hours_pass(control)
    aws.stacks.refuses = {"slot1"}
    with pytest.raises(RuntimeError, match=r"slot 1: .*not now"):
        control.asked({})
    assert aws.stacks.values["slot2"]["Count"] == "0"


def test_an_unknown_preview_cannot_be_ended(control: PreviewControl) -> None:
    (problem,) = ask(control, "end", "nobody")["problems"]
    assert "nobody" in problem["what"]


def test_a_lease_is_read_as_it_was_written(control: PreviewControl) -> None:
    lease = Lease(slot=1, id="a", name="x", who="w", until="2026-01-01T00:00:00+00:00", images={"api": IMAGE})
    control.leases.take(lease)
    assert control.leases.all() == [lease]
