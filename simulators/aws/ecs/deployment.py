"""What a rolling and a blue/green deployment of a service have in common: tasks, alarms, the circuit breaker, the end.

The service scheduler is here, too: a task that ended by itself, or that is unhealthy, is replaced.
"""

import contextvars
import json
import math
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from ministack.services import ecs

from simulators.aws.ecs import task
from simulators.aws.resource_type import client

POLL_SECONDS = 0.1
# ECS waits longer; these are processes of one machine.
_START_SECONDS = 30.0
# The circuit breaker's threshold: half of the tasks, within these bounds (ECS API, ServiceDeploymentCircuitBreaker).
_FEWEST_FAILURES, _MOST_FAILURES = 3, 200
_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 8.0
# As ECS says it (hashicorp/terraform-provider-aws, acceptance tests of ECS services).
_NO_CANDIDATE = "No rollback candidate was found to run the rollback."

deployments: dict[str, dict[str, Any]] = {}
"""Deployments by ARN, as in DescribeServiceDeployments."""
revisions: dict[str, dict[str, Any]] = {}
"""Revisions by ARN, as in DescribeServiceRevisions."""
_serving: dict[str, "Deployment"] = {}
"""The deployment whose tasks serve, by service."""
_busy: dict[str, threading.Lock] = {}


class DeploymentFailed(Exception):
    """The deployment failed and is rolled back. The message is the reason."""

    @property
    def reason(self) -> str:
        return f"Service deployment rolled back because of: {self}"


class BreakerTripped(DeploymentFailed):
    """ECS does not say which tasks failed, or how (hashicorp/terraform-provider-aws, acceptance tests of ECS services).

    As CloudFormation says it: aws/copilot-cli #5296.
    """

    reason = "Service deployment rolled back because the circuit breaker threshold was exceeded."

    def __str__(self) -> str:
        return "ECS Deployment Circuit Breaker was triggered"


class Stopped(DeploymentFailed):
    """The deployment was stopped by StopServiceDeployment (hashicorp/terraform-provider-aws #49031)."""

    reason = "Service deployment rolled back by user."


def key_of(arn: str) -> str:
    return "/".join(arn.split("/")[1:])


def service(arn: str) -> dict[str, Any]:
    found: dict[str, Any] = ecs._services[key_of(arn)]
    return found


def serving(arn: str) -> str | None:
    """Task definition that serves."""
    return _serving[arn].definition if arn in _serving else None


def all_serving() -> "list[Deployment]":
    return list(_serving.values())


def end(arn: str) -> None:
    """The service is deleted, and its tasks end."""
    with _busy.setdefault(arn, threading.Lock()):
        if (last := _serving.pop(arn, None)) is not None:
            task.stop_in_parallel(last.tasks, "Service deleted")


def drain(stopping: Mapping[str, Any]) -> None:
    """No new requests go to a task before it gets SIGTERM (Amazon ECS Developer Guide, "Task lifecycle":
    DEACTIVATING)."""
    if (found := _of(stopping)) is not None:
        found.drain(stopping["taskArn"])


def replace(ended: Mapping[str, Any]) -> None:
    """The service scheduler replaces a task that has ended."""
    if (found := _of(ended)) is not None:
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(found.replace, ended["taskArn"]), daemon=True).start()


def _of(one: Mapping[str, Any]) -> "Deployment | None":
    """The deployment that serves with this task."""
    name, arn = str(one.get("group", "")).removeprefix("service:"), one["taskArn"]
    every = [each for each in all_serving() if each.service["serviceName"] == name]
    return next((each for each in every if arn in each.tasks or arn in each.draining), None)


