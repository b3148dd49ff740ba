"""What in AWS differs from what CloudFormation deployed, in every stack of an environment."""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from config.model import Environment
from infra_runtime.contract.names import stack_name
from ops.account import not_deployed
from ops.console import Console
from ops.errors import OperatorError
from ops.functions import Clients
from ops.progress import working
from ops.report import report

_LONGEST_SECONDS = 900.0
_RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
_DATABASE = "AWS::RDS::DBInstance"
# Those that DetectStackDrift takes (CloudFormation user guide, "Detect unmanaged configuration changes").
_COMPARABLE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED")


@dataclass(frozen=True)
class DriftedResource:
    stack: str
    resource: str
    type: str
    what: str


def drifts(name: str, environment: Environment, clients: Clients, *, every: float = 2.0) -> Iterator[DriftedResource]:
    """Compares all stacks at the same time. Raises what boto3 raises, and `OperatorError`."""
    cloudformation = clients.client("cloudformation")
    stacks = _stacks(name, environment, cloudformation)
    if not stacks:
        raise not_deployed(name, f"account {environment.aws.account} has no stack of it")
    asked = {
        stack: cloudformation.detect_stack_drift(StackName=stack)["StackDriftDetectionId"]
        for stack, status in stacks.items()
        if status in _COMPARABLE
    }
    for stack in stacks.keys() - asked.keys():
        yield DriftedResource(stack, "", "", f"not compared: it is {stacks[stack]}")
    give_up = time.monotonic() + _LONGEST_SECONDS
    for stack, identity in asked.items():
        while True:
            status = cloudformation.describe_stack_drift_detection_status(StackDriftDetectionId=identity)
            if status["DetectionStatus"] != "DETECTION_IN_PROGRESS":
                break
            if time.monotonic() > give_up:
                raise OperatorError(f"{stack}: CloudFormation did not finish comparing in {_LONGEST_SECONDS:.0f} s")
            time.sleep(every)
        # A failed detection has compared some resources all the same.
        if status["DetectionStatus"] == "DETECTION_FAILED":
            yield DriftedResource(stack, "", "", f"not compared entirely: {status.get('DetectionStatusReason', '')}")
        yield from _of_stack(cloudformation, stack)


def _stacks(name: str, environment: Environment, cloudformation: Any) -> dict[str, str]:
    """Status of each, by name."""
    prefix = stack_name(environment.product, name, "")
    pages = cloudformation.get_paginator("describe_stacks").paginate()
    found = {each["StackName"]: each["StackStatus"] for page in pages for each in page["Stacks"]}
    return {stack: status for stack, status in sorted(found.items()) if stack.startswith(prefix)}


def _of_stack(cloudformation: Any, stack: str) -> Iterator[DriftedResource]:
    for each in _pages(cloudformation, stack):
        if each["StackResourceDriftStatus"] == "DELETED":
            yield DriftedResource(stack, each["LogicalResourceId"], each["ResourceType"], "was deleted")
            continue
        for difference in differences(each):
            what = f"{difference['PropertyPath']}: {difference['ExpectedValue']} → {difference['ActualValue']}"
            yield DriftedResource(stack, each["LogicalResourceId"], each["ResourceType"], what)


def differences(resource: Mapping[str, Any]) -> Iterator[Mapping[str, str]]:
    """Of one resource's drift, as CloudFormation describes it; without what AWS changes by itself."""
    declared = json.loads(resource.get("ExpectedProperties", "{}"))
    for each in resource.get("PropertyDifferences", ()):
        if not _is_made_by_aws(resource["ResourceType"], each, declared):
            yield each


def _pages(cloudformation: Any, stack: str) -> Iterator[dict[str, Any]]:
    """boto3 has no paginator for this one."""
    token: dict[str, str] = {}
    while True:
        page = cloudformation.describe_stack_resource_drifts(
            StackName=stack, StackResourceDriftStatusFilters=["MODIFIED", "DELETED"], MaxResults=100, **token
        )
        yield from page["StackResourceDrifts"]
        if not page.get("NextToken"):
            return
        token = {"NextToken": page["NextToken"]}


def _is_made_by_aws(kind: str, difference: Mapping[str, str], declared: Mapping[str, Any]) -> bool:
    expected, actual = difference["ExpectedValue"], difference["ActualValue"]
    if kind == _RULE:
        # ECS shifts the weights at each release, and CloudFormation does not know (docs/adr/0004).
        return difference["PropertyPath"].startswith("/Actions")
    if kind == _DATABASE and difference["PropertyPath"] == "/EngineVersion":
        # Automatic minor upgrades. CloudFormation compares by prefix, too, since 2023 (its provider's #390).
        return actual.startswith(f"{expected}.")
    if kind == _DATABASE and difference["PropertyPath"] == "/PreferredBackupWindow":
        # AWS Backup schedules it where it keeps the backups (docs/adr/0028).
        return True
    if kind == _DATABASE and difference["PropertyPath"] == "/AllocatedStorage":
        # Storage autoscaling; CloudFormation leaves it as it is at the next update (its provider's #598).
        return int(expected) < int(actual) <= int(declared.get("MaxAllocatedStorage", expected))
    return False


def drift(name: str, environment: Environment, clients: Clients, console: Console, *, as_json: bool) -> None:
    """Exit code 3 when there is anything."""
    nothing = f"Every stack of {name} is as it was deployed. Cloudflare: infra edge drift {name}"
    with working(f"CloudFormation is comparing every stack of {name}"):
        found = list(drifts(name, environment, clients))
    report(found, nothing, console, as_json=as_json)
