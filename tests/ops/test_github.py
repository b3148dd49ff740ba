"""What GitHub's environments need, held together with what the workflows read; and how GitHub names a repository."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from config import available, load
from config.model import Environment
from ops.errors import OperatorError
from ops.github.settings import commands, settings
from ops.github.subjects import mismatches

WORKFLOWS = Path(__file__).resolve().parents[2] / ".github" / "workflows"
Templates = dict[str, dict[str, Any]]


def outputs(templates: Templates, name: str) -> dict[str, str]:
    """As CloudFormation would answer, except that each value is only the name of its output."""
    return {key: f"the {key}" for key in templates[f"{name}/Delivery"]["Outputs"]}


def read_by(workflow: str, kind: str) -> set[str]:
    text = "\n".join(line for line in (WORKFLOWS / workflow).read_text().splitlines() if not line.startswith("#"))
    return set(re.findall(rf"\b{kind}\.([A-Z_]+)", text))


@pytest.mark.parametrize("name", available())
def test_every_variable_that_a_workflow_reads_is_there_and_no_other(name: str, templates: Templates) -> None:
    found = list(settings(load([name])[name], outputs(templates, name)))
    workflows = {each.workflow for each in found}
    assert {"deploy-environment.yml", "drift.yml", "service-release.yml"} <= workflows
    for workflow in workflows:
        of_it = [each for each in found if each.workflow == workflow]
        assert set().union(*(each.variables for each in of_it)) == read_by(workflow, "vars")
        secrets = read_by(workflow, "secrets") - {"INFRASTRUCTURE_TOKEN"}
        assert set().union(*(each.secrets for each in of_it)) >= secrets - {"SENTRY_AUTH_TOKEN"}


def test_only_pull_requests_get_an_environment_that_other_branches_reach(templates: Templates) -> None:
    for each in settings(load(["dev"])["dev"], outputs(templates, "dev")):
        limits = [
            command for command in commands(each) if "deployment-branch-policies --silent --field name=main" in command
        ]
        assert bool(limits) != each.name.endswith("-preview"), each


GH = """#!/bin/bash
printf '%s\\n' "$*" >>called
[[ "$*" != *"--method PUT"* ]] || touch "$(basename "$4")"
[[ "$2" != repos/* || -e "$(basename "$2")" ]]
"""


@pytest.mark.parametrize("exists", [False, True])
def test_a_shell_runs_the_commands_and_keeps_an_environment_that_exists(
    *, exists: bool, templates: Templates, tmp_path: Path
) -> None:
    needed = next(settings(load(["production"])["production"], outputs(templates, "production")))
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o755)
    if exists:
        (tmp_path / needed.name).touch()
    script = "\n".join(["set -e", *commands(needed)])
    subprocess.run(["bash", "-c", script], cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    called = (tmp_path / "called").read_text().splitlines()
    assert "variable set DEPLOY_ROLE --repo daadaar/infrastructure --env production --body the DeployRole" in called
    changes = [each for each in called if "--method" in each]
    assert len(changes) == (0 if exists else 2)
    assert exists or "production/deployment-branch-policies --silent --field name=main" in changes[1]


def test_a_stack_from_before_says_to_deploy_it_again() -> None:
    with pytest.raises(OperatorError, match="no output DeployRole"):
        list(settings(load(["dev"])["dev"], {}))


@dataclass
class Reply:
    status_code: int
    body: dict[str, Any]

    def json(self) -> dict[str, Any]:
        return self.body


class Repositories:
    """GitHub, which knows these subjects, by name of the repository."""

    def __init__(self, subjects: dict[str, dict[str, Any]]) -> None:
        self._subjects = subjects

    def get(self, path: str, /) -> Reply:
        told = re.fullmatch(r"/repos/([^/]+/[^/]+)/actions/oidc/customization/sub", path)
        assert told is not None
        found = self._subjects.get(told[1])
        return Reply(404, {"message": "Not Found"}) if found is None else Reply(200, found)


def by_name(repository: str) -> dict[str, Any]:
    return {"use_default": True, "use_immutable_subject": False, "sub_claim_prefix": f"repo:{repository}"}


NAMES = {name: by_name(name) for name in ("daadaar/infrastructure", "daadaar/backend", "daadaar/frontend")}
FORKED = "daadaar@70001/backend@9000002"


def dev(backend: str = "daadaar/backend") -> Environment:
    environment = load(["dev"])["dev"]
    api = environment.services["api"].model_copy(update={"repository": backend})
    return environment.model_copy(update={"services": {**environment.services, "api": api}})


def test_repositories_that_are_named_as_written_are_no_finding() -> None:
    assert list(mismatches(dev(), Repositories(NAMES))) == []
    assert list(mismatches(dev(FORKED), Repositories({**NAMES, "daadaar/backend": by_name(FORKED)}))) == []


@pytest.mark.parametrize(("written", "sent"), [
    ("daadaar/backend", FORKED), (FORKED, "daadaar/backend"), (FORKED, "daadaar@70001/backend@9000003"),
    ("daadaar/backend", "Daadaar/backend"),
])  # fmt: skip
def test_a_repository_that_is_named_otherwise_is_told_with_the_line_to_write(written: str, sent: str) -> None:
    ((key, what, todo),) = mismatches(dev(written), Repositories({**NAMES, "daadaar/backend": by_name(sent)}))
    assert (key, sent in what) == ("services.api.repository", True)
    assert f'services.api.repository = "{sent}"' in todo


def test_subjects_of_ones_own_making_are_told() -> None:
    custom = {"use_default": False, "include_claim_keys": ["repo", "job_workflow_ref"]}
    ((_, what, todo),) = mismatches(dev(), Repositories({**NAMES, "daadaar/backend": custom}))
    assert "job_workflow_ref" in what
    assert "use_default=true" in todo


def test_what_github_does_not_show_is_told_as_not_checked() -> None:
    found = list(mismatches(dev(), Repositories({})))
    assert len(found) == 3
    assert all(what.startswith("not checked") and "GITHUB_TOKEN" in todo for _, what, todo in found)
