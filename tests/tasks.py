"""A stack with one task definition of ours."""

from typing import Any

import aws_cdk as cdk
from aws_cdk import assertions
from aws_cdk import aws_ecr as ecr

from infra_constructs.container_task import ContainerEnvironment, ContainerTask
from infra_constructs.helper_image import HelperImage
from infra_constructs.release.image import Architecture, ReleasedImage


def template(architecture: Architecture = "arm64", **props: Any) -> dict[str, Any]:
    """`props` are those of `ContainerTask`; its image is in the SSM parameter /image."""
    stack = cdk.Stack(
        cdk.App(context={"@aws-cdk/core:enablePartitionLiterals": True}),
        "Stack",
        env=cdk.Environment(account="111122223333", region="eu-central-1"),
        synthesizer=cdk.DefaultStackSynthesizer(generate_bootstrap_version_rule=False),
    )
    settings = {"settings": ContainerEnvironment(), **props}
    ContainerTask(stack, "Task", name="app", image=image(stack, architecture), cpu=256, memory_mib=512, **settings)
    return dict(assertions.Template.from_stack(stack).to_json())


def image(stack: cdk.Stack, architecture: Architecture = "arm64") -> ReleasedImage:
    return ReleasedImage.released(
        stack,
        "Release",
        repository=ecr.Repository(stack, "Repository"),
        parameter_name="/image",
        bootstrap="public/node",
        architecture=architecture,
        helper=HelperImage(stack, "Helper", name="product-of-a-long-name-production"),
    )
