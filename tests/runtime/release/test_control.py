"""Beginning a release and ending it, when AWS says no, says it twice, or never says anything; and going back."""

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra_runtime.caller import NotProven
from infra_runtime.contract.releases import RELEASED_TAG
from infra_runtime.contract.revision import started_by
from infra_runtime.release import control as control_module
from infra_runtime.release.control import NotYet, ReleaseControl
from infra_runtime.release.ledger import Ledger, Release, new_id
from infra_runtime.release.preflight import ReleasedService, ReleasePreflight, ReleaseProblem
from tests.runtime.release.aws import IMAGE, OLD, REPOSITORY, CloudFormation, Dynamo, Ecr, Ssm

STACK = "arn:aws:cloudformation:eu-central-1:111122223333:stack/daadaar-production-api/1"
OLDER = f"{REPOSITORY}@sha256:{'c' * 64}"
DEPLOYMENT = "arn:aws:ecs:eu-central-1:111122223333:service-deployment/cluster/api/1"


class Aws:
    def __init__(self) -> None:
        self.cloudformation, self.ssm, self.ecr = CloudFormation(), Ssm(OLD), Ecr(IMAGE, OLD, OLDER)
        self.under_way: list[dict[str, Any]] = []
        self.stopped: list[str] = []
        self.migrating: list[str] = []
        """ARNs of tasks that migrate for the deployment."""
        self.refuses_to_stop_tasks = False
        self.is_over = False
        self.begun: list[dict[str, Any]] = []
        """Deployments since the release began, however they ended."""
        self.postgres: list[str] = []

    def client(self, service: str) -> Any:
        return {
            "cloudformation": self.cloudformation, "ssm": self.ssm, "ecr": self.ecr, "ecs": self, "logs": self,
        }[service]  # fmt: skip

    def stop_service_deployment(self, *, serviceDeploymentArn: str, stopType: str) -> None:  # noqa: N803
        if self.is_over:
            raise ClientError(
                {"Error": {"Code": "ConflictException", "Message": "it is over"}}, "StopServiceDeployment"
            )
        assert stopType == "ROLLBACK"
        self.stopped.append(serviceDeploymentArn)

    def list_tasks(self, *, cluster: str, startedBy: str) -> dict[str, Any]:  # noqa: N803
        """Those that are to run (API Reference, ListTasks)."""
        return {"taskArns": self.migrating if (cluster, startedBy) == ("c", started_by(DEPLOYMENT)) else []}

    def stop_task(self, *, cluster: str, task: str, reason: str) -> None:
        if self.refuses_to_stop_tasks:
            raise ClientError({"Error": {"Code": "ServerException", "Message": "not now"}}, "StopTask")
        self.migrating = [each for each in self.migrating if each != task]

    def deploys(self, stage: str | None, status: str = "IN_PROGRESS") -> None:
        found = {"serviceDeploymentArn": DEPLOYMENT, "clusterArn": "c", "status": status}
        self.under_way = self.begun = [found | ({"lifecycleStage": stage} if stage else {})]

    def list_service_deployments(self, **_: Any) -> dict[str, Any]:
        return {"serviceDeployments": self.begun}

    def describe_service_deployments(self, *, serviceDeploymentArns: list[str]) -> dict[str, Any]:  # noqa: N803
        return {"serviceDeployments": self.under_way}

    def get_paginator(self, operation: str) -> Any:
        if operation == "list_tasks":
            return SimpleNamespace(paginate=lambda **asked: [self.list_tasks(**asked)])
        assert operation == "filter_log_events"
        return self

    def paginate(self, **_: Any) -> list[dict[str, Any]]:
        return [{"events": []}, {"events": [{"message": each} for each in self.postgres]}]


@pytest.fixture
def aws() -> Aws:
    return Aws()


