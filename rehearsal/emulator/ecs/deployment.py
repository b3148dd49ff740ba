"""A blue/green deployment, stage by stage, as ECS documents it (AWS, "Amazon ECS blue/green deployments")."""

import json
import os
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from typing import Any

from ministack.services import alb, ecs

from rehearsal.emulator import MINUTE
from rehearsal.emulator.authorization import Need, denial_of
from rehearsal.emulator.ecs import balancer, task
from rehearsal.emulator.resource_type import client
from rehearsal.emulator.service_principals import can_enter

_ECS = "ecs.amazonaws.com"
# ECS waits longer; these are processes of one machine.
_START_SECONDS = 30.0
_POLL_SECONDS = 0.1
# The circuit breaker of small services: this many tasks that ended by themselves.
_FAILED_TASKS = 3
# A hook that asks for 30 seconds would be a long rehearsal: a second of ECS takes this long.
_HOOK_SECOND = 0.02

deployments: dict[str, dict[str, Any]] = {}
"""By ARN, as DescribeServiceDeployments tells them."""
revisions: dict[str, dict[str, Any]] = {}
"""By ARN, as DescribeServiceRevisions tells them."""
_tasks: dict[str, list[str]] = {}
"""ARNs of the tasks that serve, by service."""
_serving: dict[str, str] = {}
"""Revision that serves, by service."""
_busy: dict[str, threading.Lock] = {}


class _Failed(Exception):
    """Why the deployment goes back."""


def key_of(arn: str) -> str:
    return "/".join(arn.split("/")[1:])


def service(arn: str) -> dict[str, Any]:
    found: dict[str, Any] = ecs._services[key_of(arn)]
    return found


def serving(arn: str) -> str | None:
    """Task definition that serves."""
    return str(revisions[_serving[arn]]["taskDefinition"]) if arn in _serving else None


def end(arn: str) -> None:
    """The service is deleted, and its tasks end."""
    task.stop_all_beside(_tasks.pop(arn, []), "Service deleted")
    _serving.pop(arn, None)


