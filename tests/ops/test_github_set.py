"""`infra github ENV --set`: what the workflows read is set, once, and no protection is lost."""

import io
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

import httpx
import pytest
import typer

from config import load
from ops.console import Console
from ops.doctor.variables import variables
from ops.errors import InputError, OperatorError
from ops.github import commands
from ops.github.api import connection
from ops.github.apply import apply
from ops.github.settings import GitHubEnvironment, settings
from rehearsal.account import Account
from simulators.github.simulator import TOKEN, Environment, GitHub, Repository, served
from simulators.http_server import Answer
from tests.ops.test_github import NAMES, outputs

Templates = dict[str, dict[str, Any]]
MAIN_ONLY = {"protected_branches": False, "custom_branch_policies": True}
REVIEWERS = [{"type": "User", "id": 1}, {"type": "Team", "id": 2}]


@pytest.fixture
def github() -> GitHub:
    return GitHub({name: Repository(name) for name in NAMES})


@pytest.fixture
def client(github: GitHub) -> Iterator[httpx.Client]:
    with served(github) as url, connection({"GITHUB_API_URL": url, "GH_TOKEN": TOKEN}) as client:
        yield client


def needed(**more: Any) -> GitHubEnvironment:
    given = {
        "repository": "daadaar/infrastructure", "name": "production", "workflow": "deploy-environment.yml",
        "variables": {"AWS_REGION": "eu-central-1", "DEPLOY_ROLE": "arn:aws:iam::111122223333:role/deploy"},
    }  # fmt: skip
    return GitHubEnvironment(**given | more)


def production(github: GitHub) -> Environment:
    return github.repositories["daadaar/infrastructure"].environments["production"]


@pytest.mark.parametrize("name", ["dev", "production"])
def test_everything_that_is_needed_is_set_and_a_second_run_writes_nothing(
    name: str, templates: Templates, github: GitHub, client: httpx.Client
) -> None:
    wanted = list(settings(load([name])[name], outputs(templates, name)))
    list(apply(wanted, client))
    for each in wanted:
        found = github.repositories[each.repository].environments[each.name]
        assert found.variables == each.variables
        assert (found.policy, found.branches) == ((MAIN_ONLY, ["main"]) if each.only_main else (None, []))
    github.writes.clear()
    assert [each for each in apply(wanted, client) if not each.todo] == []
    assert github.writes == []


def test_services_of_one_repository_have_an_environment_each(
    templates: Templates, github: GitHub, client: httpx.Client
) -> None:
    environment = load(["dev"])["dev"]
    shared = {
        name: each.model_copy(update={"repository": "daadaar/backend"}) for name, each in environment.services.items()
    }
    wanted = list(settings(environment.model_copy(update={"services": shared}), outputs(templates, "dev")))
    list(apply(wanted, client))
    of_both = {each.name: each.variables for each in wanted if each.repository == "daadaar/backend"}
    assert of_both.keys() == {"dev-api", "dev-api-preview", "dev-frontend", "dev-frontend-preview"}
    found = github.repositories["daadaar/backend"].environments
    assert {name: each.variables for name, each in found.items()} == of_both
    assert (of_both["dev-api"]["RELEASE_ROLE"], of_both["dev-frontend"]["RELEASE_ROLE"]) == (
        "the ApiReleaseRole", "the FrontendReleaseRole")  # fmt: skip
    github.writes.clear()
    assert [each for each in apply(wanted, client) if not each.todo] == []
    assert github.writes == []


def test_an_environment_that_no_workflow_reads_any_more_is_named_and_left_to_a_person(
    templates: Templates, github: GitHub, client: httpx.Client
) -> None:
    """Until 2026-11 releases ran in dev and dev-preview; such an environment is recognized by its role's name."""
    wanted = list(settings(load(["dev"])["dev"], outputs(templates, "dev")))
    own = {each.name: each.variables for each in wanted if each.service == "api"}
    before = github.repositories["daadaar/backend"].environments
    before |= {"dev": Environment(variables=dict(own["dev-api"]))}
    before |= {"dev-preview": Environment(variables=dict(own["dev-api-preview"]))}
    others = {"dev-2-api": {"RELEASE_ROLE": "another", "ARCHITECTURE": "arm64"}, "docs": {"AWS_REGION": "eu-central-1"}}
    before |= {name: Environment(variables=each) for name, each in others.items()}
    before |= {f"pages-{number}": Environment() for number in range(40)}
    delete = "gh api --method DELETE repos/daadaar/backend/environments"
    for _ in range(2):
        found = {
            each.what: each.todo for each in apply(wanted, client) if "dev-frontend" not in each.what and each.todo
        }
        assert found == {
            f"daadaar/backend, environment {name}: no workflow reads it any more": f"{delete}/{name}"
            for name in ("dev", "dev-preview")
        }
    assert {"dev", "dev-preview"} < before.keys()


