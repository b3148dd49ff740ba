"""An environment whose services, job and Redis instance have a hyphen in their names, as files may name them."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest

import app
from config import ENVIRONMENTS, Environment, load
from infra_runtime.contract.names import words
from template_policies import violations
from template_policies.graph import graphs
from tests.conftest import _templates as templates_in

NAMES = {"api": "user-api", "frontend": "user-api-site"}
MORE = """
[services.mail-er]
runs = "user-api"
command = ["node", "mailer.mjs"]

[jobs.clean-up]
runs = "mail-er"
schedule = "rate(1 day)"
command = ["node", "clean.mjs"]
"""

Templates = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Environment]:
    file = Path(shutil.copytree(ENVIRONMENTS, tmp_path_factory.mktemp("hyphens") / "environments")) / "dev.toml"
    text = file.read_text()
    for old, new in NAMES.items():
        text = re.sub(rf"\bservices\.{old}\b", f"services.{new}", text)
    text = text.replace('serves = "main"', 'serves = "near-by"').replace(
        "redis.instances.main", "redis.instances.near-by"
    )
    file.write_text(text + MORE)
    return load(["dev"], directory=file.parent)


@pytest.fixture(scope="module")
def templates(
    context: dict[str, Any], environments: dict[str, Environment], tmp_path_factory: pytest.TempPathFactory
) -> Templates:
    root = cdk.App(context=context, outdir=str(tmp_path_factory.mktemp("hyphens") / "cdk.out"))
    app.build(root, environments)
    root.synth()
    return templates_in(Path(root.outdir))


def test_its_templates_keep_every_policy(templates: Templates, environments: dict[str, Environment]) -> None:
    assert {"dev/UserApi", "dev/UserApiSite"} <= templates.keys()
    assert [found for graph in graphs(templates, environments) for found in violations(graph)] == []


def test_a_preview_has_a_parameter_for_each_image(templates: Templates) -> None:
    (previews,) = [
        each["Properties"]["Environment"]["Variables"]
        for each in templates["dev/Delivery"]["Resources"].values()
        if each["Type"] == "AWS::Lambda::Function"
        and each["Properties"]["Handler"].endswith("previews.control.handler")
    ]
    known = re.findall(r'\\?"([a-z-]+)\\?":\{\\?"repository', json.dumps(previews["SERVICES"]).replace("\\", ""))
    assert sorted(known) == sorted(NAMES.values())
    assert {f"{words(each)}Image" for each in known} <= templates["dev/Preview1"]["Parameters"].keys()