class Deployment(ABC):
    """One attempt to deploy a task definition to a service. `run` returns when it has succeeded or failed."""

    unhealthy: str
    """Stop reason of a task that does not become healthy."""

    def __init__(self, service_arn: str, task_definition: str) -> None:
        self.service = service(service_arn)
        self.definition = task_definition
        self.tasks: list[str] = []
        """ARNs of the running tasks that it has started."""
        self.draining: set[str] = set()
        """ARNs of further tasks that are draining."""
        self.failure: DeploymentFailed | None = None
        self._service_arn = service_arn
        self._configuration = self.service["deploymentConfiguration"]
        self._before: Deployment | None = None
        tail, number = key_of(service_arn), len(revisions) + 1
        base = service_arn.partition(":service/")[0]
        self.target = f"{base}:service-revision/{tail}/{number:019}"
        revisions[self.target] = {
            "serviceRevisionArn": self.target,
            "serviceArn": service_arn,
            "clusterArn": self.service["clusterArn"],
            "taskDefinition": task_definition,
            "networkConfiguration": self.service["networkConfiguration"],
            "loadBalancers": self.service["loadBalancers"],
            "createdAt": time.time(),
        }
        self.arn = f"{base}:service-deployment/{tail}/{uuid.uuid4().hex[:21]}"
        self.record: dict[str, Any] = {
            "serviceDeploymentArn": self.arn,
            "serviceArn": service_arn,
            "clusterArn": self.service["clusterArn"],
            "createdAt": time.time(),
            "startedAt": time.time(),
            "sourceServiceRevisions": [],
            "targetServiceRevision": {"arn": self.target, "requestedTaskCount": 0, "runningTaskCount": 0},
            "deploymentConfiguration": self._configuration,
            "status": "PENDING",
        }
        deployments[self.arn] = self.record
        self._ignored = self._ringing()

    @abstractmethod
    def _forward(self) -> None:
        """Deploys up to the point where the old tasks may end. Raises `DeploymentFailed`."""

    @abstractmethod
    def _undo(self, before: "Deployment") -> None:
        """Undoes what `_forward` did besides starting tasks; the tasks of `before` serve again."""

    @abstractmethod
    def _is_healthy(self, arn: str) -> bool:
        """Whether a task is healthy."""

    @abstractmethod
    def _route(self) -> None:
        """Routes users to its healthy tasks."""

    # -- common parts of both kinds

    @property
    def _is_serving(self) -> bool:
        return _serving.get(self._service_arn) is self

    @property
    def _lock(self) -> threading.Lock:
        """A lock that it holds while it changes the service's tasks."""
        return _busy[self._service_arn]

    def _ringing(self) -> set[str]:
        alarms = self._configuration.get("alarms") or {}
        if not alarms.get("enable"):
            return set()
        known = client("cloudwatch").describe_alarms(AlarmNames=alarms["alarmNames"])["MetricAlarms"]
        return {each["AlarmName"] for each in known if each["StateValue"] == "ALARM"}

    def _watch(self) -> None:
        """Raises if an alarm has fired. Like ECS, ignores alarms that were already in ALARM before."""
        if new := self._ringing() - self._ignored:
            self.record["alarms"] = {"status": "TRIGGERED", "triggeredAlarmNames": sorted(new)}
            raise DeploymentFailed(f"alarm detected: {', '.join(sorted(new))}")
        if self.record["status"] == "ROLLBACK_REQUESTED":
            raise Stopped(Stopped.reason)

    def _count(self) -> int:
        resource = f"service/{key_of(self._service_arn)}"
        targets = client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="ecs", ResourceIds=[resource]
        )["ScalableTargets"]
        declared = self.service["desiredCount"]
        return max([1 if declared is None else int(declared), *(int(each["MinCapacity"]) for each in targets)])

    def _launch(self) -> None:
        """Starts the desired number of tasks next to the old ones, and waits until each is healthy.

        The circuit breaker counts tasks that fail one after the other: a healthy one sets its count back (ECS API
        Reference, DeploymentCircuitBreaker).
        """
        wanted, failures = self._count(), 0
        self.record["targetServiceRevision"]["requestedTaskCount"] = wanted
        threshold = min(max(math.ceil(wanted / 2), _FEWEST_FAILURES), _MOST_FAILURES)
        give_up = time.monotonic() + _START_SECONDS
        healthy: set[str] = set()
        while len(healthy) < wanted:
            self._watch()
            for arn in [each for each in self.tasks if not task.is_alive(each)]:
                self.tasks.remove(arn)
                healthy.discard(arn)
                failures += 1
                self._say(f"task {arn}: {task.why_stopped(arn)}")
                if failures >= threshold:
                    raise BreakerTripped
            for _ in range(wanted - len(self.tasks)):
                self.tasks.append(self._run_one())
            if found := {arn for arn in self.tasks if arn not in healthy and self._is_healthy(arn)}:
                healthy |= found
                failures = 0
            self.record["targetServiceRevision"]["runningTaskCount"] = len(healthy)
            if time.monotonic() > give_up:
                task.stop_in_parallel(self.tasks, self.unhealthy)
                raise BreakerTripped
            time.sleep(POLL_SECONDS)

    def revive(self) -> None:
        """Starts missing tasks again and waits for them: this deployment serves again after a rollback."""
        count = len(self.tasks)
        self.tasks = [each for each in self.tasks if task.is_alive(each)]
        self.tasks += [self._run_one() for _ in range(count - len(self.tasks))]
        give_up = time.monotonic() + _START_SECONDS
        while not all(map(self._is_healthy, self.tasks)) and time.monotonic() < give_up:
            time.sleep(POLL_SECONDS)

    def _run_one(self) -> str:
        status, _, body = task.run(
            {
                "cluster": self.service["clusterArn"],
                "taskDefinition": self.definition,
                "group": f"service:{self.service['serviceName']}",
                "startedBy": f"ecs-svc/{self.arn[-19:]}",
                "launchType": "FARGATE",
                "networkConfiguration": self.service["networkConfiguration"],
            }
        )
        if status != 200:
            message = json.loads(body)["message"]
            raise DeploymentFailed(
                f"service {self.service['serviceName']} failed to launch a task with (error {message})."
            )
        return str(json.loads(body)["tasks"][0]["taskArn"])

    def _say(self, message: str) -> None:
        """Adds a message to the service's events."""
        event = {"id": str(uuid.uuid4()), "createdAt": time.time(), "message": message}
        self.service["events"].insert(0, event)

    def drain(self, arn: str) -> None:
        with self._lock:
            if self._is_serving and arn in self.tasks:
                self.tasks.remove(arn)
                self.draining.add(arn)
                self._route()

    def replace(self, arn: str) -> None:
        """Replaces a task that has ended.

        One that cannot start is tried again, at growing intervals (ECS guide, "Amazon ECS service throttle logic").
        """
        pause = _PAUSE_SECONDS
        while True:
            with self._lock:
                if not self._is_serving:
                    return  # another deployment has taken over meanwhile
                self._say(f"task {arn}: {task.why_stopped(arn)}")
                self.draining.discard(arn)
                if arn in self.tasks:
                    self.tasks.remove(arn)
                    self._route()
                self.service["runningCount"] = len(self.tasks)
                time.sleep(_PAUSE_SECONDS)
                arn = self._run_one()
                if task.is_alive(arn):
                    self.tasks.append(arn)
                    break
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        while task.is_alive(arn) and not self._is_healthy(arn):
            time.sleep(POLL_SECONDS)
        with self._lock:
            if self._is_serving:
                self._route()
                self.service["runningCount"] = len(self.tasks)

    # -- the whole deployment

    def run(self) -> None:
        """Deploys once no other deployment of the service runs: it replaces the tasks that serve then."""
        with _busy.setdefault(self._service_arn, threading.Lock()):
            if (before := _serving.get(self._service_arn)) is not None:
                self._before = before
                self.record["sourceServiceRevisions"] = [{"arn": before.target}]
            if self.record["status"] == "PENDING":
                self.record["status"] = "IN_PROGRESS"
            try:
                self._forward()
            except Exception as error:  # Any error rolls the deployment back.
                self.failure = (
                    error
                    if isinstance(error, DeploymentFailed)
                    else DeploymentFailed(f"{type(error).__name__}: {error}")
                )
                self._back(self.failure)
            else:
                _serving[self._service_arn] = self
                if self._before is not None:
                    self._stop(self._before.tasks)
                self._settle("SUCCESSFUL", len(self.tasks))
            self.record |= {"finishedAt": time.time()}

    def _back(self, failure: DeploymentFailed) -> None:
        reason, before = failure.reason, self._before
        self.record["rollback"] = {
            "reason": reason,
            "startedAt": time.time(),
            **({"serviceRevisionArn": before.target} if before else {}),
        }
        self.record["status"] = "ROLLBACK_IN_PROGRESS"
        if before is not None:
            self._undo(before)
            self.service["taskDefinition"] = before.definition
        self._stop(self.tasks)
        self.record["statusReason"] = reason if before else _NO_CANDIDATE
        self._settle("ROLLBACK_SUCCESSFUL" if before else "ROLLBACK_FAILED", len(before.tasks) if before else 0)

    @staticmethod
    def _stop(tasks: list[str]) -> None:
        task.stop_in_parallel(tasks, "Scaling activity initiated by deployment")

    def _settle(self, status: str, running: int) -> None:
        self.record["status"] = status
        self.service["runningCount"] = self.service["desiredCount"] = running
        for each in self.service["deployments"]:
            each |= {"rolloutState": "COMPLETED", "runningCount": running, "desiredCount": running}
