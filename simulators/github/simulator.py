"""Repositories, their environments, variables and names of secrets, behind the paths of GitHub's REST API.

Shapes and statuses are those of docs.github.com/rest (apiVersion 2022-11-28): actions/oidc, deployments/environments,
deployments/branch-policies, actions/variables and actions/secrets. Beyond the documentation:

- `sub_claim_prefix` beside `use_immutable_subject`: seen by the repositories that ask for it (terraform-aws-iam #659).
- PUT of an environment sets every rule: what the body leaves out is gone. Whether GitHub keeps some of it is not
  documented, and this is what hurts.
- On a private repository whose plan has no such rules, a body that names one at all is refused with 422, whatever its
  value (alchemy-run/alchemy #1373).
- Workflows of a private repository may be called by no other one, until its access level says so (docs.github.com,
  "Access to reusable workflows"). A public repository has no such level.
- `can_admins_bypass` is in every environment that is read (PyGithub #3246), and go-github sends it.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from simulators.http_server import Answer, send, serving

TOKEN = "what-stands-for-a-github-token-here"  # noqa: S105
_DOCUMENTATION = "https://docs.github.com/rest"
_LIMITED_RULES = ("wait_timer", "prevent_self_review", "reviewers")
_VARIABLE = re.compile(r"(?!GITHUB_)[A-Za-z_][A-Za-z0-9_]*")


@dataclass
class Environment:
    """Its protection, variables and secrets."""

    wait_timer: int = 0
    """Wait timer in minutes."""
    prevent_self_review: bool = False
    reviewers: list[dict[str, Any]] = field(default_factory=list)
    """Reviewers as in a request: type and id."""
    can_admins_bypass: bool = True
    policy: dict[str, bool] | None = None
    branches: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)


@dataclass
class Repository:
    subject: str
    """Beginning of its tokens' subject, after `repo:`."""
    claims: list[str] | None = None
    """Claims of a customized subject; None for GitHub's default."""
    is_private: bool = False
    owner: str = "Organization"
    """Type of the owner: Organization or User."""
    access_level: str = "none"
    """Which repositories may call the workflows of a private one: none, user, organization or enterprise."""
    has_rules: bool = True
    """Whether its plan has reviewers and wait timers: every public repository, and GitHub Enterprise."""
    environments: dict[str, Environment] = field(default_factory=dict)

    @property
    def visibility(self) -> str:
        return "private" if self.is_private else "public"


