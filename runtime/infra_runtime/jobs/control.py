"""Runs the jobs of one service: starts them, waits for their end, tries again, and says when one is overdue.

Asked by each job's schedule, by a person (`infra job run`), by ECS when a task has stopped, and by the clock, which
ends what takes too long and notices what an event did not tell.
"""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3

from infra_runtime.aws import client
from infra_runtime.caller import NotProven, who
from infra_runtime.jobs.runs import Outcome, Run, Runs
from infra_runtime.metrics import JOBS, Jobs, emit
from infra_runtime.release.log_text import plain
from infra_runtime.release.revision import JOB, containers_of, log_of, named
from infra_runtime.reporting import reported

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_LINES = 10
_LONGEST_REASON = 2000
_NEVER_STARTED = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Job:
    """`definition` is the family of its tasks, of which the newest revision runs."""

    name: str
    definition: str
    minutes: int
    """Longest that an attempt may take."""
    retries: int
    overdue_minutes: int
    """So long after its last success it counts as not run."""


@reported
def handler(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    control = Control(
        ecs=client("ecs"),
        logs=client("logs"),
        runs=Runs(client("dynamodb"), os.environ["LEDGER"]),
        jobs={each["name"]: Job(**each) for each in json.loads(os.environ["JOBS"])},
        cluster=os.environ["CLUSTER"],
        network=json.loads(os.environ["NETWORK"]),
        bootstrap=os.environ["BOOTSTRAP_IMAGE"],
        environment=os.environ["ENVIRONMENT"],
    )
    if "detail" in event:
        control.stopped(event["detail"])
        return {}
    if event.get("tend"):
        control.tend()
        return {}
    by = "schedule"
    if "caller" in event:
        try:
            by = who(event, sts=boto3.client("sts"), function=context.function_name)
        except NotProven as error:
            return {"problem": f"{error}; use `infra`, with credentials of this account"}
    return control.asked(event["job"], by=by)


@dataclass(frozen=True, kw_only=True)
class Control:
    ecs: Any
    logs: Any
    runs: Runs
    jobs: Mapping[str, Job]
    cluster: str
    network: Mapping[str, Any]
    """As RunTask takes it."""
    bootstrap: str
    environment: str

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    def asked(self, name: str, *, by: str) -> dict[str, Any]:
        """What is answered to who asked: `run`, or `problem`."""
        if name not in self.jobs:
            return {"problem": f"job {name!r}: expected one of {', '.join(self.jobs)}"}
        job = self.jobs[name]
        if self._image(job) == self.bootstrap:
            return {"problem": f"{name}: nothing was released yet, so there is nothing to run"}
        run = self._run(job, attempt=1, by=by)
        if run is None:
            current = self.runs.current(name)
            self._count(name, Jobs.SKIPPED)
            since = f" since {current.began}" if current else ""
            return {"problem": f"{name} runs already{since}: it never runs twice at a time"}
        return {"run": run.id, "task": run.task} if run.outcome == "running" else {"problem": run.reason}

    def stopped(self, task: Mapping[str, Any]) -> None:
        """By ECS's event, or as DescribeTasks has it."""
        name = str(task.get("startedBy", "")).removeprefix("job-")
        job, run = self.jobs.get(name), self.runs.current(name) if name in self.jobs else None
        if job is None or run is None or run.task != task["taskArn"]:
            return  # another service's, or known already
        container = named(task["containers"], JOB)
        code = container.get("exitCode")
        reason = None
        if code != 0:
            why = container.get("reason") or task.get("stoppedReason") or "no reason is known"
            lines = "\n".join(self._lines(job, task["taskArn"]))
            reason = f"{why}\n{lines}"[:_LONGEST_REASON]
        self._end(job, replace(run, exit=code, reason=reason))

    def tend(self) -> None:
        for job in self.jobs.values():
            if (run := self.runs.current(job.name)) is not None:
                self._look_after(job, run)
            late = self._overdue(job)
            self._emit(job.name, {Jobs.OVERDUE: late})

    # -- one run

    def _run(self, job: Job, *, attempt: int, by: str) -> Run | None:
        """None when it runs already. A run that ECS did not start has ended."""
        began = self.now.isoformat(timespec="seconds")
        run = Run(job=job.name, id=f"{began} {attempt}", attempt=attempt, by=by, began=began)
        if not self.runs.claim(run):
            return None
        answered = self.ecs.run_task(
            cluster=self.cluster,
            taskDefinition=job.definition,
            networkConfiguration=self.network,
            capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
            startedBy=f"job-{job.name}",
            # The same call again is the same task.
            clientToken=f"{job.name}-{int(datetime.fromisoformat(began).timestamp())}-{attempt}",
        )
        if failures := answered["failures"]:
            told = f"ECS started no task: {failures[0].get('reason')}: {failures[0].get('detail')}"
            return self._end(job, replace(run, reason=told))
        started = replace(run, task=answered["tasks"][0]["taskArn"])
        self.runs.started(started)
        logger.info("%s: attempt %d runs in %s", job.name, attempt, started.task)
        return started

    def _end(self, job: Job, run: Run) -> Run:
        outcome: Outcome = "succeeded" if run.exit == 0 else "failed"
        ended = replace(run, outcome=outcome, ended=self.now.isoformat(timespec="seconds"))
        self.runs.end(ended)
        if outcome == "succeeded":
            logger.info("%s: succeeded", job.name)
            self._count(job.name, Jobs.SUCCEEDED)
        elif run.attempt <= job.retries:
            logger.warning("%s: attempt %d failed with %s, the next one begins", job.name, run.attempt, run.exit)
            self._run(job, attempt=run.attempt + 1, by=run.by)
        else:
            logger.error("%s: failed with %s after %d attempts: %s", job.name, run.exit, run.attempt, run.reason)
            self._count(job.name, Jobs.FAILED)
        return ended

    def _look_after(self, job: Job, run: Run) -> None:
        age = self.now - datetime.fromisoformat(run.began)
        if run.task is None:
            # Whoever claimed it ended before ECS answered. The task, if there is one, cannot be told from another.
            if age > _NEVER_STARTED:
                self._end(job, replace(run, reason="ECS's answer is unknown: the task may have run"))
            return
        found = self.ecs.describe_tasks(cluster=self.cluster, tasks=[run.task])["tasks"]
        if not found:
            self._end(job, replace(run, reason="ECS knows the task no longer: its end is unknown"))
        elif found[0]["lastStatus"] == "STOPPED":
            self.stopped(found[0])
        elif age > timedelta(minutes=job.minutes):
            self.ecs.stop_task(cluster=self.cluster, task=run.task, reason=f"longer than {job.minutes} minutes")

    # -- what is known of a job

    def _overdue(self, job: Job) -> float:
        """Minutes since a success was due; 0 when none is, or nothing was released yet."""
        if self._image(job) == self.bootstrap:
            return 0.0
        late = self.now - self.runs.last_success(job.name, otherwise=self.now) - timedelta(minutes=job.overdue_minutes)
        return max(late.total_seconds() / 60, 0.0)

    def _definition(self, job: Job) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.ecs.describe_task_definition(taskDefinition=job.definition)["taskDefinition"]
        return found

    def _image(self, job: Job) -> str:
        image: str = named(self._definition(job)["containerDefinitions"], JOB)["image"]
        return image

    def _lines(self, job: Job, task: str) -> Sequence[str]:
        container = named(containers_of(self.ecs, job.definition), JOB)
        try:
            events = self.logs.get_log_events(**log_of(container, task), startFromHead=False, limit=_LINES)["events"]
        except self.logs.exceptions.ResourceNotFoundException:
            return []  # it never came to run
        return [plain(each["message"]) for each in events]

    def _count(self, job: str, name: Jobs) -> None:
        self._emit(job, {name: 1})

    def _emit(self, job: str, values: Mapping[Jobs, float]) -> None:
        emit(JOBS, {"Environment": self.environment, "Job": job}, {name.value: value for name, value in values.items()})
