"""A job's runs from claim to end: never two at a time, and each one ends once, whatever AWS answers or loses."""

import json
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError

from infra_runtime.caller import NotProven
from infra_runtime.contract.metrics import JobMetric
from infra_runtime.jobs import control as control_module
from infra_runtime.jobs.control import JobControl, JobDefinition
from infra_runtime.jobs.runs import Run, Runs
from tests.runtime.jobs.aws import BOOTSTRAP, CLUSTER, IMAGE, REPOSITORY, Clock, Dynamo, Ecs, Logs, refusal

OUT_OF_CAPACITY = [{"reason": "RESOURCE:FARGATE", "detail": "no capacity"}]


class World:
    """One service's function with its jobs, and AWS around it."""

    def __init__(self, *jobs: JobDefinition, before: Callable[[], None] = lambda: None) -> None:
        self.clock = Clock()
        self.dynamo, self.ecs, self.logs = Dynamo(before), Ecs(self.clock, before), Logs()
        self.runs = Runs(self.dynamo, "ledger")
        self.slept: list[float] = []
        self.deploy(*jobs)

    def deploy(self, *jobs: JobDefinition) -> None:
        self.control = JobControl(
            ecs=self.ecs, logs=self.logs, runs=self.runs, jobs={each.name: each for each in jobs}, cluster=CLUSTER,
            network={}, repository=REPOSITORY, environment="production", now=self.clock, sleep=self.slept.append,
        )  # fmt: skip

    def ask(self, job: str = "clean") -> dict[str, Any]:
        return self.control.asked(job, by="schedule", due=self.clock.now.replace(microsecond=0))

    def tend(self, **later: float) -> None:
        self.clock.passes(**later)
        self.control.tend()

    def end(self, code: int | None = 0, **more: Any) -> None:
        """Ends the running task, and delivers ECS's event."""
        (arn,) = self.ecs.alive
        self.control.stopped(self.ecs.end(arn, code, **more))

    def ended(self) -> list[Run]:
        return self.runs.newest("clean")


def job(
    name: str = "clean", *, minutes: int = 30, retries: int = 0, overdue: int = 90, definition: str = "clean"
) -> JobDefinition:
    return JobDefinition(name=name, definition=definition, minutes=minutes, retries=retries, overdue_minutes=overdue)


def metrics(capsys: pytest.CaptureFixture[str], name: str) -> list[float]:
    """Values that were published of one metric since the last call."""
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"_aws"')]
    return [line[name] for line in lines if name in line]


# -- starting


def test_a_job_never_runs_twice_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(job())
    assert world.ask()["task"] == world.ecs.alive[0]
    world.clock.passes(minutes=15)
    assert "clean is running since 2026-11-26T03:30:00" in world.ask()["problem"]
    assert len(world.ecs.tasks) == 1
    assert metrics(capsys, "JobSkipped") == [1]
    world.end()
    assert "run" in world.ask()


def test_an_event_that_is_delivered_twice_starts_one_run() -> None:
    """EventBridge delivers at least once (User Guide, "Troubleshooting": a rule ran more than once)."""
    world = World(job())
    world.ask()
    world.end()
    assert "has ended already" in world.ask()["problem"]
    assert len(world.ecs.tasks) == 1


def test_a_person_may_run_a_job_again_at_once() -> None:
    world = World(job())
    for _ in range(2):
        assert "run" in world.control.asked("clean", by="arn:aws:iam::111122223333:role/me")
        world.end()
        world.clock.passes(milliseconds=1)
    assert len(world.ended()) == 2


