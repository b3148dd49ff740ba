"""What a container of ours gets from its task, whatever its image is."""

from typing import Any

import pytest

from infra_constructs.container_task import Settings
from infra_constructs.release.image import Architecture
from infra_constructs.task_preparation import authority_of
from tests.tasks import template


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
