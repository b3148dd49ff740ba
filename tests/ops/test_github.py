"""What GitHub's environments need, held together with what the workflows read; and how GitHub names a repository."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config import available, load
from config.model import Environment
from ops.doctor.subjects import subjects
from ops.errors import InputError, OperatorError
from ops.github.settings import GitHubEnvironment, commands, settings
from simulators.github.simulator import TOKEN, GitHub, Repository, served
from simulators.http_server import Answer
from tests.workflows import read

WORKFLOWS = Path(__file__).resolve().parents[2] / ".github" / "workflows"
Templates = dict[str, dict[str, Any]]


def outputs(templates: Templates, name: str) -> dict[str, str]:
    """Outputs of the stack Delivery, with the output's name as its value."""
    return {key: f"the {key}" for key in templates[f"{name}/Delivery"]["Outputs"]}


# Kinds of GitHub environments: (whether of a service's repository, suffix of the name).
Kind = tuple[bool, str]


def kind_of(of_service: bool, name: str) -> Kind:
    return of_service, next((each for each in ("-drift", "-preview") if name.endswith(each)), "")


def read_by_jobs(context: str) -> dict[Kind, set[str]]:
    """Names that jobs read from `vars` or `secrets`, by the kind of GitHub environment that they run in."""
    found: dict[Kind, set[str]] = {}
    for name, workflow in read(WORKFLOWS).items():
        for job in workflow["jobs"].values():
            names = set(re.findall(rf"\b{context}\.([A-Z_]+)", str(job)))
            if "environment" in job:
                found.setdefault(kind_of(name.startswith("service-"), job["environment"]), set()).update(names)
            else:
                assert names <= {"INFRASTRUCTURE_TOKEN"}, f"{name}: a job without an environment reads {names}"
    return found


@pytest.mark.parametrize("name", available())
def test_every_variable_that_a_workflow_reads_is_there_and_no_other(name: str, templates: Templates) -> None:
    found = list(settings(load([name])[name], outputs(templates, name)))
    assert {"deploy-environment.yml", "drift.yml", "service-release.yml"} <= {each.workflow for each in found}
    for kind in {kind_of(each.service is not None, each.name) for each in found}:
        of_it = [each for each in found if kind_of(each.service is not None, each.name) == kind]
        assert set().union(*(each.variables for each in of_it)) == read_by_jobs("vars")[kind]
        secrets = read_by_jobs("secrets")[kind] - {"INFRASTRUCTURE_TOKEN"}
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


@pytest.mark.parametrize("architecture", ["arm64", "x86_64"])
def test_the_workflows_get_the_architecture_of_the_environments_file(architecture: str, templates: Templates) -> None:
    environment = load(["dev"])["dev"]
    api = environment.services["api"].model_copy(update={"architecture": architecture})
    services = {**environment.services, "api": api}
    found = settings(environment.model_copy(update={"services": services}), outputs(templates, "dev"))
    values = {each.name: each.variables["ARCHITECTURE"] for each in found if each.service == "api"}
    assert values == {"dev-api": architecture, "dev-api-preview": architecture}


def test_values_with_spaces_and_lines_reach_github_whole(tmp_path: Path) -> None:
    (tmp_path / "gh").write_text('#!/bin/bash\n[ "$1" != variable ] || printf "%s" "${@: -1}" >value\n')
    (tmp_path / "gh").chmod(0o755)
    value = "NEXT_PUBLIC_TITLE=A shop's own\nNEXT_PUBLIC_API_URL=https://api.example.com"
    needed = GitHubEnvironment(
        repository="shop/shop", name="dev-site", workflow="service-release.yml", variables={"BUILD_ARGS": value}
    )
    script = "\n".join(commands(needed))
    subprocess.run(["bash", "-e", "-c", script], cwd=tmp_path, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=True)
    assert (tmp_path / "value").read_text() == value


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


NAMES = ("daadaar/infrastructure", "daadaar/backend", "daadaar/frontend")
FORKED = "daadaar@70001/backend@9000002"


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHub]:
    """Three repositories from before July 2026, without a login at GitHub."""
    github = GitHub({name: Repository(name) for name in NAMES})
    with served(github) as url:
        monkeypatch.setenv("GITHUB_API_URL", url)
        yield github