@dataclass
class GitHub:
    repositories: dict[str, Repository] = field(default_factory=dict)
    """Repositories by OWNER/NAME."""
    moved: dict[str, str] = field(default_factory=dict)
    """Repositories that were renamed, from their old name to the new one."""
    writers: set[str] = field(default_factory=lambda: {TOKEN})
    """Tokens that may write."""
    readers: set[str] = field(default_factory=set)
    trouble: list[Answer] = field(default_factory=list)
    """The next answers, which override the real ones."""
    writes: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of each request that was no GET, the refused ones included."""

    def answer(self, method: str, target: str, headers: Mapping[str, str], content: bytes) -> Answer:
        url = urlsplit(target)
        if method != "GET":
            self.writes.append((method, url.path))
        if self.trouble:
            return self.trouble.pop(0)
        if not headers.get("User-Agent"):
            return _error(403, "Request forbidden by administrative rules.")
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if token and (scheme not in ("Bearer", "token") or token not in self.writers | self.readers):
            return _error(401, "Bad credentials")
        found = re.fullmatch(r"/repos/([^/]+/[^/]+)(/.*)?", url.path)
        if found is None:
            return _error(404, "Not Found")
        if found[1] in self.moved:
            where = target.replace(found[1], self.moved[found[1]], 1)
            return Answer(301 if method == "GET" else 307, {"message": "Moved Permanently"}, {"Location": where})
        repository = next((each for name, each in self.repositories.items() if name.lower() == found[1].lower()), None)
        # GitHub answers 404 for anything that the token may not see.
        if repository is None or (repository.is_private and not token):
            return _error(404, "Not Found")
        if method != "GET" and token not in self.writers:
            return (
                _error(403, "Resource not accessible by personal access token") if token else _error(404, "Not Found")
            )
        query = {key: values[-1] for key, values in parse_qs(url.query).items()}
        if found[2] == "/actions/permissions/access" and token not in self.writers:
            return _error(403, "Resource not accessible by personal access token")
        return _of_repository(repository, method, found[2] or "", query, json.loads(content) if content else {})


def _of_repository(
    repository: Repository, method: str, path: str, query: Mapping[str, str], body: Mapping[str, Any]
) -> Answer:
    if (method, path) == ("GET", "/actions/oidc/customization/sub"):
        return Answer(200, _subject(repository))
    if (method, path) == ("GET", ""):
        return Answer(200, {"visibility": repository.visibility, "owner": {"type": repository.owner}})
    if path == "/actions/permissions/access":
        return _access(repository, method, body)
    if (method, path) == ("GET", "/environments"):
        shown = [_shown(name, each) for name, each in repository.environments.items()]
        return _page("environments", shown, "environments", query)
    found = re.fullmatch(
        r"/environments/([^/]+)(?:/(deployment-branch-policies|variables|secrets)(?:/([^/]+))?)?", path
    )
    if found is None:
        return _error(404, "Not Found")
    name, kind, item = unquote(found[1]), found[2], found[3]
    if (method, kind) == ("PUT", None):
        return _put(repository, name, body)
    environment = repository.environments.get(name)
    if environment is None:
        return _error(404, "Not Found")
    if (method, kind) == ("GET", None):
        return Answer(200, _shown(name, environment))
    listed: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "deployment-branch-policies": lambda: [{"name": each, "type": "branch"} for each in environment.branches],
        "variables": lambda: [{"name": key, "value": value} for key, value in environment.variables.items()],
        "secrets": lambda: [{"name": each} for each in environment.secrets],
    }
    if method == "GET" and item is None:
        return _page("branch_policies" if kind.startswith("d") else kind, listed[kind](), kind, query)
    if (method, kind, item) == ("POST", "deployment-branch-policies", None):
        return _limit(environment, body)
    if kind == "variables":
        return _variable(environment, method, item, body)
    return _error(404, "Not Found")


def _subject(repository: Repository) -> dict[str, Any]:
    if repository.claims is not None:
        return {"use_default": False, "include_claim_keys": repository.claims}
    prefix = f"repo:{repository.subject}"
    return {"use_default": True, "use_immutable_subject": "@" in repository.subject, "sub_claim_prefix": prefix}


def _access(repository: Repository, method: str, body: Mapping[str, Any]) -> Answer:
    if not repository.is_private:
        return _error(422, "Access policy only applies to internal and private repositories.")
    if method == "PUT":
        repository.access_level = body["access_level"]
        return Answer(204)
    return Answer(200, {"access_level": repository.access_level})


def _put(repository: Repository, name: str, body: Mapping[str, Any]) -> Answer:
    if not repository.has_rules and any(each in body for each in _LIMITED_RULES):
        return _error(422, "Failed to create the environment protection rule")
    if body.get("prevent_self_review") and not body.get("reviewers"):
        return _error(422, "Required reviewers must have at least one reviewer to set prevent_self_review.")
    policy = body.get("deployment_branch_policy")
    if policy is not None and policy["protected_branches"] == policy["custom_branch_policies"]:
        return _error(422, "protected_branches and custom_branch_policies cannot have the same value.")
    environment = repository.environments.setdefault(name, Environment())
    environment.wait_timer = body.get("wait_timer") or 0
    environment.prevent_self_review = bool(body.get("prevent_self_review"))
    environment.reviewers = list(body.get("reviewers") or [])
    environment.can_admins_bypass = body.get("can_admins_bypass", True)
    environment.policy = policy
    if policy is None or not policy["custom_branch_policies"]:
        environment.branches.clear()
    return Answer(200, _shown(name, environment))


def _limit(environment: Environment, body: Mapping[str, Any]) -> Answer:
    if environment.policy is None or not environment.policy["custom_branch_policies"]:
        return _error(404, "Not Found")
    if body["name"] in environment.branches:
        return Answer(303)
    environment.branches.append(body["name"])
    return Answer(200, {"name": body["name"], "type": "branch"})


def _variable(environment: Environment, method: str, item: str | None, body: Mapping[str, Any]) -> Answer:
    kept = environment.variables
    if (method, item) == ("POST", None):
        if not _VARIABLE.fullmatch(body.get("name", "")) or not body.get("value"):
            return _error(422, "Validation Failed")
        if body["name"].upper() in kept:
            return _error(409, "Already exists - Variable already exists")
        kept[body["name"].upper()] = body["value"]
        return Answer(201, {})
    if item is None or item.upper() not in kept:
        return _error(404, "Not Found")
    if method == "PATCH":
        kept[item.upper()] = body["value"]
        return Answer(204)
    return _error(404, "Not Found")


def _shown(name: str, environment: Environment) -> dict[str, Any]:
    rules: list[dict[str, Any]] = []
    if environment.wait_timer:
        rules.append({"id": 1, "type": "wait_timer", "wait_timer": environment.wait_timer})
    if environment.reviewers:
        people = [{"type": each["type"], "reviewer": {"id": each["id"]}} for each in environment.reviewers]
        self_review = {"prevent_self_review": environment.prevent_self_review}
        rules.append({"id": 2, "type": "required_reviewers", **self_review, "reviewers": people})
    if environment.policy is not None:
        rules.append({"id": 3, "type": "branch_policy"})
    return {
        "name": name,
        "can_admins_bypass": environment.can_admins_bypass,
        "protection_rules": rules,
        "deployment_branch_policy": environment.policy,
    }


def _page(key: str, items: list[dict[str, Any]], kind: str, query: Mapping[str, str]) -> Answer:
    """A page of items: at most 30 variables or 100 of anything else; 10 and 30 without `per_page`."""
    most, usual = (30, 10) if kind == "variables" else (100, 30)
    size, number = min(int(query.get("per_page", usual)), most), int(query.get("page", 1))
    return Answer(200, {"total_count": len(items), key: items[size * (number - 1) : size * number]})


def _error(status: int, message: str) -> Answer:
    return Answer(status, {"message": message, "documentation_url": _DOCUMENTATION, "status": str(status)})


@contextmanager
def served(github: GitHub) -> Iterator[str]:
    """The base URL of its API, for as long as the block."""

    def respond(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        found = github.answer(handler.command, handler.path, handler.headers, content)  # type: ignore[arg-type]
        body = b"" if found.body is None else json.dumps(found.body).encode()
        send(handler, found.status, body, **found.headers)

    with serving(respond) as url:
        yield url
