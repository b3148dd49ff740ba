"""What a container of ours gets from its task, whatever its image is."""

from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_ecr as ecr

from infra_constructs.container_task import ContainerTask, Settings
from infra_constructs.helper_image import HelperImage
from infra_constructs.release.image import Architecture, ReleasedImage
from infra_constructs.task_preparation import authority_of


def task(architecture: Architecture = "arm64", **props: Any) -> dict[str, Any]:
    """The task definition."""
    stack = cdk.Stack(cdk.App(), "Stack", env=cdk.Environment(account="111122223333", region="eu-central-1"))
    image = ReleasedImage.released(
        stack,
        "Release",
        repository=ecr.Repository(stack, "Repository"),
        parameter_name="/image",
        bootstrap="public/node",
        architecture=architecture,
        helper=HelperImage(stack, "Helper", name="product-of-a-long-name-production"),
    )
    ContainerTask(stack, "Task", name="app", image=image, cpu=256, memory_mib=512, **{"settings": Settings(), **props})
    found = assertions.Template.from_stack(stack).to_json()["Resources"].values()
    (definition,) = [each["Properties"] for each in found if each["Type"] == "AWS::ECS::TaskDefinition"]
    return dict(definition)


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_it_runs_on_the_architecture_of_its_image(architecture: Architecture) -> None:
    assert task(architecture)["RuntimePlatform"]["CpuArchitecture"] == architecture.upper()


def test_a_named_path_is_prepared_and_can_be_written() -> None:
    definition = task(writable=("/app/.next/cache",))
    app, prepare = definition["ContainerDefinitions"]
    assert prepare["Command"][-2:] == ["/tmp", "/app/.next/cache"]  # noqa: S108
    assert {
        "ContainerPath": "/app/.next/cache", "ReadOnly": False, "SourceVolume": "app-_next-cache",
    } in app["MountPoints"]  # fmt: skip


def test_own_variables_take_the_place_of_what_every_container_has() -> None:
    app, _ = task(settings=Settings(values={"HOME": "/app"}))["ContainerDefinitions"]
    assert [each["Value"] for each in app["Environment"] if each["Name"] == "HOME"] == ["/app"]


def test_what_no_load_balancer_asks_may_name_a_command() -> None:
    app, _ = task(health_command=("/app", "health"))["ContainerDefinitions"]
    assert app["HealthCheck"]["Command"] == ["CMD", "/app", "health"]


def test_an_authority_is_of_its_region() -> None:
    assert authority_of("eu-central-1") != authority_of("us-east-1")
    with pytest.raises(ValueError, match="no authority of mars-north-1"):
        authority_of("mars-north-1")