@pytest.fixture
def problems(monkeypatch: pytest.MonkeyPatch) -> list[ReleaseProblem]:
    """Findings of a release's preflight, which has its own tests in a deployed account."""
    found: list[ReleaseProblem] = []
    monkeypatch.setattr(
        ReleasePreflight, "problems", lambda self, image, kind: list(found) if kind == "release" else []
    )
    monkeypatch.setattr(control_module, "rollback_reason", lambda clients, stack, since: "ECS has its reasons")
    monkeypatch.setattr(control_module, "services_of", lambda clients, stack: [{"clusterArn": "c", "serviceArn": "s"}])
    monkeypatch.setattr(control_module, "under_way", lambda clients, service: clients.under_way)
    return found


@pytest.fixture
def control(aws: Aws, problems: list[ReleaseProblem]) -> ReleaseControl:
    service = ReleasedService(
        "api", "daadaar-production-api", "/daadaar/production/api/image", REPOSITORY, "linux/arm64", ()
    )
    return ReleaseControl(aws, Ledger(Dynamo(), "releases"), service, database_log="/aws/rds/instance/db/postgresql")


def start(control: ReleaseControl, image: str = IMAGE, **more: Any) -> dict[str, Any]:
    return control.asked({"action": "release", "image": image, "who": "somebody", **more})


def rollback(control: ReleaseControl, **more: Any) -> dict[str, Any]:
    return control.asked({"action": "rollback", "who": "operator", **more})


def released(
    control: ReleaseControl, aws: Aws, image: str, *, breaks: tuple[str, ...] = (), run: str | None = None
) -> str:
    """Id of a release that has succeeded."""
    return succeeded(control, aws, start(control, image, run=run)["id"], breaks=breaks)


def succeeded(control: ReleaseControl, aws: Aws, identity: str, *, breaks: tuple[str, ...] = ()) -> str:
    if breaks:
        control.ledger.note("api", "migration", {"breaks": list(breaks)})
    aws.cloudformation.end("UPDATE_COMPLETE")
    control.settle()
    return sorted_by_time(control, identity)


def sorted_by_time(control: ReleaseControl, identity: str) -> str:
    """Runs a release and returns its id. Ids sort by time, but these tests take less than a second."""
    dynamo = control.ledger.dynamodb
    item = dynamo.items.pop(("api", identity))
    named = f"r{len(dynamo.items):08}-{identity[-6:]}"
    dynamo.items["api", named] = {**item, "id": {"S": named}}
    return named


def newest(control: ReleaseControl) -> Release:
    found = control.ledger.newest("api")
    assert found is not None
    return found


def message_of(answer: dict[str, Any]) -> str:
    return "\n".join(f"{each['check']}: {each['what']}" for each in answer["problems"])


def test_the_stack_is_updated_with_the_template_that_is_there(control: ReleaseControl, aws: Aws) -> None:
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


def test_an_image_is_kept_from_the_moment_it_is_released(control: ReleaseControl, aws: Aws) -> None:
    aws.cloudformation.refuses = "not now"
    start(control)
    digest = IMAGE.partition("@")[2]
    assert aws.ecr.tags[digest] == {f"{RELEASED_TAG}{newest(control).id}"}
    aws.cloudformation.refuses = ""
    released(control, aws, IMAGE)
    assert len(aws.ecr.tags[digest]) == 2


def test_check_changes_nothing(control: ReleaseControl, aws: Aws) -> None:
    assert control.asked({"action": "check", "image": IMAGE}) == {"problems": []}
    assert (aws.ssm.value, aws.cloudformation.updates, control.ledger.releases("api")) == (OLD, [], [])


def test_an_obstacle_stops_a_release(control: ReleaseControl, aws: Aws, problems: list[ReleaseProblem]) -> None:
    problems.append(ReleaseProblem("scan", "holes", "build it anew"))
    assert start(control) == {"problems": [{"check": "scan", "what": "holes", "todo": "build it anew"}]}
    assert (aws.ssm.value, control.ledger.releases("api")) == (OLD, [])