@pytest.mark.parametrize(("owner", "level"), [("Organization", "organization"), ("User", "user")])
def test_a_private_repository_has_to_let_the_services_call_its_workflows(
    owner: str, level: str, templates: Templates, github: GitHub, client: httpx.Client
) -> None:
    """Before access is granted, each caller fails with "workflow was not found", with any token."""
    wanted = list(settings(load(["dev"])["dev"], outputs(templates, "dev")))
    for each in github.repositories.values():
        each.is_private, each.owner = True, owner
    put = "gh api --method PUT repos/daadaar/infrastructure/actions/permissions/access --field access_level="
    assert put + level in [each.todo for each in apply(wanted, client)]
    client.put("/repos/daadaar/infrastructure/actions/permissions/access", json={"access_level": level})
    assert not any("access_level" in each.todo for each in apply(wanted, client))
    github.repositories["daadaar/backend"].is_private = False
    (found,) = (each for each in apply(wanted, client) if "workflows of" in each.what)
    assert "daadaar/backend is public" in found.what


def test_one_repository_for_everything_calls_its_own_workflows(github: GitHub, client: httpx.Client) -> None:
    github.repositories["daadaar/infrastructure"].is_private = True
    of_service = needed(name="production-api", service="api")
    assert not any(each.todo for each in apply([needed(), of_service], client))


class Deployed:
    """CloudFormation with the outputs of a stack."""

    def __init__(self, found: Mapping[str, str]) -> None:
        self._outputs = [{"OutputKey": key, "OutputValue": value} for key, value in found.items()]

    def client(self, service: str, /) -> Any:
        assert service == "cloudformation"
        return self

    def describe_stacks(self, *, StackName: str) -> dict[str, Any]:  # noqa: N803
        assert StackName == "daadaar-dev-delivery"
        return {"Stacks": [{"Outputs": self._outputs}]}


@pytest.fixture
def doctor(
    templates: Templates, github: GitHub, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], dict[str, str]]]:
    """Doctor's findings about GitHub's environments of dev, by place."""
    deployed, environment = Deployed(outputs(templates, "dev")), load(["dev"])["dev"]

    def examine() -> dict[str, str]:
        found = list(variables("dev", environment, deployed))
        assert not any(each.stops for each in found)
        return {each.where: each.what for each in found}

    with served(github) as url:
        monkeypatch.setenv("GITHUB_API_URL", url)
        monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
        yield examine


def test_doctor_compares_what_github_has_with_what_the_workflows_read(
    doctor: Callable[[], dict[str, str]], templates: Templates, github: GitHub, client: httpx.Client
) -> None:
    assert "the variable DEPLOY_ROLE is missing" in doctor()["GitHub, daadaar/infrastructure, environment dev"]
    list(apply(list(settings(load(["dev"])["dev"], outputs(templates, "dev"))), client))
    secret = "the secret SERVER_ACTIONS_KEY is missing"
    site = "GitHub, daadaar/frontend, environment dev-frontend"
    assert doctor() == {site: secret, f"{site}-preview": secret}
    for each in github.repositories["daadaar/frontend"].environments.values():
        each.secrets.append("SERVER_ACTIONS_KEY")
    assert doctor() == {}
    for repository in github.repositories.values():
        repository.is_private = True
    (where,) = doctor()
    assert where == "GitHub, workflows of daadaar/infrastructure"
    github.repositories["daadaar/infrastructure"].access_level = "organization"
    own = github.repositories["daadaar/backend"].environments["dev-api"].variables
    own["REPOSITORY"] = "of before"
    del own["RELEASE_ROLE"]
    text = "the variable RELEASE_ROLE is missing; the variable REPOSITORY is 'of before', expected 'the ApiRepository'"
    assert doctor() == {"GitHub, daadaar/backend, environment dev-api": text}
    github.writes.clear()
    doctor()
    assert github.writes == []