def dev(backend: str = "daadaar/backend") -> Environment:
    environment = load(["dev"])["dev"]
    api = environment.services["api"].model_copy(update={"repository": backend})
    return environment.model_copy(update={"services": {**environment.services, "api": api}})


@pytest.mark.parametrize("subject", ["daadaar/backend", FORKED])
def test_a_repository_that_is_named_as_written_is_no_finding(subject: str, github: GitHub) -> None:
    github.repositories["daadaar/backend"].subject = subject
    assert list(subjects(dev(subject))) == []


@pytest.mark.parametrize(("written", "sent"), [
    ("daadaar/backend", FORKED), (FORKED, "daadaar/backend"), (FORKED, "daadaar@70001/backend@9000003"),
    ("daadaar/backend", "Daadaar/backend"),
])  # fmt: skip
def test_a_repository_that_is_named_otherwise_stops_a_deployment(written: str, sent: str, github: GitHub) -> None:
    github.repositories["daadaar/backend"].subject = sent
    (found,) = subjects(dev(written))
    assert (found.where, found.stops, sent in found.what) == ("GitHub, services.api.repository", True, True)
    assert f'services.api.repository = "{sent}"' in found.fix


def test_a_renamed_repository_is_reported_with_its_new_name(github: GitHub) -> None:
    github.repositories["daadaar/api"] = Repository("daadaar@70001/api@9000002")
    github.moved["daadaar/backend"] = "daadaar/api"
    (found,) = subjects(dev())
    assert 'services.api.repository = "daadaar@70001/api@9000002"' in found.fix


def test_a_subject_template_of_ones_own_stops_a_deployment(github: GitHub) -> None:
    github.repositories["daadaar/backend"].claims = ["repo", "job_workflow_ref"]
    (found,) = subjects(dev())
    assert (found.stops, "job_workflow_ref" in found.what) == (True, True)
    assert "use_default=true" in found.fix


def test_a_token_without_access_to_repositories_is_one_finding_that_stops_nothing(
    github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("daadaar/backend", "daadaar/frontend"):
        github.repositories[name].is_private = True
    (found,) = subjects(dev())
    assert not found.stops
    assert all(name in found.what for name in ("not checked", "daadaar/backend", "daadaar/frontend"))
    assert "gh api repos/daadaar/backend/actions/oidc/customization/sub" in found.fix
    monkeypatch.setenv("GH_TOKEN", TOKEN)
    assert list(subjects(dev())) == []


@pytest.mark.parametrize("answer", [
    Answer(401, {"message": "Bad credentials"}),
    Answer(403, {"message": "API rate limit exceeded"}, {"x-ratelimit-remaining": "0"}),
    Answer(502, "a page of a proxy"),
    Answer(200, "a page of a proxy"),
    Answer(200, {"use_default": True}),
    Answer(301, {"message": "Moved Permanently"}, {"Location": "/repos/daadaar/infrastructure/round"}),
], ids=lambda answer: str(answer.status))  # fmt: skip
def test_whatever_github_answers_doctor_goes_on(answer: Answer, github: GitHub) -> None:
    github.trouble = [answer] * 3
    (found,) = subjects(dev())
    assert (found.stops, found.what.startswith("not checked")) == (False, True)


def test_without_a_network_doctor_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:9")
    (found,) = subjects(dev())
    assert (found.stops, "cannot be reached" in found.what) == (False, True)


@pytest.mark.parametrize(("name", "value"), [
    ("GITHUB_API_URL", "api.github.com"), ("GITHUB_API_URL", "http://github.example.com"), ("GH_TOKEN", "a b"),
    ("GITHUB_TOKEN", "ghp_ü"),
])  # fmt: skip
def test_a_malformed_variable_is_named_and_a_token_is_not_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=f"{name} is") as raised:
        list(subjects(dev()))
    assert name != "GH_TOKEN" or value not in str(raised.value)