def test_a_refused_stack_update_changes_nothing(control: ReleaseControl, aws: Aws) -> None:
    aws.cloudformation.refuses = "No updates are to be performed."
    assert "No updates" in message_of(start(control))
    assert aws.ssm.value == OLD
    assert newest(control).outcome == "failed"


@pytest.mark.parametrize("loses_tokens", [False, True], ids=["each event has the token", "only the first one has"])
@pytest.mark.parametrize(
    ("status", "outcome_and_image"),
    [
        ("UPDATE_COMPLETE", ("succeeded", IMAGE)),
        ("UPDATE_ROLLBACK_COMPLETE", ("failed", OLD)),
        ("UPDATE_ROLLBACK_FAILED", ("failed", OLD)),
        ("UPDATE_FAILED", ("failed", OLD)),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", ("running", IMAGE)),
    ],
)
def test_the_outcome_is_recorded_once(
    status: str, outcome_and_image: tuple[str, str], loses_tokens: bool, control: ReleaseControl, aws: Aws
) -> None:
    start(control)
    aws.cloudformation.loses_tokens = loses_tokens
    aws.cloudformation.end(status)
    ended = control.settle()
    assert control.settle() is None, "EventBridge delivers at least once"
    entry = newest(control)
    assert (entry.outcome, aws.ssm.value) == outcome_and_image
    assert ended == (None if entry.outcome == "running" else entry)
    if entry.outcome == "failed":
        assert entry.reason == "ECS has its reasons"


def test_a_failed_release_puts_back_its_own_image_only(control: ReleaseControl, aws: Aws) -> None:
    start(control)
    aws.ssm.value = "what somebody wrote since"
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    control.settle()
    assert aws.ssm.value == "what somebody wrote since"


def test_an_announced_end_counts_when_cloudformation_shows_it(control: ReleaseControl, aws: Aws) -> None:
    """Whoever may invoke the function can forge such an event: it neither ends a release nor moves an image."""
    identity = start(control)["id"]
    for status in ("UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"):
        for token in (identity, None):
            assert control.settle() is None
            with pytest.raises(NotYet, match="does not show its end yet"):
                control.expect({"stack-id": STACK, "status-details": {"status": status}, "client-request-token": token})
    assert (newest(control).outcome, aws.ssm.value) == ("running", IMAGE)


def test_updates_of_others_end_no_release(control: ReleaseControl, aws: Aws) -> None:
    cloudformation = aws.cloudformation
    cloudformation.happens("UPDATE_IN_PROGRESS", "cdk-deploy-1")
    cloudformation.happens("UPDATE_COMPLETE", "cdk-deploy-1")
    identity = start(control)["id"]
    assert control.settle() is None
    control.expect({"status-details": {"status": "UPDATE_COMPLETE"}, "client-request-token": "cdk-deploy-1"})
    # Its own end was missed, and another deployment has run since.
    cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    cloudformation.happens("UPDATE_IN_PROGRESS", "cdk-deploy-2")
    cloudformation.happens("UPDATE_COMPLETE", "cdk-deploy-2")
    assert control.settle() is not None
    assert (newest(control).id, newest(control).outcome) == (identity, "failed")


def test_a_release_whose_stack_update_never_began_has_failed(control: ReleaseControl, aws: Aws) -> None:
    """The function ended between the ledger and the update."""
    now = datetime.now(UTC)
    for began, outcome in ((now - timedelta(minutes=2), "running"), (now - timedelta(minutes=20), "failed")):
        release = Release(
            service="api", id=new_id(began, outcome), kind="release", image=IMAGE, previous=OLD, who="somebody",
            began=began.isoformat(), template="t",
        )  # fmt: skip
        control.ledger.dynamodb.items.clear()
        control.ledger.begin(release)
        control.settle()
        assert newest(control).outcome == outcome
    assert newest(control).reason == "CloudFormation never began it"


def test_a_second_concurrent_release_is_refused(control: ReleaseControl, aws: Aws) -> None:
    start(control)
    assert "by somebody is under way" in message_of(start(control, who="somebody else"))
    assert len(aws.cloudformation.updates) == 1


