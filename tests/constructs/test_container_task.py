"""What the task definition gives a container, for any image."""

from collections.abc import Callable, Sequence
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs

from infra_constructs.container_task import ContainerEnvironment
from infra_constructs.release.image import Architecture
from infra_constructs.service import Autoscaled
from infra_constructs.task_preparation import authority_of
from infra_constructs.worker import Worker, WorkerProps
from tests.tasks import image, template

TemplateOf = Callable[[Callable[[cdk.Stack], object]], assertions.Template]
Vpc = Callable[[cdk.Stack], ec2.IVpc]


def task(architecture: Architecture = "arm64", **props: Any) -> dict[str, Any]:
    """The task definition."""
    found = template(architecture, **props)["Resources"].values()
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


def test_a_services_own_variables_replace_the_defaults() -> None:
    app, _ = task(settings=ContainerEnvironment(values={"HOME": "/app"}))["ContainerDefinitions"]
    assert [each["Value"] for each in app["Environment"] if each["Name"] == "HOME"] == ["/app"]


@pytest.fixture
def worker(template_of: TemplateOf, vpc: Vpc) -> Callable[..., dict[str, Any]]:
    """The container of a worker, by its health command."""

    def made(command: Sequence[str] | None) -> dict[str, Any]:
        def make(stack: cdk.Stack) -> None:
            network = vpc(stack)
            Worker(
                stack,
                "Worker",
                cluster=ecs.Cluster(stack, "Cluster", vpc=network),
                security_group=ec2.SecurityGroup(stack, "Access", vpc=network),
                image=image(stack),
                settings=ContainerEnvironment(),
                props=WorkerProps(
                    command=("/app", "work"),
                    cpu=256,
                    memory_mib=512,
                    tasks=Autoscaled(min_tasks=1, max_tasks=1),
                    spot=False,
                    health_command=command,
                ),
            )

        (task,) = template_of(make).find_resources("AWS::ECS::TaskDefinition").values()
        found: dict[str, Any] = task["Properties"]["ContainerDefinitions"][0]
        return found

    return made


def test_the_health_command_runs_in_the_workers_image_and_not_in_the_bootstrap_image(
    worker: Callable[..., dict[str, Any]],
) -> None:
    condition, stands_in, own = worker(("/app", "health"))["HealthCheck"]["Fn::If"]
    assert "IsBootstrap" in condition
    assert stands_in == {"Ref": "AWS::NoValue"}
    assert own["Command"] == ["CMD", "/app", "health"]
    assert "HealthCheck" not in worker(None)


def test_each_region_has_its_own_certificate_authority() -> None:
    assert authority_of("eu-central-1") != authority_of("us-east-1")
    with pytest.raises(ValueError, match="no authority of mars-north-1"):
        authority_of("mars-north-1")
