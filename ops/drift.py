"""What is not as CloudFormation has made it, in every stack of an environment."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from rich.console import Console

from config.model import Environment
from ops.errors import OperatorError
from ops.functions import Clients
from ops.report import report

_LONGEST_SECONDS = 900.0
_RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"


@dataclass(frozen=True)
class Drift:
    stack: str
    resource: str
    type: str
    what: str


def drifts(name: str, environment: Environment, clients: Clients, *, every: float = 2.0) -> Iterator[Drift]:
    """All stacks are looked at side by side. Raises what boto3 raises, and `OperatorError`."""
    cloudformation = clients.client("cloudformation")
    prefix = f"{environment.product}-{name}-"
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    stacks = [each["StackName"] for page in pages for each in page["Stacks"] if each["StackName"].startswith(prefix)]
    asked = {stack: cloudformation.detect_stack_drift(StackName=stack)["StackDriftDetectionId"] for stack in stacks}
    give_up = time.monotonic() + _LONGEST_SECONDS
    for stack, identity in asked.items():
        while True:
            status = cloudformation.describe_stack_drift_detection_status(StackDriftDetectionId=identity)
            if status["DetectionStatus"] != "DETECTION_IN_PROGRESS":
                break
            if time.monotonic() > give_up:
                raise OperatorError(f"{stack}: CloudFormation has not looked at it within {_LONGEST_SECONDS:.0f} s")
            time.sleep(every)
        # A failed detection has looked at some resources all the same.
        if status["DetectionStatus"] == "DETECTION_FAILED":
            yield Drift(stack, "", "", f"not looked at entirely: {status.get('DetectionStatusReason', '')}")
        yield from _of_stack(clients, stack)


def _of_stack(clients: Clients, stack: str) -> Iterator[Drift]:
    answered = clients.client("cloudformation").describe_stack_resource_drifts(
        StackName=stack, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"], MaxResults=100
    )
    for each in answered["StackResourceDrifts"]:
        if each["StackResourceDriftStatus"] == "DELETED":
            yield Drift(stack, each["LogicalResourceId"], each["ResourceType"], "is gone")
            continue
        for difference in each["PropertyDifferences"]:
            # ECS moves these at each release, and CloudFormation is not told (docs/adr/0004).
            if each["ResourceType"] == _RULE and difference["PropertyPath"].startswith("/Actions"):
                continue
            what = f"{difference['PropertyPath']}: {difference['ExpectedValue']} → {difference['ActualValue']}"
            yield Drift(stack, each["LogicalResourceId"], each["ResourceType"], what)


def drift(name: str, environment: Environment, clients: Clients, console: Console, *, as_json: bool) -> None:
    """Exit code 3 when there is anything."""
    nothing = f"Every stack of {name} is as it was deployed. Cloudflare: infra edge drift {name}"
    report(list(drifts(name, environment, clients)), nothing, console, as_json=as_json)