class Deployment:
    """One attempt to have a service run another task definition. `run` returns when it is over, this way or that."""

    def __init__(self, service_arn: str, task_definition: str) -> None:
        self._service = service(service_arn)
        self._arn = service_arn
        self._configuration = self._service["deploymentConfiguration"]
        self._advanced = self._service["loadBalancers"][0]["advancedConfiguration"]
        self._source = _serving.get(service_arn)
        self.failure: str | None = None
        tail, number = key_of(service_arn), len(revisions) + 1
        base = service_arn.partition(":service/")[0]
        self.target = f"{base}:service-revision/{tail}/{number:019}"
        revisions[self.target] = {
            "serviceRevisionArn": self.target,
            "serviceArn": service_arn,
            "clusterArn": self._service["clusterArn"],
            "taskDefinition": task_definition,
            "networkConfiguration": self._service["networkConfiguration"],
            "loadBalancers": self._service["loadBalancers"],
            "createdAt": time.time(),
        }
        self.arn = f"{base}:service-deployment/{tail}/{uuid.uuid4().hex[:21]}"
        self.record: dict[str, Any] = {
            "serviceDeploymentArn": self.arn,
            "serviceArn": service_arn,
            "clusterArn": self._service["clusterArn"],
            "createdAt": time.time(),
            "startedAt": time.time(),
            "sourceServiceRevisions": [{"arn": self._source}] if self._source else [],
            "targetServiceRevision": {"arn": self.target, "requestedTaskCount": 0, "runningTaskCount": 0},
            "deploymentConfiguration": self._configuration,
            "status": "PENDING",
        }
        deployments[self.arn] = self.record
        self._started: list[str] = []
        self._ignored = self._ringing()

    # -- what the stages are made of

    def _ringing(self) -> set[str]:
        alarms = self._configuration.get("alarms") or {}
        if not alarms.get("enable"):
            return set()
        known = client("cloudwatch").describe_alarms(AlarmNames=alarms["alarmNames"])["MetricAlarms"]
        return {each["AlarmName"] for each in known if each["StateValue"] == "ALARM"}

    def _watch(self) -> None:
        """Raises when an alarm has gone off; one that was on before is not looked at, as ECS does not either."""
        if new := self._ringing() - self._ignored:
            self.record["alarms"] = {"status": "TRIGGERED", "triggeredAlarmNames": sorted(new)}
            raise _Failed(f"alarm detected: {', '.join(sorted(new))}")
        if self.record["status"] == "ROLLBACK_REQUESTED":
            raise _Failed("the deployment was stopped by a user")

    def _stage(self, name: str) -> None:
        self.record["lifecycleStage"] = name
        self._watch()
        for hook in self._configuration.get("lifecycleHooks", []):
            if name in hook["lifecycleStages"]:
                self._ask(hook, name)

    def _ask(self, hook: Mapping[str, Any], stage: str) -> None:
        event = {
            "executionDetails": {
                "testTrafficWeights": {},
                "productionTrafficWeights": {},
                "serviceArn": self._arn,
                "targetServiceRevisionArn": self.target,
            },
            "executionId": str(uuid.uuid4()),
            "lifecycleStage": stage,
            "resourceArn": self.arn,
        }
        function = hook["hookTargetArn"]
        # ECS calls as the hook's role (ECS guide, "Lifecycle hooks for Amazon ECS service deployments").
        if not can_enter(_ECS, hook["roleArn"]):
            raise _Failed(f"lifecycle hook {function} at {stage}: ECS was unable to assume the role {hook['roleArn']}")
        if denied := denial_of(hook["roleArn"], self.arn[-19:], Need("lambda:InvokeFunction", function)):
            raise _Failed(f"lifecycle hook {function} at {stage}: {denied}")
        while True:
            self._watch()
            answered = client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
            body = answered["Payload"].read().decode()
            told = json.loads(body) if "FunctionError" not in answered else {}
            status = told.get("hookStatus") if isinstance(told, dict) else None
            if status == "SUCCEEDED":
                return
            if status != "IN_PROGRESS":
                raise _Failed(f"lifecycle hook {function} at {stage} answered {body[:300]}")
            time.sleep(float(told.get("callBackDelay", 30)) * _HOOK_SECOND)

    def _count(self) -> int:
        resource = f"service/{key_of(self._arn)}"
        targets = client("application-autoscaling").describe_scalable_targets(
            ServiceNamespace="ecs", ResourceIds=[resource]
        )["ScalableTargets"]
        declared = self._service["desiredCount"]
        return max([1 if declared is None else int(declared), *(int(each["MinCapacity"]) for each in targets)])

    def _launch(self) -> None:
        """Starts as many as there are to be, and waits until each is healthy for the load balancer."""
        wanted, failed = self._count(), 0
        self.record["targetServiceRevision"]["requestedTaskCount"] = wanted
        give_up = time.monotonic() + _START_SECONDS
        healthy: set[str] = set()
        while len(healthy) < wanted:
            self._watch()
            alive = [arn for arn in self._started if task.is_running(arn)]
            for arn in set(self._started) - set(alive):
                self._started.remove(arn)
                healthy.discard(arn)
                failed += 1
                self._service["events"].insert(
                    0,
                    {
                        "id": str(uuid.uuid4()),
                        "createdAt": time.time(),
                        "message": f"task {arn}: {task.why_stopped(arn)}",
                    },
                )
                if failed >= _FAILED_TASKS:
                    raise _Failed(f"tasks failed to start: {task.why_stopped(arn)}")
            for _ in range(wanted - len(alive)):
                self._started.append(self._run_one())
            healthy |= {arn for arn in self._started if arn not in healthy and self._is_healthy(arn)}
            self.record["targetServiceRevision"]["runningTaskCount"] = len(healthy)
            if time.monotonic() > give_up:
                raise _Failed("tasks failed ELB health checks")
            time.sleep(_POLL_SECONDS)

    def _run_one(self) -> str:
        status, _, body = task.run(
            {
                "cluster": self._service["clusterArn"],
                "taskDefinition": revisions[self.target]["taskDefinition"],
                "group": f"service:{self._service['serviceName']}",
                "startedBy": f"ecs-svc/{self.arn[-19:]}",
                "launchType": "FARGATE",
            }
        )
        if status != 200:
            told = json.loads(body)["message"]
            raise _Failed(f"service {self._service['serviceName']} failed to launch a task with (error {told}).")
        return str(json.loads(body)["tasks"][0]["taskArn"])

    def _is_healthy(self, arn: str) -> bool:
        group = alb._tgs[self._group]
        url = f"http://{task.address_of(arn)}:{self._port}{group.get('HealthCheckPath', '/')}"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    @property
    def _port(self) -> int:
        return int(self._service["loadBalancers"][0]["containerPort"])

    def _balance(self, *actions: str, on: str = "*") -> None:
        """As the infrastructure role (ECS guide, "Amazon ECS infrastructure IAM role for load balancers")."""
        needs = (Need(f"elasticloadbalancing:{each}", on) for each in actions)
        if denied := denial_of(self._advanced["roleArn"], "ecs-service-scheduler", *needs):
            raise _Failed(denied)

    def _check_balancer(self) -> None:
        """Assumed: ECS reads all of it first, and refuses a role in the words that it has for a service's own role
        (Shippable/support #3027).
        """
        if not can_enter(_ECS, self._advanced["roleArn"]):
            raise _Failed(
                "Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS service "
                "role being passed has the proper permissions."
            )
        self._balance("DescribeTargetGroups", "DescribeListeners", "DescribeRules")

    def _groups(self) -> dict[str, int]:
        """Weights in production's rule, as they are now."""
        forward = alb._rules[self._advanced["productionListenerRule"]]["Actions"][0]["ForwardConfig"]
        return {each["TargetGroupArn"]: each["Weight"] for each in forward["TargetGroups"]}

    def _free_group(self) -> str:
        """Where the new tasks are to be: where nobody's requests go yet.

        At the first deployment, too: it leaves the alternate group with all weight (cdk-real-drift #1730), while the
        template goes on to say the opposite.
        """
        return next(arn for arn, weight in self._groups().items() if weight == 0)

    def _shift(self, rule: str, group: str) -> None:
        self._balance("ModifyRule", on=self._advanced[rule])
        self._weigh(rule, group)

    def _weigh(self, rule: str, group: str) -> None:
        forward = alb._rules[self._advanced[rule]]["Actions"][0]["ForwardConfig"]
        for each in forward["TargetGroups"]:
            each["Weight"] = 100 if each["TargetGroupArn"] == group else 0
        balancer.follow()

    def _register(self, group: str, arns: list[str]) -> None:
        alb._targets[group] = [{"Id": task.address_of(arn), "Port": self._port} for arn in arns]
        balancer.follow()

    # -- the whole of it

    def run(self) -> None:
        with _busy.setdefault(self._arn, threading.Lock()):
            if self.record["status"] == "PENDING":
                self.record["status"] = "IN_PROGRESS"
            group = self._group = self._free_group()
            before = next((arn for arn, weight in self._groups().items() if weight > 0), group)
            try:
                self._forward(group)
            except Exception as error:  # Whatever stops a deployment, it goes back.
                self.failure = str(error) if isinstance(error, _Failed) else f"{type(error).__name__}: {error}"
                self._back(group, before)
            self.record |= {"finishedAt": time.time()}

    def _forward(self, group: str) -> None:
        self._check_balancer()
        if self._source is not None:
            self._stage("RECONCILE_SERVICE")
        self._stage("PRE_SCALE_UP")
        self.record["lifecycleStage"] = "SCALE_UP"
        self._launch()
        self._balance("RegisterTargets", on=group)
        self._register(group, self._started)
        self._balance("DescribeTargetHealth")
        self._stage("POST_SCALE_UP")
        self._shift("testListenerRule", group)
        self._stage("TEST_TRAFFIC_SHIFT")
        self._stage("POST_TEST_TRAFFIC_SHIFT")
        self._shift("productionListenerRule", group)
        self._stage("PRODUCTION_TRAFFIC_SHIFT")
        self._stage("POST_PRODUCTION_TRAFFIC_SHIFT")
        self._stage("BAKE_TIME")
        over = time.monotonic() + int(self._configuration.get("bakeTimeInMinutes", 0)) * float(os.environ[MINUTE])
        while time.monotonic() < over:
            self._watch()
            time.sleep(_POLL_SECONDS)
        self._watch()
        self._stage("CLEAN_UP")
        old, _tasks[self._arn] = _tasks.get(self._arn, []), list(self._started)
        _serving[self._arn] = self.target
        for other in self._groups():
            if other != group and alb._targets.get(other):
                self._balance("DeregisterTargets", on=other)
                self._register(other, [])
        task.stop_all_beside(old, "Scaling activity initiated by deployment")
        self._settle("SUCCESSFUL", len(self._started))

    def _back(self, group: str, before: str) -> None:
        self.record["rollback"] = {
            "reason": f"Service deployment rolled back because of: {self.failure}",
            "startedAt": time.time(),
            **({"serviceRevisionArn": self._source} if self._source else {}),
        }
        self.record["status"] = "ROLLBACK_IN_PROGRESS"
        if self._source is not None:
            for rule in ("testListenerRule", "productionListenerRule"):
                self._weigh(rule, before)
            self._register(group, [])
            self._service["taskDefinition"] = revisions[self._source]["taskDefinition"]
        task.stop_all_beside(self._started, "Scaling activity initiated by deployment")
        self.record["statusReason"] = self.record["rollback"]["reason"]
        status = "ROLLBACK_SUCCESSFUL" if self._source else "STOPPED"
        self._settle(status, len(_tasks.get(self._arn, [])))

    def _settle(self, status: str, running: int) -> None:
        self.record["status"] = status
        self._service["runningCount"] = self._service["desiredCount"] = running
        for each in self._service["deployments"]:
            each |= {"rolloutState": "COMPLETED", "runningCount": running, "desiredCount": running}
