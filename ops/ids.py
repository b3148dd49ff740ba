"""`infra id` and `infra call`: what an environment's resources are called in AWS, and a function run by hand."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from botocore.exceptions import ClientError

from config import services
from config.model import Environment
from infra_runtime.contract.names import stack_name
from ops.account import not_deployed
from ops.console import Console
from ops.errors import InputError
from ops.functions import Clients, ask
from ops.progress import working

STACKS = ("network", "data", "registry", "platform", "redis", "edge", "observability", "delivery")
"""Beside those of the services."""
KINDS = {
    "bucket": "AWS::S3::Bucket",
    "certificate": "Custom::ValidatedCertificate",
    "cluster": "AWS::ECS::Cluster",
    "database": "AWS::RDS::DBInstance",
    "function": "AWS::Lambda::Function",
    "ledger": "AWS::DynamoDB::Table",
    "load-balancer": "AWS::ElasticLoadBalancingV2::LoadBalancer",
    "malware-plan": "AWS::GuardDuty::MalwareProtectionPlan",
    "parameter-group": "AWS::ElastiCache::ParameterGroup",
    "prefix-list": "Custom::CloudflareRanges",
    "queue": "AWS::SQS::Queue",
    "redis": "AWS::ElastiCache::ReplicationGroup",
    "rule": "AWS::Events::Rule",
    "secret": "AWS::SecretsManager::Secret",
    "service": "AWS::ECS::Service",
    "topic": "AWS::SNS::Topic",
}
"""CloudFormation's type by KIND. A stack has none."""
# CDK ends a logical id with eight hexadecimal digits.
_HASH = re.compile(r"[0-9A-F]{8}$")


def stacks_of(environment: Environment) -> list[str]:
    """Every stack whose resources have ids to print."""
    return [*services.stacks(environment), *STACKS]


def resources_of(
    name: str, environment: Environment, clients: Clients, stacks: Sequence[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(stack, resource) of those stacks that are deployed."""
    for stack in stacks:
        full = stack_name(environment.product, name, stack)
        pages = clients.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=full)
        try:
            yield from ((stack, each) for page in pages for each in page["StackResourceSummaries"])
        except ClientError as error:
            # One that is not deployed yet hides nothing in the others.
            if "does not exist" not in str(error):
                raise


def label(stack: str, logical_id: str) -> str:
    """STACK/PART, as people name a resource."""
    return f"{stack}/{_HASH.sub('', logical_id)}"


def physical_id(name: str, environment: Environment, clients: Clients, what: str) -> str:
    """`what` is KIND, or KIND/PART where there are several: database, function/drift. Raises `InputError`."""
    kind, _, part = what.partition("/")
    if kind == "stack" and part:
        return stack_name(environment.product, name, part)
    if kind not in KINDS:
        raise InputError(
            f"WHAT {what!r}: expected one of {', '.join(KINDS)}, stack; with a part of a name: function/drift"
        )
    with working(f"reading the stacks of {name}"):
        every = {
            label(stack, each["LogicalResourceId"]): each["PhysicalResourceId"]
            for stack, each in resources_of(name, environment, clients, stacks_of(environment))
            if each["ResourceType"] == KINDS[kind]
        }
    if not every:
        raise not_deployed(name, f"there is no {kind}")
    found = chosen(every, part)
    if len(found) != 1:
        known = ", ".join(f"{kind}/{each}" for each in sorted(found or every))
        raise InputError(f"WHAT {what!r}: expected one of {known}")
    return str(every[found[0]])


def chosen(labels: Sequence[str] | Mapping[str, Any], part: str) -> list[str]:
    """Labels that contain this part."""
    return [each for each in labels if part.lower() in each.lower()]


def call(name: str, environment: Environment, clients: Clients, part: str, console: Console) -> None:
    """Runs a function with the input of its schedule. Raises `OperatorError`."""
    function = physical_id(name, environment, clients, f"function/{part}")
    events, arn = clients.client("events"), _arn(clients, function)
    given: Mapping[str, Any] = {}
    pages = events.get_paginator("list_rule_names_by_target").paginate(TargetArn=arn)
    for rule in [each for page in pages for each in page["RuleNames"]]:
        described = events.describe_rule(Name=rule)
        targets = events.get_paginator("list_targets_by_rule").paginate(Rule=rule)
        for target in [each for page in targets for each in page["Targets"]]:
            if target["Arn"] == arn and "ScheduleExpression" in described:
                given = json.loads(target.get("Input") or "{}")
    console.print_json(data=ask(clients, function, given, what=function))


def _arn(clients: Clients, function: str) -> str:
    found: str = clients.client("lambda").get_function_configuration(FunctionName=function)["FunctionArn"]
    return found
