"""A blue/green deployment, stage by stage, as ECS documents it (AWS, "Amazon ECS blue/green deployments")."""

import contextvars
import json
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from ministack.services import alb

from simulators.aws.authorization import Need, denial_of
from simulators.aws.clock import minute_seconds
from simulators.aws.ecs import balancer, task
from simulators.aws.ecs.deployment import POLL_SECONDS, Deployment, DeploymentFailed, all_serving
from simulators.aws.resource_type import client
from simulators.aws.service_principals import can_enter

_ECS = "ecs.amazonaws.com"


class BlueGreen(Deployment):
    unhealthy = "Task failed ELB health checks"

    def __init__(self, service_arn: str, task_definition: str) -> None:
        super().__init__(service_arn, task_definition)
        self._stages: list[str] = []
        """Stages that it has reached."""

    def _stage(self, name: str) -> None:
        self.record["lifecycleStage"] = name
        self._stages.append(name)
        self._watch()
        for hook in self._hooks(name):
            while (delay := self._ask(hook, name)) is not None:
                time.sleep(delay)
                self._watch()

    def _hooks(self, stage: str) -> Iterator[Mapping[str, Any]]:
        for hook in self._configuration.get("lifecycleHooks", []):
            if stage in hook["lifecycleStages"]:
                yield hook

    def _ask(self, hook: Mapping[str, Any], stage: str) -> float | None:
        """Calls the hook. Returns the seconds until the next call; None if it succeeded. Raises `DeploymentFailed`."""
        event = {
            "executionDetails": {
                "testTrafficWeights": {},
                "productionTrafficWeights": {},
                "serviceArn": self._service_arn,
                "targetServiceRevisionArn": self.target,
            },
            "executionId": str(uuid.uuid4()),
            "lifecycleStage": stage,
            "resourceArn": self.arn,
        }
        function = hook["hookTargetArn"]
        # ECS calls as the hook's role (ECS guide, "Lifecycle hooks for Amazon ECS service deployments").
        if not can_enter(_ECS, hook["roleArn"]):
            raise DeploymentFailed(
                f"lifecycle hook {function} at {stage}: ECS was unable to assume the role {hook['roleArn']}"
            )
        if denied := denial_of(hook["roleArn"], self.arn[-19:], Need("lambda:InvokeFunction", function)):
            raise DeploymentFailed(f"lifecycle hook {function} at {stage}: {denied}")
        answered = client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
        body = answered["Payload"].read().decode()
        document = json.loads(body) if "FunctionError" not in answered else {}
        status = document.get("hookStatus") if isinstance(document, dict) else None
        if status not in ("SUCCEEDED", "IN_PROGRESS"):
            raise DeploymentFailed(f"lifecycle hook {function} at {stage} answered {body[:300]}")
        return float(document.get("callBackDelay", 30)) * task.SECOND if status == "IN_PROGRESS" else None

    # -- targets and weights

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
        return int(self.service["loadBalancers"][0]["containerPort"])

    def _balance(self, *actions: str, on: str = "*") -> None:
        """Calls as the infrastructure role (ECS guide, "Amazon ECS infrastructure IAM role for load balancers")."""
        needs = (Need(f"elasticloadbalancing:{each}", on) for each in actions)
        if denied := denial_of(self._advanced["roleArn"], "ecs-service-scheduler", *needs):
            raise DeploymentFailed(denied)

    @property
    def _advanced(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.service["loadBalancers"][0]["advancedConfiguration"]
        return found

    def _check_balancer(self) -> None:
        """Assumed: ECS reads all of it first, and refuses a role in the words that it has for a service's own role
        (Shippable/support #3027).
        """
        if not can_enter(_ECS, self._advanced["roleArn"]):
            raise DeploymentFailed(
                "Unable to assume role and validate the specified targetGroupArn. Please verify that the ECS service "
                "role being passed has the proper permissions."
            )
        self._balance("DescribeTargetGroups", "DescribeListeners", "DescribeRules")

    def _groups(self) -> dict[str, int]:
        """Current weights in the production listener's rule."""
        forward = alb._rules[self._advanced["productionListenerRule"]]["Actions"][0]["ForwardConfig"]
        return {each["TargetGroupArn"]: each["Weight"] for each in forward["TargetGroups"]}

    def _free_group(self) -> str:
        """The target group for the new tasks: the one that gets no requests yet.

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

    def _forward(self) -> None:
        group = self._group = self._free_group()
        self._old_group = next((arn for arn, weight in self._groups().items() if weight > 0), group)
        self._check_balancer()
        if self._before is not None:
            self._stage("RECONCILE_SERVICE")
        self._stage("PRE_SCALE_UP")
        self.record["lifecycleStage"] = "SCALE_UP"
        self._launch()
        self._balance("RegisterTargets", on=group)
        self._register(group, self.tasks)
        self._balance("DescribeTargetHealth")
        self._stage("POST_SCALE_UP")
        self._shift("testListenerRule", group)
        self._stage("TEST_TRAFFIC_SHIFT")
        self._stage("POST_TEST_TRAFFIC_SHIFT")
        self._stage("PRE_PRODUCTION_TRAFFIC_SHIFT")
        self._shift("productionListenerRule", group)
        self._stage("PRODUCTION_TRAFFIC_SHIFT")
        self._stage("POST_PRODUCTION_TRAFFIC_SHIFT")
        self._stage("BAKE_TIME")
        over = time.monotonic() + int(self._configuration.get("bakeTimeInMinutes", 0)) * minute_seconds()
        while time.monotonic() < over:
            self._watch()
            time.sleep(POLL_SECONDS)
        self._watch()
        self._stage("CLEAN_UP")
        for other in self._groups():
            if other != group and alb._targets.get(other):
                self._balance("DeregisterTargets", on=other)
                self._register(other, [])
        if self._before is not None:
            self._stop(self._before.tasks)
            self._drain()

    def _drain(self) -> None:
        """Old targets finish their requests (ELB guide, "Deregistration delay"). Assumed: the tasks have ended by then,
        as ECS documents of CLEAN_UP, and the deployment can be stopped until it is over.
        """
        attributes = alb._tg_attrs[self._old_group]
        delay = next(each["Value"] for each in attributes if each["Key"] == "deregistration_delay.timeout_seconds")
        over = time.monotonic() + int(delay) * task.SECOND
        while time.monotonic() < over:
            self._watch()
            time.sleep(POLL_SECONDS)

    def _undo(self, before: Deployment) -> None:
        before.revive()
        self._register(self._old_group, before.tasks)
        for rule, stage in (
            ("productionListenerRule", "PRODUCTION_TRAFFIC_SHIFT"),
            ("testListenerRule", "TEST_TRAFFIC_SHIFT"),
        ):
            self._weigh(rule, self._old_group)
            self._ask_on_the_way_back(stage)
        self._register(self._group, [])

    def _ask_on_the_way_back(self, stage: str) -> None:
        """ECS runs the hooks of both shifts then, too (its guide, "Lifecycle hooks for ECS service deployments").

        Assumed: only of shifts that have happened, and no answer but IN_PROGRESS keeps it from going on.
        """
        for hook in self._hooks(stage) if stage in self._stages else ():
            with suppress(DeploymentFailed):
                while (delay := self._ask(hook, stage)) is not None:
                    time.sleep(delay)

    def _route(self) -> None:
        """All of them if none is healthy (ELB guide, "Health checks for Application Load Balancer target groups")."""
        healthy = [arn for arn in self.tasks if self._is_healthy(arn)]
        self._register(self._group, healthy or [arn for arn in self.tasks if task.is_alive(arn)])

    # -- health of tasks that serve

    def serves_from(self, group: str) -> bool:
        return self._group == group

    def follow_health(self) -> None:
        """Replaces unhealthy tasks until all are healthy or another deployment serves.

        The load balancer asks registered targets at its interval. The scheduler starts another task for an unhealthy
        one, and stops the old one if the new one is healthy, else one of the two (ECS guide, "Amazon ECS services").
        Assumed: the old one.
        """
        while (unhealthy := self._unhealthy()) and self._is_serving:
            for arn in unhealthy:
                with self._lock:
                    if not self._is_serving:
                        return
                    self._exchange(arn)

    def _unhealthy(self) -> list[str]:
        """Tasks that fail as many checks in a row as the target group says."""
        failing = set(self.tasks)
        for _ in range(self._checks):
            time.sleep(self._interval)
            failing = {arn for arn in failing if task.is_alive(arn) and not self._is_healthy(arn)}
        return [arn for arn in self.tasks if arn in failing]

    @property
    def _checks(self) -> int:
        return int(alb._tgs[self._group]["UnhealthyThresholdCount"])

    @property
    def _interval(self) -> float:
        return int(alb._tgs[self._group]["HealthCheckIntervalSeconds"]) * task.SECOND

    def _exchange(self, arn: str) -> None:
        self._say(f"{self.unhealthy}: task {arn}")
        new = self._run_one()
        self.tasks.append(new)
        self._route()
        over = time.monotonic() + self._checks * self._interval
        while time.monotonic() < over and not self._is_healthy(new):
            time.sleep(POLL_SECONDS)
        if arn in self.tasks:
            self.tasks.remove(arn)
        self._route()
        task.stop(arn, self.unhealthy)


def ask_again(group: str) -> None:
    """A target group has another health check, which holds for its targets at once (ELB API, ModifyTargetGroup)."""
    for each in all_serving():
        if isinstance(each, BlueGreen) and each.serves_from(group):
            context = contextvars.copy_context()
            threading.Thread(target=context.run, args=(each.follow_health,), daemon=True).start()
