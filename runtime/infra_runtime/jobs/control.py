"""Runs the jobs of one service: starts their tasks, retries, enforces time limits, and measures how overdue a job is.

Invoked by each job's schedule, by `infra job run`, by ECS when a task has stopped, by CloudFormation when a job is
removed, and every minute. The last one makes up for lost events and for invocations that died halfway.
"""

import json
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra_runtime.aws import client
from infra_runtime.caller import NotProven, who
from infra_runtime.contract.metrics import JOBS, JobMetric, emit
from infra_runtime.contract.revision import JOB, containers_of, named
from infra_runtime.custom_resource import Request, Result, serve
from infra_runtime.jobs.runs import Outcome, Run, Runs
from infra_runtime.reporting import reported
from infra_runtime.task_log import last_lines

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_LINES = 10
_LONGEST_LOG = 2000
"""Characters of these lines that are kept."""
_SETTLED = timedelta(minutes=2)
"""The invocation that wrote a claim has ended by then (its timeout is a minute), and DescribeTasks knows its task: ECS
is eventually consistent (API Reference, "RunTask")."""
_UNANSWERED = timedelta(minutes=30)
"""RunTask is repeated for so long. ECS forgets a client token an hour after its task has stopped (API Reference,
"Idempotency"); the next call would start a second task."""
_LIMIT = "its time limit"
"""Ends the reason that StopTask is given; ECS keeps it as `stoppedReason`."""
_REMOVED = "its job is no longer deployed"
_BY_ITSELF, _BY_REQUEST = "EssentialContainerExited", "UserInitiated"
"""Two of the values of `stopCode`."""
_THROTTLED = ("ThrottlingException", "Throttling", "RequestLimitExceeded", "TooManyRequestsException")
_SERVER_ERROR = 500


@dataclass(frozen=True, kw_only=True)
class JobDefinition:
    name: str
    definition: str
    """Family of its task definitions; the newest active revision runs."""
    minutes: int
    """Time limit of an attempt, from RunTask on."""
    retries: int
    overdue_minutes: int
    """The job is overdue when its last success is older."""


@reported
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    control = JobControl(
        ecs=client("ecs"),
        logs=client("logs"),
        runs=Runs(client("dynamodb"), os.environ["LEDGER"]),
        jobs={each["name"]: JobDefinition(**each) for each in json.loads(os.environ["JOBS"])},
        cluster=os.environ["CLUSTER"],
        network=json.loads(os.environ["NETWORK"]),
        repository=os.environ["REPOSITORY"],
        environment=os.environ["ENVIRONMENT"],
    )
    if "RequestType" in event:
        serve(event, lambda request: provide(request, control))
        return {}
    if "detail" in event:
        control.stopped(event["detail"])
        return {}
    if event.get("tend"):
        control.tend()
        return {}
    if "caller" not in event:
        return control.asked(event["job"], by="schedule", due=datetime.fromisoformat(event["due"]))
    try:
        by = who(event, sts=boto3.client("sts"), function=context.function_name)
    except NotProven as error:
        return {"problem": f"{error}; use `infra`, with credentials of this account"}
    return control.asked(event["job"], by=by)


def provide(request: Request, control: "JobControl") -> Result:
    """The custom resource of one job: `Job`, and `Family` of its task definitions. Raises what boto3 raises."""
    job = request.properties["Job"]
    if request.kind == "Delete":
        control.removed(job, request.properties["Family"])
    return Result(f"job/{job}")


