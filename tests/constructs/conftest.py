"""Small stacks around one construct each, in one App a test; the environment's flags apply."""

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_ec2 as ec2

Build = Callable[[cdk.Stack], object]
TemplateOf = Callable[[Build], assertions.Template]


@pytest.fixture
def template_of(context: dict[str, Any]) -> TemplateOf:
    """Builds a construct in a separate stack and returns its template."""

    def build(make: Build) -> assertions.Template:
        stack = cdk.Stack(
            cdk.App(context=context), "Test", env=cdk.Environment(account="111122223333", region="eu-central-1")
        )
        make(stack)
        return assertions.Template.from_stack(stack)

    return build


@pytest.fixture
def vpc() -> Callable[[cdk.Stack], ec2.IVpc]:
    """A network that is only referred to."""

    def of(stack: cdk.Stack) -> ec2.IVpc:
        zones = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
        return ec2.Vpc.from_vpc_attributes(
            stack,
            "Vpc",
            vpc_id="vpc-1",
            availability_zones=zones,
            public_subnet_ids=["subnet-a1", "subnet-b1", "subnet-c1"],
            private_subnet_ids=["subnet-a2", "subnet-b2", "subnet-c2"],
            isolated_subnet_ids=["subnet-a3", "subnet-b3", "subnet-c3"],
        )

    return of
