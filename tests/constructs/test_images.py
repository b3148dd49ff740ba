"""A service's images, and the pointer to the one that runs."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import assertions

from infra_constructs.images import ImageSeeder, ServiceImages
from infra_constructs.retention import Retention


def resources(*services: str) -> dict[str, Any]:
    stack = cdk.Stack(cdk.App(), "Stack")
    seeder = ImageSeeder(stack, "Seeder")
    for name in services:
        ServiceImages(
            stack,
            name,
            seeder=seeder,
            parameter_name=f"/shop/dev/{name}/image",
            bootstrap_image="node:24",
            retention=Retention.disposable(reason="a test"),
        )
    found: dict[str, Any] = assertions.Template.from_stack(stack).to_json()["Resources"]
    return found


def test_a_pointer_is_deleted_before_the_permission_to_delete_it() -> None:
    """CloudFormation updates the resources that stay, then deletes the others in reverse order of dependencies."""
    both, one = resources("Api", "Site"), resources("Api")
    leaving = {name: each for name, each in both.items() if name not in one}
    ((_, pointer),) = [pair for pair in leaving.items() if pair[1]["Type"] == "Custom::ImagePointer"]
    policies = [leaving[name] for name in pointer["DependsOn"] if name in leaving]
    allowed = [statement for each in policies for statement in each["Properties"]["PolicyDocument"]["Statement"]]
    assert [set(each["Action"]) for each in allowed] == [
        {"ssm:DeleteParameter", "ssm:GetParameter", "ssm:PutParameter"}
    ]
    assert "/shop/dev/Site/image" in str(allowed)
    assert all(both[name].get("Properties") == each.get("Properties") for name, each in one.items())