@dataclass(frozen=True, kw_only=True)
class JobControl:
    ecs: Any
    logs: Any
    runs: Runs
    jobs: Mapping[str, JobDefinition]
    cluster: str
    network: Mapping[str, Any]
    """Network configuration for RunTask."""
    repository: str
    environment: str
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep

    def asked(self, name: str, *, by: str, due: datetime | None = None) -> dict[str, Any]:
        """Starts a run. Returns its `run` (and `task`, once ECS has named it), or the `problem`.

        EventBridge may deliver a scheduled event twice: `due`, its time, starts one run.
        """
        if name not in self.jobs:
            return {"problem": f"job {name!r} is not deployed; these are: {', '.join(self.jobs)}"}
        job = self.jobs[name]
        if not self._is_released(job):
            return {"problem": f"{name}: nothing was released yet, so there is nothing to run"}
        began = self.now()
        run = Run(job=name, run=_text(due or began), attempt=1, by=by, began=_text(began))
        if self.runs.recorded(run) is not None:
            return {"problem": f"{name}: the run of {run.run} has ended already"}
        if not self.runs.claim(run):
            current = self.runs.current(name)
            self._count(name, JobMetric.SKIPPED)
            since = f" since {current.began}" if current else ""
            return {"problem": f"{name} is running{since}; a job never runs twice at a time"}
        run = self._start(job, run)
        if run.outcome == "failed" and (run.attempt > job.retries or run.ended is None):
            return {"problem": str(run.reason)}
        return {"run": run.run, "task": run.task}

    def stopped(self, task: Mapping[str, Any]) -> None:
        """A task as in ECS's event, or as DescribeTasks returns it."""
        name = str(task.get("startedBy", "")).removeprefix("job-")
        job, run = self.jobs.get(name), self.runs.current(name) if name in self.jobs else None
        if job is None or run is None or run.task != task["taskArn"]:
            return  # another service's, or recorded already
        container = named(task["containers"], JOB)
        code = container.get("exitCode")
        stop = task.get("stopCode", _BY_ITSELF)
        if code == 0 and stop == _BY_ITSELF:
            self._end(job, replace(run, exit=code))
            return
        text = str(task.get("stoppedReason") or "ECS gives no reason")
        is_limit = stop == _BY_REQUEST and _LIMIT in text
        if stop == _BY_ITSELF:
            text = container.get("reason") or text
        elif stop == _BY_REQUEST and not is_limit:
            text = f"stopped by StopTask: {text}"
        found = last_lines(
            self.ecs,
            self.logs,
            task=task["taskArn"],
            definition=task["taskDefinitionArn"],
            container=JOB,
            most=_LINES,
            is_expected=code is not None,
            sleep=self.sleep,
        )
        lines = "\n".join(found)[-_LONGEST_LOG:]
        reason = f"{lines}\n{text}" if lines else text
        # A job that was stopped by hand should not start again.
        self._end(job, replace(run, exit=code, reason=reason), may_retry=stop != _BY_REQUEST or is_limit)

    def tend(self) -> None:
        """Every minute. One job's error holds up no other job; all errors are raised together afterwards."""
        errors = []
        for job in self.jobs.values():
            try:
                if (run := self.runs.current(job.name)) is not None:
                    self._advance(job, run)
                self._emit(job.name, {JobMetric.OVERDUE: self._overdue(job)})
            except (BotoCoreError, ClientError) as error:
                logger.exception("%s: its run could not be advanced", job.name)
                errors.append(error)
        if errors:
            raise ExceptionGroup("runs of jobs could not be advanced", errors)

    def removed(self, name: str, family: str) -> None:
        """Stops the job's run and records its end, because its job was removed. Nothing is retried or counted.

        Another service may have the job by now: its run is of another family, and goes on.
        """
        pages = self.ecs.get_paginator("list_tasks").paginate(cluster=self.cluster, family=family)
        tasks = [each for page in pages for each in page["taskArns"]]
        for task in tasks:
            self.ecs.stop_task(cluster=self.cluster, task=task, reason=_REMOVED)
        run = self.runs.current(name)
        if run is not None and self._is_of(run, family, started=bool(tasks)):
            ended = replace(run, outcome="failed", ended=_text(self.now()), reason=f"stopped: {_REMOVED}")
            self.runs.end(self.runs.record(ended), then=None)

    def _is_of(self, run: Run, family: str, *, started: bool) -> bool:
        if run.task is None:
            return started
        found = self.ecs.describe_tasks(cluster=self.cluster, tasks=[run.task])["tasks"]
        return any(f"/{family}:" in each["taskDefinitionArn"] for each in found)

    # -- one run

    def _start(self, job: JobDefinition, run: Run) -> Run:
        """Calls RunTask for a claimed attempt. The same attempt may be started again: its token makes it one task."""
        if self.runs.recorded(run) is not None:
            # Claimed a second time: the other caller ended it after this one had read the claim.
            self.runs.end(run, then=None)
            return replace(run, outcome="failed", reason=f"the run of {run.run} has ended already")
        try:
            answered = self.ecs.run_task(
                cluster=self.cluster,
                taskDefinition=job.definition,
                networkConfiguration=self.network,
                # Never Spot: it ends tasks with two minutes' notice.
                capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
                startedBy=f"job-{job.name}",
                clientToken=run.token,
            )
        except (BotoCoreError, ClientError) as error:
            if not _is_refusal(error):
                # ECS may have started it. The claim stays, and `tend` repeats the call.
                logger.warning("%s: RunTask is repeated in %s: %s", job.name, _SETTLED, error)
                return run
            if not (tasks := _tasks_of_token(error)):
                return self._end(job, replace(run, reason=f"ECS started no task: {error}"), retry_at_once=False)
        else:
            if failures := answered["failures"]:
                text = ": ".join(filter(None, (failures[0].get("reason"), failures[0].get("detail"))))
                return self._end(job, replace(run, reason=f"ECS started no task: {text}"), retry_at_once=False)
            tasks = [each["taskArn"] for each in answered["tasks"]]
        # Its time limit begins now, and not when it was claimed: `tend` may have started it, minutes later.
        started = replace(run, task=tasks[0], began=_text(self.now()))
        if not self.runs.started(started):
            self.ecs.stop_task(cluster=self.cluster, task=tasks[0], reason="its run has ended")
            return replace(started, outcome="failed", reason="its claim in the ledger's table is gone")
        logger.info("%s: attempt %d runs in %s", job.name, run.attempt, started.task)
        return started

    def _end(self, job: JobDefinition, run: Run, *, may_retry: bool = True, retry_at_once: bool = True) -> Run:
        """A retry that is not at once is left to `tend`."""
        now = _text(self.now())
        outcome: Outcome = "succeeded" if run.exit == 0 and run.reason is None else "failed"
        ended = self.runs.record(replace(run, outcome=outcome, ended=now))
        following = None
        if ended.outcome == "failed" and may_retry and ended.attempt <= job.retries:
            following = Run(job=job.name, run=ended.run, attempt=ended.attempt + 1, by=ended.by, began=now)
        if not self.runs.end(ended, then=following):
            return ended  # another caller has ended it
        if ended.outcome == "succeeded":
            logger.info("%s: succeeded", job.name)
            self._count(job.name, JobMetric.SUCCEEDED)
        elif following is not None:
            logger.warning("%s: attempt %d failed with %s: %s", job.name, ended.attempt, ended.exit, ended.reason)
            if retry_at_once:
                self._start(job, following)
        else:
            logger.error("%s: failed with %s at attempt %d: %s", job.name, ended.exit, ended.attempt, ended.reason)
            self._count(job.name, JobMetric.FAILED)
        return ended

    def _advance(self, job: JobDefinition, run: Run) -> None:
        """Starts a run that was only claimed, records one that has ended, stops one at its time limit."""
        age = self.now() - datetime.fromisoformat(run.began)
        if run.task is None:
            if age > _UNANSWERED:
                minutes = int(_UNANSWERED.total_seconds() / 60)
                text = f"ECS has not answered RunTask for {minutes} minutes: the task may have run"
                self._end(job, replace(run, reason=text), may_retry=False)
            elif age > _SETTLED:
                self._start(job, run)
            return
        found = self.ecs.describe_tasks(cluster=self.cluster, tasks=[run.task])["tasks"]
        if not found:
            if age > _SETTLED:
                self._end(job, replace(run, reason="ECS no longer knows the task: how it ended is unknown"))
        elif found[0]["lastStatus"] == "STOPPED":
            self.stopped(found[0])
        elif age > timedelta(minutes=job.minutes) and found[0].get("desiredStatus") != "STOPPED":
            reason = f"stopped after {job.minutes} minutes, {_LIMIT}"
            self.ecs.stop_task(cluster=self.cluster, task=run.task, reason=reason)

    # -- what is known of a job

    def _overdue(self, job: JobDefinition) -> float:
        """Minutes since a success was due; 0 when none is, or nothing was released yet."""
        if not self._is_released(job):
            return 0.0
        now = self.now()
        since = self.runs.watched_since(job.name, job.overdue_minutes, now=now)
        last = max(self.runs.last_success(job.name) or since, since)
        late = now - last - timedelta(minutes=job.overdue_minutes)
        return max(late.total_seconds() / 60, 0.0)

    def _is_released(self, job: JobDefinition) -> bool:
        image: str = named(containers_of(self.ecs, job.definition), JOB)["image"]
        return image.startswith(f"{self.repository}@")

    def _count(self, job: str, name: JobMetric) -> None:
        self._emit(job, {name: 1})

    def _emit(self, job: str, values: Mapping[JobMetric, float]) -> None:
        emit(JOBS, {"Environment": self.environment, "Job": job}, {name.value: value for name, value in values.items()})


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")


def _is_refusal(error: BotoCoreError | ClientError) -> bool:
    """ECS has started nothing, and would not the next time (API Reference, "Idempotency": retry 5xx, never 4xx)."""
    if not isinstance(error, ClientError):
        return False
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 400)
    return status < _SERVER_ERROR and error.response["Error"]["Code"] not in _THROTTLED


def _tasks_of_token(error: BotoCoreError | ClientError) -> Sequence[str]:
    """ARNs of the tasks that were started with the same token and, before a release, other parameters."""
    response: Mapping[str, Any] = getattr(error, "response", {})
    is_conflict = response.get("Error", {}).get("Code") == "ConflictException"
    return response.get("resourceIds", []) if is_conflict else []
