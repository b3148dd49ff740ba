"""Stacks as CloudFormation has them now."""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from ops.effects.template import Templates
from ops.functions import Clients

# What CDK deletes before it creates the stack again (aws-cdk 2.1148, isCreationFailure).
NOT_CREATED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED")


@dataclass(frozen=True)
class Stack:
    name: str
    status: str
    tags: Mapping[str, str]
    is_protected: bool
    """Whether termination protection is on."""


def every_stack(clients: Clients) -> Iterator[Stack]:
    """Of the account and region. Raises what boto3 raises."""
    for page in clients.client("cloudformation").get_paginator("describe_stacks").paginate():
        for each in page["Stacks"]:
            if each["StackStatus"] not in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):
                tags = {tag["Key"]: tag["Value"] for tag in each.get("Tags", [])}
                yield Stack(
                    each["StackName"], each["StackStatus"], tags, each.get("EnableTerminationProtection", False)
                )


def stacks(clients: Clients, environment: str) -> Iterator[Stack]:
    """Those of an environment's name, of every product. Raises what boto3 raises."""
    return (each for each in every_stack(clients) if each.tags.get("environment") == environment)


def templates(clients: Clients, found: Collection[Stack], wanted: Templates) -> Templates:
    """In order of deployment; those that the code does not have any more come last. A stack whose creation failed has
    none: CDK creates it again. Raises what boto3 raises.
    """
    order = list(wanted)
    created = [each.name for each in found if each.status not in NOT_CREATED]
    names = sorted(created, key=lambda each: order.index(each) if each in order else len(order))
    cloudformation = clients.client("cloudformation")
    bodies = {stack: cloudformation.get_template(StackName=stack)["TemplateBody"] for stack in names}
    return {stack: json.loads(body) if isinstance(body, str) else body for stack, body in bodies.items()}
