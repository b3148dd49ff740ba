"""Two services of one repository (docs/one-repository.md): no job of one enters the role of the other."""

from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

import app
from config import load
from ops.github.settings import settings
from tests.stacks.test_trust import trusts_nobody_else

EXAMPLE = load(["dev"], directory=Path(__file__).resolve().parents[2] / "docs" / "one-repository")


@pytest.fixture(scope="module")
def templates(context: dict[str, Any]) -> dict[str, dict[str, Any]]:
    root = cdk.App(context=context)
    app.build(root, EXAMPLE)
    nested = root.synth().get_nested_assembly("assembly-dev")
    return {stack.display_name.partition(" ")[0]: stack.template for stack in nested.stacks}


def test_each_service_has_a_role_that_trusts_its_own_github_environment(templates: dict[str, dict[str, Any]]) -> None:
    trusts_nobody_else(EXAMPLE["dev"], templates, "dev", set())


def test_github_gets_every_variable_of_each_service(templates: dict[str, dict[str, Any]]) -> None:
    outputs = {key: f"the {key}" for key in templates["dev/Delivery"]["Outputs"]}
    found = {each.name: each.variables for each in settings(EXAMPLE["dev"], outputs) if each.service is not None}
    assert found.keys() == {"dev-api", "dev-site", "dev-api-preview", "dev-site-preview"}
    assert {each["ARCHITECTURE"] for each in found.values()} == {"x86_64"}
    assert [found[each]["RELEASE_ROLE"] for each in ("dev-api", "dev-site")] == [
        "the ApiReleaseRole",
        "the SiteReleaseRole",
    ]


def test_every_task_of_the_services_runs_on_their_architecture(templates: dict[str, dict[str, Any]]) -> None:
    found = [
        each["Properties"]["RuntimePlatform"]["CpuArchitecture"]
        for stack in ("dev/Api", "dev/Site", "dev/Preview1")
        for each in templates[stack]["Resources"].values()
        if each["Type"] == "AWS::ECS::TaskDefinition"
    ]
    assert len(found) >= 5
    assert set(found) == {"X86_64"}