@pytest.mark.parametrize("token", [None, "another"])
def test_doctor_goes_on_where_github_does_not_show_variables(
    token: str | None, doctor: Callable[[], dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITHUB_TOKEN")
    if token is not None:
        monkeypatch.setenv("GITHUB_TOKEN", token)
    ((where, finding),) = doctor().items()
    assert where == "GitHub, variables of environments"
    assert finding.startswith(
        "not compared: " + ("GITHUB_TOKEN is not set" if token is None else "GET /repos/daadaar/")
    )


@pytest.mark.parametrize("has_rules", [True, False])
def test_an_environment_that_any_branch_reaches_is_limited_and_keeps_its_rules(
    *, has_rules: bool, github: GitHub, client: httpx.Client
) -> None:
    before = Environment(variables={"AWS_REGION": "eu-west-1", "THEIRS": "kept"}, can_admins_bypass=False)
    if has_rules:
        before.wait_timer, before.reviewers, before.prevent_self_review = 30, list(REVIEWERS), True
    repository = github.repositories["daadaar/infrastructure"]
    repository.has_rules, repository.environments["production"] = has_rules, deepcopy(before)
    steps = list(apply([needed()], client))
    assert not any(each.todo for each in steps)
    found = production(github)
    assert (found.policy, found.branches) == (MAIN_ONLY, ["main"])
    rules = ("wait_timer", "reviewers", "prevent_self_review", "can_admins_bypass")
    assert all(getattr(found, each) == getattr(before, each) for each in rules)
    assert found.variables == {**needed().variables, "THEIRS": "kept"}


@pytest.mark.parametrize(("policy", "branches", "todo"), [
    ({"protected_branches": True, "custom_branch_policies": False}, [], None),
    (MAIN_ONLY, ["main"], None),
    (MAIN_ONLY, ["main", "hotfix/*"], "hotfix/* may use its role"),
    (MAIN_ONLY, ["release"], "limited to release"),
])  # fmt: skip
def test_a_limit_that_is_there_is_left_as_it_is(
    policy: dict[str, bool], branches: list[str], todo: str | None, github: GitHub, client: httpx.Client
) -> None:
    before = Environment(policy=policy, branches=list(branches), reviewers=list(REVIEWERS))
    before.variables = dict(needed().variables)
    github.repositories["daadaar/infrastructure"].environments["production"] = deepcopy(before)
    left = list(apply([needed()], client))
    assert (production(github), github.writes) == (before, [])
    assert [todo in each.what for each in left if todo] == [True] * (todo is not None)
    assert all(each.todo for each in left)


def test_a_run_that_was_cut_off_is_finished_by_the_next(github: GitHub, client: httpx.Client) -> None:
    for cut_after in range(5):
        github.repositories["daadaar/infrastructure"] = Repository("daadaar/infrastructure")
        steps = apply([needed()], client)
        for _ in range(cut_after):
            next(steps, None)
        list(apply([needed()], client))
        found = production(github)
        assert (found.policy, found.branches, found.variables) == (MAIN_ONLY, ["main"], needed().variables)


def test_variables_beyond_the_first_page_are_seen(github: GitHub, client: httpx.Client) -> None:
    theirs = {f"A{number}": "kept" for number in range(70)}
    environment = Environment(policy=MAIN_ONLY, branches=["main"], variables=theirs | dict(needed().variables))
    github.repositories["daadaar/infrastructure"].environments["production"] = environment
    assert list(apply([needed()], client)) == []


def test_a_secret_that_is_missing_is_left_with_its_command(github: GitHub, client: httpx.Client) -> None:
    wanted = needed(secrets=["SERVER_ACTIONS_KEY", "SENTRY_AUTH_TOKEN"])
    list(apply([wanted], client))
    production(github).secrets = ["SENTRY_AUTH_TOKEN"]
    (left,) = apply([wanted], client)
    assert left.todo == "gh secret set SERVER_ACTIONS_KEY --repo daadaar/infrastructure --env production"


class Forgetful(GitHub):
    """A PUT loses the reviewers, even if it contains them."""

    def answer(self, method: str, target: str, headers: Mapping[str, str], content: bytes) -> Answer:
        found = super().answer(method, target, headers, content)
        if method != "PUT":
            return found
        production(self).reviewers.clear()
        return super().answer("GET", target, headers, b"")


def test_a_rule_that_github_drops_is_reported() -> None:
    forgetful = Forgetful({"daadaar/infrastructure": Repository("daadaar/infrastructure")})
    environment = Environment(reviewers=list(REVIEWERS))
    forgetful.repositories["daadaar/infrastructure"].environments["production"] = environment
    with served(forgetful) as url, connection({"GITHUB_API_URL": url, "GH_TOKEN": TOKEN}) as client:
        (messages,) = (each for each in apply([needed()], client) if each.todo)
    assert "has changed its protection" in messages.what


USED_UP = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1795000000"}


@pytest.mark.parametrize(("answer", "kind", "expected"), [
    (Answer(401, {"message": "Bad credentials"}), InputError, "Bad credentials: the token is not valid"),
    (Answer(403, {"message": "Resource not accessible"}), InputError, "the token may not do that; it needs Admin"),
    (Answer(403, {"message": "API rate limit exceeded"}, USED_UP), InputError, r"is used up until \d\d:\d\d"),
    (Answer(403, {"message": "secondary rate limit"}, {"Retry-After": "60"}), InputError, "is used up; changes"),
    (Answer(429, {"message": "too many"}), InputError, "rate limit is used up; changes"),
    (Answer(422, {"message": "Validation Failed"}), InputError, "Validation Failed: GitHub does not accept it"),
    (Answer(307, {"message": "Moved"}, {"Location": "/x"}), InputError, "the repository was renamed"),
    (Answer(502, "a page"), OperatorError, "HTTP 502, no reason given: changes so far stay: run it again"),
    (Answer(200, "a page"), OperatorError, "the server that answered is not GitHub's API"),
])  # fmt: skip
def test_a_refusal_by_github_is_reported_in_one_line(
    answer: Answer, kind: type[Exception], expected: str, github: GitHub, client: httpx.Client
) -> None:
    github.trouble = [answer]
    with pytest.raises(kind, match=expected) as raised:
        list(apply([needed()], client))
    assert str(raised.value).startswith("GET /repos/daadaar/infrastructure/environments/production")
    assert TOKEN not in str(raised.value)


def test_a_repository_that_the_token_cannot_see_is_reported(github: GitHub, client: httpx.Client) -> None:
    with pytest.raises(InputError, match=r"PUT /repos/daadaar/other/.*may not see it"):
        list(apply([needed(repository="daadaar/other")], client))
    github.writers, github.readers = set(), {TOKEN}
    with pytest.raises(InputError, match="the token may not do that"):
        list(apply([needed()], client))


def test_a_missing_network_is_reported_in_one_line() -> None:
    with (
        connection({"GITHUB_API_URL": "http://127.0.0.1:9", "GH_TOKEN": TOKEN}) as client,
        pytest.raises(OperatorError, match="GitHub cannot be reached from here"),
    ):
        list(apply([needed()], client))


def test_a_deployed_environment_is_set_up(production: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def put() -> tuple[int, str]:
        console = Console(record=True, width=200, file=io.StringIO())
        try:
            commands.put("production", production.environment, production, console)
        except typer.Exit as ended:
            return ended.exit_code, console.export_text()
        return 0, console.export_text()

    monkeypatch.setenv("GITHUB_API_URL", production.github_url)
    with pytest.raises(InputError, match="GITHUB_TOKEN is not set"):
        put()
    monkeypatch.setenv("GITHUB_TOKEN", TOKEN)
    code, output = put()
    assert code == 3
    assert "→ gh secret set SERVER_ACTIONS_KEY --repo daadaar/frontend --env production-frontend" in output
    repositories = production.github.repositories
    assert repositories["daadaar/infrastructure"].environments["production"].variables["DEPLOY_ROLE"].startswith("arn:")
    repositories["daadaar/frontend"].environments["production-frontend"].secrets += [
        "SERVER_ACTIONS_KEY",
        "SENTRY_AUTH_TOKEN",
    ]
    production.github.writes.clear()
    assert put() == (0, "Everything was set already.\n")
    assert production.github.writes == []