def test_two_at_the_same_moment_do_not_share_the_parameter(
    control: ReleaseControl, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sees the other only after both are in the ledger."""
    first = start(control)["id"]
    monkeypatch.setattr(ReleaseControl, "_busy", lambda self: [])
    assert f"{first} by somebody is under way" in message_of(start(control, OLDER, who="somebody else"))
    assert (aws.ssm.value, len(aws.cloudformation.updates)) == (IMAGE, 1)
    aws.cloudformation.end("UPDATE_COMPLETE")
    control.settle()
    assert {each.id: each.outcome for each in control.ledger.releases("api")}[first] == "succeeded"


def test_postgresqls_own_words_are_in_the_reason_of_a_failed_migration(control: ReleaseControl, aws: Aws) -> None:
    """Beside the hook's: an error of PostgreSQL need not be why a release ended (a skipped migration, a time limit)."""
    start(control)
    found = {"exit": 1, "reason": "the command ended with 1", "invalid": ["public.once"]}
    control.ledger.note("api", "migration", found)
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    aws.postgres = ['2026-11-26 12:00:00 UTC:10.0.0.1(1):app_owner_a@app:[7]:ERROR:  relation "missing" does not exist']
    control.settle()
    assert newest(control).reason == (
        'migration: the command ended with 1; PostgreSQL: relation "missing" does not exist;'
        " INVALID index: drop index concurrently public.once;"
    )


def test_where_postgresql_refused_nothing_the_tools_last_lines_are_in_the_reason(
    control: ReleaseControl, aws: Aws
) -> None:
    start(control)
    found = {"exit": 3, "reason": "the command ended with 3", "lines": ["reading drizzle.config.json", "no such file"]}
    control.ledger.note("api", "migration", found)
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    control.settle()
    assert newest(control).reason == (
        "migration: the command ended with 3\n  | reading drizzle.config.json\n  | no such file"
    )


def test_a_check_that_says_no_is_the_reason(control: ReleaseControl, aws: Aws) -> None:
    start(control)
    control.ledger.note("api", "complaints", ["10.0.0.1: redis is 'refused', not 'ok'"])
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    control.settle()
    assert newest(control).reason == "10.0.0.1: redis is 'refused', not 'ok'"


# -- forward


RUN = "daadaar/backend/.github/workflows/release.yml#{}"


def test_an_older_run_is_not_released_over_a_newer_one_whichever_was_built_first(
    control: ReleaseControl, aws: Aws
) -> None:
    released(control, aws, OLD, run=RUN.format(9))
    last = released(control, aws, IMAGE, run=RUN.format(11))
    for ask in ("check", "release"):
        answer = control.asked({"action": ask, "image": OLDER, "who": "a pipeline", "run": RUN.format(10)})
        assert "release.yml#10 is older than" in message_of(answer)
        assert "infra rollback ENV" in answer["problems"][0]["todo"]
    assert (aws.ssm.value, newest(control).id) == (IMAGE, last)


@pytest.mark.parametrize("run", [
    RUN.format(11),  # The same commit, built again.
    RUN.format(12),
    "daadaar/backend/.github/workflows/renamed.yml#1",  # GitHub counts each workflow from 1.
    None,  # A person.
])  # fmt: skip
def test_a_new_image_of_the_same_commit_or_a_later_one_is_released(
    run: str | None, control: ReleaseControl, aws: Aws
) -> None:
    released(control, aws, IMAGE, run=RUN.format(11))
    assert start(control, OLDER, run=run)["problems"] == []


def test_an_earlier_image_returns_only_by_a_rollback(control: ReleaseControl, aws: Aws) -> None:
    first = released(control, aws, OLD, run=RUN.format(10))
    released(control, aws, IMAGE, run=RUN.format(11))
    for run in (RUN.format(10), None):
        answer = start(control, OLD, run=run)
        assert [each["check"] for each in answer["problems"]] == ["order"]
    assert answer["problems"][0]["todo"].startswith(f"infra rollback ENV {first}")


def test_after_a_rollback_only_what_is_older_than_its_target_stays_behind(control: ReleaseControl, aws: Aws) -> None:
    released(control, aws, OLD, run=RUN.format(10))
    released(control, aws, IMAGE, run=RUN.format(11))
    succeeded(control, aws, rollback(control)["id"])
    control.asked({"action": "resume", "who": "a person"})
    assert "#9 is older than" in message_of(start(control, OLDER, run=RUN.format(9)))
    assert start(control, IMAGE, run=RUN.format(11))["problems"] == []


def test_a_failed_release_does_not_block_the_next(control: ReleaseControl, aws: Aws) -> None:
    released(control, aws, OLD, run=RUN.format(9))
    start(control, IMAGE, run=RUN.format(11))
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    control.settle()
    assert start(control, OLDER, run=RUN.format(10))["problems"] == []


def test_a_reverted_version_that_builds_to_the_same_image_is_released(control: ReleaseControl, aws: Aws) -> None:
    released(control, aws, OLD, run=RUN.format(10))
    released(control, aws, IMAGE, run=RUN.format(11))
    assert start(control, OLD, run=RUN.format(12))["problems"] == []


def test_releases_from_before_runs_were_written_down_are_read(control: ReleaseControl, aws: Aws) -> None:
    identity = released(control, aws, IMAGE)
    del control.ledger.dynamodb.items["api", identity]["run"]
    assert newest(control).run is None
    assert start(control, OLDER, run=RUN.format(1))["problems"] == []


@pytest.mark.parametrize(
    "run", ["", "release.yml", "release.yml#", "release.yml#x", "#1", 7, "a\nb#1", "x#1" + "0" * 300]
)
def test_a_malformed_run_is_refused(run: object, control: ReleaseControl) -> None:
    with pytest.raises(ValueError, match="expected WORKFLOW#NUMBER"):
        start(control, run=run)


# -- back


def test_a_rollback_returns_to_the_last_successful_release_only(
    control: ReleaseControl, aws: Aws, problems: list[ReleaseProblem]
) -> None:
    for image in (OLDER, OLD, IMAGE):
        last = released(control, aws, image)
    problems.append(ReleaseProblem("alarm", "rings", "why it goes back"))
    answer = rollback(control, image="whatever the caller wants")
    assert answer["problems"] == []
    assert answer["back_from"] == last
    entry = newest(control)
    assert (entry.kind, entry.image, entry.previous, entry.who) == ("rollback", OLD, IMAGE, "operator")


def test_a_rollback_skips_images_that_never_succeeded(control: ReleaseControl, aws: Aws) -> None:
    first = released(control, aws, OLD)
    released(control, aws, IMAGE)
    failed = start(control, OLDER)["id"]
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    control.settle()
    for wanted in (failed, "r20200101-000000-abcdef", OLDER):
        assert "expected one that succeeded" in message_of(rollback(control, release=wanted))
    with pytest.raises(ValueError, match="expected check, release, rollback or resume"):
        control.asked({"action": "start", "kind": "rollback", "image": OLDER, "who": "a pipeline"})
    assert aws.ssm.value == IMAGE
    assert rollback(control, release=first)["back_to"] == first


def test_a_rollback_past_the_schema_needs_accept_schema(control: ReleaseControl, aws: Aws) -> None:
    released(control, aws, OLD)
    released(control, aws, IMAGE, breaks=("gone: column a.b",))
    for said in ({}, {"accept_schema": "yes"}):
        assert "gone: column a.b" in message_of(rollback(control, **said))
    assert aws.ssm.value == IMAGE
    assert "id" in rollback(control, accept_schema=True)


STAGES = (
    "RECONCILE_SERVICE", "PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT",
    "PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME",
    "CLEAN_UP",
)  # fmt: skip


@pytest.mark.parametrize(("stage", "status"), [
    (None, "PENDING"), (None, "IN_PROGRESS"), *((stage, "IN_PROGRESS") for stage in STAGES)
])  # fmt: skip
def test_a_rollback_stops_a_release_at_each_of_its_stages(
    stage: str | None, status: str, control: ReleaseControl, aws: Aws
) -> None:
    """ECS stops whatever is PENDING or IN_PROGRESS (its developer guide, "Stopping Amazon ECS service deployments")."""
    identity = start(control)["id"]
    aws.deploys(stage, status)
    answered = {"problems": [], "path": "stopped", "stopped": DEPLOYMENT, "id": identity, "stage": stage}
    assert rollback(control, note="errors everywhere") == {**answered, "migration_stopped": False}
    assert aws.stopped == [DEPLOYMENT]
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    control.settle()
    entry = newest(control)
    assert (entry.outcome, entry.reason, aws.ssm.value) == ("failed", "stopped by operator: errors everywhere", OLD)


def test_a_migration_does_not_outlive_its_release(control: ReleaseControl, aws: Aws) -> None:
    """It could hold its locks for an hour, and ECS no longer asks about it."""
    start(control)
    aws.deploys("PRE_SCALE_UP")
    aws.migrating = ["arn:aws:ecs:r:a:task/c/1"]
    assert rollback(control)["migration_stopped"] is True
    assert aws.migrating == []


def test_a_migration_that_cannot_be_stopped_does_not_block_a_rollback(control: ReleaseControl, aws: Aws) -> None:
    start(control)
    aws.deploys("PRE_SCALE_UP")
    aws.migrating, aws.refuses_to_stop_tasks = ["arn:aws:ecs:r:a:task/c/1"], True
    answer = rollback(control)
    assert (answer["path"], answer["migration_stopped"]) == ("stopped", False)


def test_after_a_stopped_migration_schema_breakage_is_unknown_until_the_next_release(
    control: ReleaseControl, aws: Aws
) -> None:
    first = released(control, aws, OLDER)
    released(control, aws, OLD)
    stopped = start(control)["id"]
    aws.deploys("PRE_SCALE_UP")
    aws.migrating = ["arn:aws:ecs:r:a:task/c/1"]
    rollback(control)
    aws.under_way = []
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    control.settle()
    sorted_by_time(control, stopped)
    assert "unknown: its migration was stopped" in message_of(rollback(control, release=first))
    begun = start(control)["id"]
    control.ledger.note("api", "migration", {"after": "digest", "breaks": []})
    succeeded(control, aws, begun)
    assert rollback(control, release=first)["path"] == "release"


@pytest.mark.parametrize("status", ["STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"])
def test_a_rollback_of_a_release_that_is_rolling_back_leaves_it_alone(
    status: str, control: ReleaseControl, aws: Aws
) -> None:
    identity = start(control)["id"]
    aws.deploys("BAKE_TIME", status)
    assert rollback(control) == {"problems": [], "path": "going back", "id": identity}
    aws.deploys(None)
    aws.cloudformation.status = "UPDATE_ROLLBACK_IN_PROGRESS"
    assert rollback(control) == {"problems": [], "path": "going back", "id": identity}
    assert (aws.stopped, newest(control).stopped) == ([], None)


def test_a_repeated_rollback_does_not_return_to_the_bad_version(control: ReleaseControl, aws: Aws) -> None:
    released(control, aws, OLD)
    released(control, aws, IMAGE)
    identity = rollback(control)["id"]
    for stage in (None, "BAKE_TIME"):
        assert rollback(control) == {"problems": [], "path": "going back", "id": identity}
        aws.deploys(stage)
    assert aws.stopped == []


def test_a_release_that_ecs_has_not_begun_is_stopped_by_its_hooks(control: ReleaseControl, aws: Aws) -> None:
    identity = start(control)["id"]
    assert rollback(control, note="the wrong one") == {"problems": [], "path": "wait", "id": identity}
    assert newest(control).stopped == "stopped by operator: the wrong one"
    assert control.ledger.is_stopped("api", IMAGE)
    assert not control.ledger.is_stopped("api", OLD), "CloudFormation's own way back is asked about, too"
    # The next time that it asks, ECS has begun, and is quicker than the hook.
    aws.deploys("PRE_SCALE_UP")
    assert rollback(control, note="the wrong one")["path"] == "stopped"


def test_a_rollback_waits_for_cloudformation_after_ecs_has_finished(control: ReleaseControl, aws: Aws) -> None:
    first = released(control, aws, OLD)
    identity = start(control)["id"]
    aws.deploys("CLEAN_UP", "SUCCESSFUL")
    aws.under_way = []
    assert rollback(control) == {"problems": [], "path": "wait", "id": identity}
    assert newest(control).stopped is None, "it will have succeeded"
    succeeded(control, aws, identity)
    answer = rollback(control)
    assert (answer["path"], answer["back_to"], aws.ssm.value) == ("release", first, OLD)


def test_a_rollback_waits_for_a_release_that_ends_meanwhile(control: ReleaseControl, aws: Aws) -> None:
    start(control)
    aws.deploys("CLEAN_UP")
    aws.is_over = True
    assert rollback(control)["path"] == "wait"
    assert newest(control).stopped is None
    aws.cloudformation.end("UPDATE_COMPLETE")
    control.settle()
    assert newest(control).outcome == "succeeded"


@pytest.mark.parametrize("stopped_by", [None, "operator"])
def test_after_a_release_that_went_back_there_is_nothing_to_go_back_from(
    stopped_by: str | None, control: ReleaseControl, aws: Aws
) -> None:
    """Otherwise the engineer on call would also roll back the good version."""
    first = released(control, aws, OLDER)
    released(control, aws, OLD)
    failed = start(control)["id"]
    if stopped_by:
        aws.deploys("BAKE_TIME")
        rollback(control)
        aws.under_way = []
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    control.settle()
    assert rollback(control) == {"problems": [], "path": "over", "id": failed, "further": first}
    assert aws.ssm.value == OLD
    assert rollback(control, release=first)["path"] == "release", "by its name it is meant"


def test_a_first_release_that_went_back_is_over_with_nothing_further_back(control: ReleaseControl, aws: Aws) -> None:
    """An error would tell the engineer on call that the bad version still serves."""
    failed = start(control)["id"]
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    control.settle()
    assert rollback(control) == {"problems": [], "path": "over", "id": failed, "further": None}


def test_an_hour_after_a_failed_release_a_rollback_starts_from_what_runs(control: ReleaseControl, aws: Aws) -> None:
    released(control, aws, OLDER)
    released(control, aws, OLD)
    failed = start(control)["id"]
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    control.settle()
    item = control.ledger.dynamodb.items["api", failed]
    item["ended"] = {"S": (datetime.now(UTC) - timedelta(minutes=61)).isoformat()}
    assert (rollback(control)["path"], aws.ssm.value) == ("release", OLDER)


def test_a_deployment_that_is_no_release_is_stopped_too(control: ReleaseControl, aws: Aws) -> None:
    """A restart, or `cdk deploy`."""
    released(control, aws, OLD)
    aws.deploys("SCALE_UP")
    answer = rollback(control)
    assert (answer["path"], answer["stopped"], answer["id"]) == ("stopped", DEPLOYMENT, None)


def test_a_release_is_not_named_while_something_is_under_way(control: ReleaseControl, aws: Aws) -> None:
    first = released(control, aws, OLD)
    identity = start(control)["id"]
    assert f"{identity} is under way" in message_of(rollback(control, release=first))
    aws.deploys("BAKE_TIME")
    assert "is under way" in message_of(rollback(control, release=first))
    assert aws.stopped == []


# -- after a rollback


@pytest.mark.parametrize("how", ["stopped", "released"])
def test_after_a_rollback_pipelines_wait_until_releases_are_resumed(
    how: str, control: ReleaseControl, aws: Aws
) -> None:
    released(control, aws, OLD, run=RUN.format(9))
    if how == "stopped":
        start(control, IMAGE, run=RUN.format(10))
        aws.deploys("BAKE_TIME")
        rollback(control, note="errors everywhere")
        aws.under_way = []
        aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
        control.settle()
    else:
        released(control, aws, IMAGE, run=RUN.format(10))
        succeeded(control, aws, rollback(control)["id"])
    rolled = newest(control).id
    for ask in ("check", "release"):
        answer = control.asked({"action": ask, "image": OLDER, "who": "a pipeline", "run": RUN.format(11)})
        assert [each["check"] for each in answer["problems"]] == ["rollback"]
        assert f"pipelines wait since {rolled}" in message_of(answer)
        assert answer["problems"][0]["todo"] == "infra release ENV --service api --resume"
    assert control.asked({"action": "check", "image": OLDER, "who": "a person"})["problems"] == []
    assert control.asked({"action": "resume", "who": "zara"}) == {"problems": [], "id": rolled}
    assert str(newest(control).resumed).startswith("zara, 20")
    assert start(control, OLDER, run=RUN.format(11))["problems"] == []


def test_a_release_that_failed_without_a_rollback_blocks_no_pipeline(control: ReleaseControl, aws: Aws) -> None:
    released(control, aws, OLD, run=RUN.format(9))
    start(control, IMAGE, run=RUN.format(10))
    aws.cloudformation.end("UPDATE_ROLLBACK_COMPLETE")
    control.settle()
    assert "pipelines do not wait" in message_of(control.asked({"action": "resume", "who": "zara"}))
    assert start(control, OLDER, run=RUN.format(11))["problems"] == []


@pytest.mark.parametrize("claim", [{"run": RUN.format(12)}, {"acts_for": "somebody"}])
def test_a_workflow_does_not_resume_itself(claim: dict[str, str], control: ReleaseControl, aws: Aws) -> None:
    released(control, aws, OLD)
    released(control, aws, IMAGE)
    succeeded(control, aws, rollback(control)["id"])
    assert "may not resume" in message_of(control.asked({"action": "resume", "who": "a pipeline", **claim}))
    assert newest(control).resumed is None


# -- callers


def test_who_asks_is_taken_from_their_credentials(
    control: ReleaseControl, monkeypatch: pytest.MonkeyPatch, aws: Aws
) -> None:
    def proven(event: dict[str, Any], *, sts: Any, function: str) -> str:
        if event.get("caller") != f"signed for {function}":
            raise NotProven("STS refuses the proof")
        return "arn:aws:sts::1:assumed-role/Release/run-7"

    for name in ("SERVICE", "STACK", "PARAMETER", "REPOSITORY", "PLATFORM", "LEDGER", "ENVIRONMENT"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("SECRETS", "[]")
    monkeypatch.setattr(control_module, "aws", SimpleNamespace(client=lambda name: None))
    monkeypatch.setattr(control_module, "ReleaseControl", lambda *_, **__: control)
    monkeypatch.setattr(control_module, "who", proven)
    context = SimpleNamespace(function_name="control")
    forged = {"action": "release", "image": IMAGE, "who": "the CEO"}
    assert message_of(control_module.handler(forged, context)) == "caller: STS refuses the proof"
    assert aws.cloudformation.updates == []
    control_module.handler({**forged, "caller": "signed for control"}, context)
    assert newest(control).who == "arn:aws:sts::1:assumed-role/Release/run-7"


def test_ids_sort_by_time_and_are_tokens() -> None:
    """CloudFormation's: at most 128 letters, digits and hyphens, a letter first."""
    moments = [datetime(2026, 11, 23, 7, 0, second, tzinfo=UTC) for second in (1, 2, 10)]
    identities = [new_id(each, "abcdef") for each in moments]
    assert identities == sorted(identities)
    assert all(re.fullmatch(r"[a-zA-Z][-a-zA-Z0-9]{0,127}", each) for each in identities)