def test_nothing_runs_and_nothing_is_overdue_before_the_first_release(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(job())
    world.ecs.image = BOOTSTRAP
    assert "nothing was released yet" in world.ask()["problem"]
    world.tend(days=30)
    assert metrics(capsys, "JobOverdueMinutes") == [0]
    world.ecs.image = IMAGE
    world.tend()
    assert metrics(capsys, "JobOverdueMinutes") == [0], "counts from the release on"


def test_a_job_that_is_not_deployed_is_answered_with_those_that_are() -> None:
    assert World(job(), job("mail")).ask("cleen") == {"problem": "job 'cleen' is not deployed; these are: clean, mail"}


# -- ending


@pytest.mark.parametrize(("code", "outcome", "metric"), [(0, "succeeded", "JobSucceeded"), (7, "failed", "JobFailed")])
def test_the_exit_code_decides(code: int, outcome: str, metric: str, capsys: pytest.CaptureFixture[str]) -> None:
    world = World(job())
    world.ask()
    world.end(code)
    assert [(each.outcome, each.exit) for each in world.ended()] == [(outcome, code)]
    assert metrics(capsys, metric) == [1]
    assert world.runs.current("clean") is None


def test_a_failure_tells_the_last_lines_of_the_log_and_then_ecs_reason() -> None:
    world = World(job())
    world.ask()
    world.logs.lines["clean:1", "job/job/1"] = [*(f"line {each}" for each in range(20)), "\x1b[31mno such table\x1b[0m"]
    world.logs.late = 2
    world.end(1)
    reason = str(world.ended()[0].reason).splitlines()
    assert reason[0] == "line 11"
    assert reason[-2:] == ["no such table", "Essential container in task exited"]


def test_a_log_stream_that_is_late_is_waited_for() -> None:
    world = World(job())
    world.ask()
    world.logs.lines["clean:1", "job/job/1"] = ["no such table"]
    world.logs.absent = 2
    world.end(1)
    assert str(world.ended()[0].reason).startswith("no such table\n")


def test_a_long_log_keeps_its_end_and_the_reason() -> None:
    world = World(job())
    world.ask()
    world.logs.lines["clean:1", "job/job/1"] = ["x" * 5000, "no such table"]
    world.end(1)
    reason = str(world.ended()[0].reason)
    assert reason.endswith("x\nno such table\nEssential container in task exited")
    assert len(reason) < 2100


def test_the_container_s_own_reason_says_more_than_the_task_s() -> None:
    world = World(job())
    world.ask()
    (arn,) = world.ecs.alive
    task = world.ecs.end(arn, 137)
    task["containers"][1]["reason"] = "OutOfMemoryError: Container killed due to memory usage"
    world.control.stopped(task)
    assert world.ended()[0].reason == "OutOfMemoryError: Container killed due to memory usage"


def test_a_task_that_never_started_has_failed_without_waiting_for_a_log() -> None:
    world = World(job())
    world.ask()
    world.end(None, stoppedReason="CannotPullContainerError: not found", stopCode="TaskFailedToStart")
    assert [(each.outcome, each.reason) for each in world.ended()] == [
        ("failed", "CannotPullContainerError: not found")
    ]
    assert world.slept == []


def test_a_run_ends_even_if_its_log_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(job())
    world.ask()

    def denied(**_: Any) -> None:
        raise refusal("AccessDeniedException")

    monkeypatch.setattr(world.logs, "get_log_events", denied)
    world.end(1)
    assert world.runs.current("clean") is None


@pytest.mark.parametrize("code", [0, 137])
def test_a_job_that_reaches_its_time_limit_has_failed_however_it_exits(code: int) -> None:
    world = World(job(minutes=30))
    world.ask()
    world.tend(minutes=29)
    assert world.ecs.tasks[world.ecs.alive[0]]["desiredStatus"] == "RUNNING"
    world.tend(minutes=2)
    world.end(code)
    last = world.ended()[0]
    assert (last.outcome, last.exit) == ("failed", code)
    assert last.reason == "stopped after 30 minutes, its time limit"


def test_a_job_that_ended_by_itself_just_before_its_limit_has_succeeded() -> None:
    world = World(job(minutes=30))
    world.ask()
    (arn,) = world.ecs.alive
    world.ecs.end(arn, 0)
    world.tend(minutes=31)
    assert world.ended()[0].outcome == "succeeded"


def test_a_job_is_asked_to_stop_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(job(minutes=1))
    world.ask()
    world.tend(minutes=2)
    monkeypatch.setattr(world.ecs, "stop_task", lambda **_: pytest.fail("it was asked already"))
    world.tend(minutes=1)


def test_a_job_that_fargate_interrupts_has_failed_even_if_it_exits_with_0() -> None:
    """A graceful end on SIGTERM is not the end of its work (Fargate, "Task retirement")."""
    world = World(job(retries=1))
    world.ask()
    world.end(0, stopCode="TerminationNotice", stoppedReason="The task is retired")
    assert [(each.outcome, each.reason) for each in world.ended()] == [("failed", "The task is retired")]
    assert len(world.ecs.alive) == 1, "it is retried"


def test_a_job_that_a_person_stops_has_failed_and_does_not_start_again() -> None:
    world = World(job(retries=3))
    world.ask()
    world.ecs.stop_task(cluster=CLUSTER, task=world.ecs.alive[0], reason="too expensive")
    world.end(0)
    assert [(each.outcome, each.reason) for each in world.ended()] == [("failed", "stopped by StopTask: too expensive")]
    assert world.runs.current("clean") is None


# -- retries


def test_retries_end_with_the_first_success_and_count_as_one_run(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(job(retries=5))
    run = world.ask()["run"]
    world.end(1)
    world.end(0)
    assert [(each.run, each.attempt, each.outcome) for each in world.ended()] == [
        (run, 2, "succeeded"), (run, 1, "failed"),
    ]  # fmt: skip
    published = capsys.readouterr().out
    assert "JobFailed" not in published and "JobSucceeded" in published


def test_a_run_has_failed_after_its_last_retry(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(job(retries=2))
    world.ask()
    for _ in range(3):
        world.end(1)
    assert [each.attempt for each in world.ended()] == [3, 2, 1]
    assert metrics(capsys, "JobFailed") == [1]
    assert world.ecs.alive == []


def test_a_job_is_claimed_between_a_failure_and_its_retry() -> None:
    """A schedule that fires at any moment in between starts no run."""
    asked: list[Any] = []
    is_ending = False

    def schedule_comes() -> None:
        nonlocal is_ending
        if is_ending:
            is_ending = False
            asked.append(world.control.asked("clean", by="schedule"))
            is_ending = True

    world = World(job(retries=1), before=schedule_comes)
    world.ask()
    is_ending = True
    world.end(1)
    is_ending = False
    assert len(asked) > 3 and all("problem" in each for each in asked)
    assert len(world.ecs.alive) == 1


@pytest.mark.parametrize("moment", ["its retry is claimed", "its task is noted"])
def test_a_caller_that_comes_late_changes_nothing_of_the_run_after(moment: str) -> None:
    """It stops right before a write, and goes on when the run is over and the next one has begun."""
    world = World(job(retries=1))
    own, is_late = world.dynamo.put_item, False

    def put_item(**request: Any) -> None:
        nonlocal is_late
        item = request["Item"]
        claims_retry = item["id"]["S"] == "~running" and item["attempt"]["N"] == "2"
        if not is_late and claims_retry and ("task" in item) == (moment == "its task is noted"):
            is_late = True
            world.tend(minutes=3)
            world.end(0)
            world.clock.passes(minutes=1)
            world.ask()
        own(**request)

    world.dynamo.put_item = put_item  # type: ignore[method-assign]
    world.ask()
    world.end(1)
    assert is_late
    current = world.runs.current("clean")
    assert current is not None and (current.attempt, current.task) == (1, *world.ecs.alive)


def test_the_time_limit_is_of_each_attempt() -> None:
    world = World(job(minutes=30, retries=1))
    world.ask()
    world.clock.passes(minutes=20)
    world.end(1)
    world.tend(minutes=20)
    assert world.ecs.tasks[world.ecs.alive[0]]["desiredStatus"] == "RUNNING"


# -- when ECS does not start it


def test_a_run_that_ecs_does_not_start_has_failed_with_ecs_words(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(job())
    world.ecs.answers = [OUT_OF_CAPACITY]
    assert world.ask() == {"problem": "ECS started no task: RESOURCE:FARGATE: no capacity"}
    assert world.runs.current("clean") is None
    assert metrics(capsys, "JobFailed") == [1]


@pytest.mark.parametrize("answer", [OUT_OF_CAPACITY, refusal("AccessDeniedException"), refusal("ClientException")])
def test_a_refused_start_is_retried_minutes_later_and_not_at_once(answer: Any) -> None:
    world = World(job(retries=1))
    world.ecs.answers = [answer]
    assert "run" in world.ask()
    world.tend(minutes=1)
    assert world.ecs.alive == [] and "problem" in world.ask()
    world.tend(minutes=2)
    world.end(0)
    assert [(each.attempt, each.outcome) for each in world.ended()] == [(2, "succeeded"), (1, "failed")]


def test_the_time_limit_begins_when_a_delayed_attempt_starts() -> None:
    world = World(job(minutes=1, retries=1))
    world.ecs.answers = [OUT_OF_CAPACITY]
    world.ask()
    world.tend(minutes=3)
    world.tend(seconds=30)
    assert world.ecs.tasks[world.ecs.alive[0]]["desiredStatus"] == "RUNNING"
    world.tend(seconds=40)
    assert world.ecs.tasks[world.ecs.alive[0]]["desiredStatus"] == "STOPPED"


@pytest.mark.parametrize(
    "error",
    [
        refusal("ThrottlingException"),
        refusal("ServerException", status=500),
        ReadTimeoutError(endpoint_url="https://ecs.eu-central-1.amazonaws.com"),
    ],
)
@pytest.mark.parametrize("has_started", [False, True])
def test_an_unanswered_start_is_repeated_and_is_one_task(error: Exception, has_started: bool) -> None:
    world = World(job())
    own = world.ecs.run_task

    def unanswered(**request: Any) -> Any:
        if has_started:
            own(**request)
        raise error

    world.ecs.run_task = unanswered  # type: ignore[method-assign]
    assert world.ask() == {"run": "2026-11-26T03:30:00.000+00:00", "task": None}
    world.ecs.run_task = own  # type: ignore[method-assign]
    world.tend(minutes=3)
    assert len(world.ecs.tasks) == 1
    world.end(0)
    assert [each.outcome for each in world.ended()] == ["succeeded"]


def test_a_repeated_start_with_other_parameters_finds_the_task_of_the_first() -> None:
    world = World(job(definition="clean"))
    own = world.ecs.run_task

    def unanswered(**request: Any) -> Any:
        own(**request)
        raise refusal("ServerException", status=500)

    world.ecs.run_task = unanswered  # type: ignore[method-assign]
    world.ask()
    world.ecs.run_task = own  # type: ignore[method-assign]
    world.deploy(job(definition="tidy"))
    world.tend(minutes=3)
    world.end(0)
    assert [each.outcome for each in world.ended()] == ["succeeded"]
    assert len(world.ecs.tasks) == 1


def test_a_start_that_is_never_answered_fails_before_ecs_forgets_its_token(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(job(retries=2))
    world.ecs.answers = [refusal("ThrottlingException")] * 100
    world.ask()
    for _ in range(32):
        world.tend(minutes=1)
    assert world.ended()[0].reason == "ECS has not answered RunTask for 30 minutes: the task may have run"
    assert metrics(capsys, "JobFailed") == [1]
    assert world.runs.current("clean") is None


# -- lost and late events


def test_a_lost_event_is_made_up_for_within_a_minute() -> None:
    world = World(job())
    world.ask()
    world.ecs.end(world.ecs.alive[0], 0)
    world.tend(minutes=1)
    assert [each.outcome for each in world.ended()] == ["succeeded"]


def test_the_event_and_the_clock_end_a_run_once(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(job(retries=1))
    world.ask()
    task = world.ecs.end(world.ecs.alive[0], 1)
    for _ in range(3):
        world.control.stopped(task)
        world.tend()
    assert len(world.ecs.tasks) == 2
    world.end(1)
    assert metrics(capsys, "JobFailed") == [1]


def test_the_recorded_outcome_counts_even_if_the_invocation_then_dies(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(job(retries=1))
    world.ask()

    def dies(**_: Any) -> None:
        raise Interleaved.Died

    with monkeypatch.context() as patch, pytest.raises(Interleaved.Died):
        patch.setattr(world.dynamo, "delete_item", dies)
        world.end(0)
    world.ecs.knows_new_tasks = False  # Long ago, so that ECS no longer lists it.
    world.tend(hours=2)
    assert [(each.outcome, each.reason) for each in world.ended()] == [("succeeded", None)]
    assert world.runs.current("clean") is None and world.ecs.alive == []
    assert metrics(capsys, "JobSucceeded") == [1]


def test_a_task_that_ecs_does_not_know_yet_has_not_ended() -> None:
    """DescribeTasks is eventually consistent with RunTask (API Reference, "RunTask")."""
    world = World(job())
    world.ask()
    world.ecs.knows_new_tasks = False
    world.tend(seconds=5)
    assert world.runs.current("clean") is not None
    world.tend(minutes=3)
    assert world.ended()[0].reason == "ECS no longer knows the task: how it ended is unknown"


def test_another_service_s_task_and_a_former_attempt_s_change_nothing() -> None:
    world = World(job())
    world.ask()
    (arn,) = world.ecs.alive
    world.control.stopped({**world.ecs.tasks[arn], "startedBy": "job-other"})
    world.control.stopped({**world.ecs.tasks[arn], "taskArn": "arn:of-another"})
    assert world.runs.current("clean") is not None and world.ended() == []


def test_a_claim_that_was_deleted_by_hand_is_not_ended_a_second_time(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(job(retries=1))
    world.ask()
    del world.dynamo.items["job clean", "~running"]
    world.end(1)
    world.tend()
    assert world.ecs.alive == [] and world.ended() == []
    assert metrics(capsys, "JobFailed") == []


def test_a_task_whose_claim_is_gone_before_it_could_be_noted_is_stopped() -> None:
    world = World(job())
    own = world.ecs.run_task

    def run_task(**request: Any) -> Any:
        del world.dynamo.items["job clean", "~running"]
        return own(**request)

    world.ecs.run_task = run_task  # type: ignore[method-assign]
    assert "claim" in world.ask()["problem"]
    assert [each["desiredStatus"] for each in world.ecs.tasks.values()] == ["STOPPED"]


def test_one_job_s_error_holds_up_no_other(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(job(), job("mail"))
    world.ask()

    def throttled(**_: Any) -> None:
        raise refusal("ThrottlingException")

    monkeypatch.setattr(world.ecs, "describe_tasks", throttled)
    with pytest.raises(ExceptionGroup, match="could not be advanced"):
        world.tend(minutes=1)
    assert '"Job": "mail"' in capsys.readouterr().out


# -- releases


def test_a_run_keeps_its_image_and_its_log_through_a_release() -> None:
    world = World(job(retries=1))
    world.ask()
    world.ecs.revision = 2
    world.logs.lines["clean:1", "job/job/1"] = ["of the first revision"]
    world.end(1)
    assert str(world.ended()[0].reason).startswith("of the first revision")
    assert world.ecs.tasks[world.ecs.alive[0]]["taskDefinitionArn"].endswith("clean:2"), "a retry has what is released"


# -- overdue


def test_a_job_without_success_is_overdue_after_its_limit(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(job(overdue=90))
    world.tend()
    world.ask()
    world.end(1)
    world.tend(minutes=90)
    assert metrics(capsys, "JobOverdueMinutes") == [0, 0]
    world.tend(minutes=10)
    assert metrics(capsys, "JobOverdueMinutes") == [10]
    world.ask()
    world.end(0)
    world.tend()
    assert metrics(capsys, "JobOverdueMinutes") == [0]


def test_a_schedule_that_became_shorter_makes_no_job_overdue_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(job(overdue=10 * 24 * 60))
    world.tend()
    world.ask()
    world.end(0)
    world.clock.passes(days=5)
    world.deploy(job(overdue=90))
    world.tend()
    world.tend(minutes=91)
    assert metrics(capsys, "JobOverdueMinutes") == [0, 0, 1]


# -- a job that is taken out of the file


def test_a_run_of_a_job_that_is_removed_is_stopped_and_recorded(capsys: pytest.CaptureFixture[str]) -> None:
    """Its role and log group are deleted, and its time limit is no longer enforced."""
    world = World(job(retries=3), job("mail", definition="mail"))
    world.ask()
    world.ask("mail")
    clean, mail = world.ecs.alive
    world.deploy(job("mail", definition="mail"))
    world.control.removed("clean", "clean")
    assert [world.ecs.tasks[each]["desiredStatus"] for each in (clean, mail)] == ["STOPPED", "RUNNING"]
    (ended,) = world.ended()
    assert (ended.outcome, ended.attempt, ended.task) == ("failed", 1, clean)
    assert ended.reason == "stopped: its job is no longer deployed"
    assert world.runs.current("clean") is None, "or it could not run when it comes back"
    assert metrics(capsys, "JobFailed") == [], "no alarm may fire"
    world.control.stopped(world.ecs.end(clean, 143))
    assert world.ended() == [ended]


def test_a_job_that_is_removed_while_ecs_has_not_yet_named_its_task_leaves_none_behind() -> None:
    world = World(job())
    world.ask()
    run = world.runs.current("clean")
    assert run is not None
    world.runs.started(replace(run, task=None))
    world.control.removed("clean", "clean")
    assert world.ecs.tasks[world.ecs.alive[0]]["desiredStatus"] == "STOPPED"
    assert world.runs.current("clean") is None


def test_a_job_that_another_service_runs_from_now_on_keeps_its_run() -> None:
    """Its claim is of the new task definition; which of the two stacks is deployed first is not known."""
    world = World(job(definition="new"))
    world.ask()
    world.control.removed("clean", "clean")
    assert world.ecs.tasks[world.ecs.alive[0]]["desiredStatus"] == "RUNNING"
    assert world.runs.current("clean") is not None


def test_a_job_that_does_not_run_is_removed_without_a_record() -> None:
    world = World(job())
    world.control.removed("clean", "clean")
    assert world.ended() == []


# -- the events that the function is invoked with


@pytest.mark.parametrize(("kind", "goes_on"), [("Create", True), ("Update", True), ("Delete", False)])
def test_cloudformation_says_when_a_job_is_removed(
    kind: str, goes_on: bool, invoked: Callable[[dict[str, Any]], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[dict[str, Any]] = []
    monkeypatch.setattr("infra_runtime.custom_resource._put", lambda url, body: answers.append(json.loads(body)))
    invoked({"job": "clean", "due": "2026-11-26T03:30:00Z"})
    request = {"RequestId": "1", "StackId": "s", "LogicalResourceId": "l", "ResponseURL": "https://example.com"}
    more = {} if kind == "Create" else {"PhysicalResourceId": "job/clean"}
    properties = {"Job": "clean", "Family": "clean"}
    invoked({**request, **more, "RequestType": kind, "ResourceProperties": properties})
    assert [(each["Status"], each["PhysicalResourceId"]) for each in answers] == [("SUCCESS", "job/clean")]
    next_one = invoked({"job": "clean", "due": "2026-11-26T04:30:00Z"})
    assert ("is running" in next_one.get("problem", "")) == goes_on


@pytest.fixture
def invoked(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """The handler, with the variables of infra_constructs.jobs."""
    world = World()
    clients = {"ecs": world.ecs, "logs": world.logs, "dynamodb": world.dynamo}
    monkeypatch.setattr(control_module, "client", clients.__getitem__)
    monkeypatch.setattr("boto3.client", lambda _: None)
    declared = {"name": "clean", "definition": "clean", "minutes": 1, "retries": 0, "overdue_minutes": 90}
    variables = {
        "LEDGER": "ledger", "JOBS": json.dumps([declared]), "CLUSTER": CLUSTER, "NETWORK": "{}",
        "REPOSITORY": REPOSITORY, "ENVIRONMENT": "production",
    }  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return lambda event: control_module.handler(event, SimpleNamespace(function_name="jobs"))


def test_a_schedule_names_its_job_and_when_it_was_due(invoked: Callable[..., Any]) -> None:
    answer = invoked({"job": "clean", "due": "2026-11-26T03:30:00Z"})
    assert answer["run"] == "2026-11-26T03:30:00.000+00:00"
    task = {"taskArn": answer["task"], "taskDefinitionArn": "clean:1", "startedBy": "job-clean",
            "containers": [{"name": "job", "exitCode": 0}], "stopCode": "EssentialContainerExited"}  # fmt: skip
    assert invoked({"detail": task}) == {}
    assert "has ended already" in invoked({"job": "clean", "due": "2026-11-26T03:30:00Z"})["problem"]
    assert invoked({"tend": True}) == {}


def test_a_person_who_proves_nothing_runs_nothing(invoked: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def who(*_: Any, **__: Any) -> str:
        raise NotProven("STS returned no identity")

    monkeypatch.setattr(control_module, "who", who)
    assert "STS returned no identity" in invoked({"job": "clean", "caller": "forged"})["problem"]
    monkeypatch.setattr(control_module, "who", lambda *_, **__: "arn:aws:iam::111122223333:role/me")
    assert "task" in invoked({"job": "clean", "caller": "signed"})


# -- several callers at once


class Interleaved:
    """Threads that take turns: one call of AWS each time, in the order that `draw` decides. Some die at a call."""

    class Died(BaseException):
        """Simulates an invocation that Lambda kills: no `except` of ours sees it."""

    def __init__(self, draw: Callable[[int], int]) -> None:
        self._draw, self._turns = draw, threading.Condition()
        self._waiting: dict[str, bool] = {}
        """Whether each thread waits, by its name."""
        self._alive = 0

    def before(self) -> None:
        me = threading.current_thread().name
        with self._turns:
            if me not in self._waiting:
                return  # the test itself
            self._waiting[me] = True
            self._choose()
            self._turns.wait_for(lambda: not self._waiting[me])
            if self._draw(20) == 0:
                raise self.Died

    def _choose(self) -> None:
        """Once all threads wait, one of them goes on."""
        waiting = sorted(each for each, waits in self._waiting.items() if waits)
        if waiting and len(waiting) == self._alive:
            self._waiting[waiting[self._draw(len(waiting))]] = False
            self._turns.notify_all()

    def run(self, *works: Callable[[], object]) -> None:
        self._alive = len(works)
        threads = [threading.Thread(target=self._one, args=(work,), name=f"caller {n}") for n, work in enumerate(works)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    def _one(self, work: Callable[[], object]) -> None:
        me = threading.current_thread().name
        with self._turns:
            self._waiting[me] = False
        try:
            self.before()
            work()
        except self.Died:
            pass
        finally:
            with self._turns:
                del self._waiting[me]
                self._alive -= 1
                self._choose()


@pytest.mark.parametrize("seed", range(100))
def test_however_callers_interleave_and_die_there_is_one_task_at_a_time_and_each_attempt_ends_once(seed: int) -> None:
    chance = random.Random(seed)
    retries = seed % 3
    turns = Interleaved(chance.randrange)
    most = 0

    def before() -> None:
        nonlocal most
        most = max(most, len(world.ecs.alive))
        turns.before()

    world = World(job(minutes=10, retries=retries), before=before)
    published: list[dict[JobMetric, float]] = []
    object.__setattr__(world.control, "_emit", lambda _, values: published.append(values))

    def task_ends() -> None:
        for arn in world.ecs.alive:
            world.control.stopped(world.ecs.end(arn, chance.choice((0, 1))))

    def event_is_repeated() -> None:
        for task in list(world.ecs.tasks.values()):
            if task["lastStatus"] == "STOPPED":
                world.control.stopped(task)

    def person_asks() -> None:
        world.control.asked("clean", by="a person")

    works: list[Callable[[], object]] = [world.ask, person_asks, event_is_repeated]
    works += [world.control.tend, world.control.tend, task_ends, task_ends]
    for _ in range(12):
        turns.run(*chance.sample(works, k=5))
        world.clock.passes(seconds=chance.choice((1, 70, 200)))
    for _ in range(40):
        world.tend(minutes=1)
        for arn in world.ecs.alive:
            world.ecs.end(arn, 0)
    assert most <= 1
    assert world.runs.current("clean") is None
    attempts = world.runs.newest("clean", most=1000)
    assert all(each.attempt <= retries + 1 for each in attempts)
    assert {each.task for each in attempts} >= set(world.ecs.tasks), "every task is in the record"
    outcomes = [name for each in published for name in each if name in (JobMetric.FAILED, JobMetric.SUCCEEDED)]
    assert len(outcomes) <= len({each.run for each in attempts}), "a run is counted once"
    assert len(attempts) == len({each.key for each in attempts})
    last = world.runs.last_success("clean")
    successes = [each.ended for each in attempts if each.outcome == "succeeded" and each.ended]
    assert last is None or last.isoformat(timespec="milliseconds") == max(successes)
