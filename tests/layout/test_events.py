"""Conditions and base commits of workflows for each event: a first push, a manual run, Dependabot's pull request."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.workflows import read

WORKFLOWS = read(Path(__file__).resolve().parents[2] / ".github" / "workflows")
_TOKEN = re.compile(r"'[^']*'|\|\||&&|[!=]=|!|[()]|[\w.-]+")
_OPERATORS = {"||": " or ", "&&": " and ", "!": " not "}

OLD, NONE = "1111111111111111111111111111111111111111", "0" * 40
PERSON = {"user": {"login": "octocat"}, "base": {"sha": OLD}}
DEPENDABOT = {"user": {"login": "dependabot[bot]"}, "base": {"sha": OLD}}
# Shapes of GitHub's webhook events; `created` and the zeros are those of a branch's first push.
PUSH = {"before": OLD, "created": False}
FIRST_PUSH = {"before": NONE, "created": True}
BY_HAND: dict[str, Any] = {"inputs": None}


def value(expression: str, event: Mapping[str, Any], **inputs: str) -> Any:
    """Evaluates a GitHub expression: missing values are empty, and `&&` and `||` return one of their operands."""

    def of(token: str) -> str:
        if token.startswith("'") or token in ("==", "!=", "(", ")"):
            return token
        return _OPERATORS.get(token) or f"lookup({token!r})"

    def lookup(name: str) -> Any:
        found: Any = {"github": {"event": event}, "inputs": inputs}
        for key in name.split("."):
            found = found.get(key) if isinstance(found, Mapping) else None
        return "" if found is None else found

    code = "".join(map(of, _TOKEN.findall(expression.removeprefix("${{").removesuffix("}}"))))
    return eval(code, {"lookup": lookup})  # noqa: S307 - made of this repository's own workflows.


def runs(workflow: str, job: str, event: Mapping[str, Any], **inputs: str) -> bool:
    return bool(value(WORKFLOWS[workflow]["jobs"][job].get("if", "'yes'"), event, **inputs))


def base(workflow: str, job: str, event: Mapping[str, Any]) -> str:
    (given,) = (
        each["env"]["BASE"] for each in WORKFLOWS[workflow]["jobs"][job]["steps"] if "BASE" in each.get("env", {})
    )
    return str(value(given, event))


@pytest.mark.parametrize(
    ("event", "commit"),
    [({"pull_request": PERSON}, OLD), (PUSH, OLD), (FIRST_PUSH, "")],
    ids=["pull request", "push", "first push"],
)
def test_the_upgrade_starts_from_the_base_commit_and_at_the_first_push_from_nothing(
    event: Mapping[str, Any], commit: str
) -> None:
    """Without a commit, `make rehearse` deploys from nothing. No repository has the commit of zeros."""
    assert base("check.yml", "upgrade", event) == commit


@pytest.mark.parametrize(
    ("event", "is_checked"),
    [({"pull_request": PERSON}, True), (PUSH, True), (FIRST_PUSH, False), (BY_HAND, False)],
    ids=["pull request", "push", "first push", "by hand"],
)
def test_migrations_are_checked_where_there_is_a_commit_to_compare_with(
    event: Mapping[str, Any], is_checked: bool
) -> None:
    """Otherwise a manual release, which waits for this check, could never run."""
    assert runs("service-check.yml", "migrations", event, migrations="drizzle") is is_checked
    if is_checked:
        assert base("service-check.yml", "migrations", event) == OLD
    assert not runs("service-check.yml", "migrations", event, migrations="")


@pytest.mark.parametrize(("author", "has_preview"), [(PERSON, True), (DEPENDABOT, False)], ids=["person", "dependabot"])
@pytest.mark.parametrize(("action", "job"), [("synchronize", "preview"), ("closed", "end")])
def test_dependabots_pull_requests_get_no_preview(
    action: str, job: str, author: Mapping[str, Any], has_preview: bool
) -> None:
    """Dependabot gets no secrets, so its preview would always fail: the site's key and the token would be empty."""
    event = {"action": action, "pull_request": author}
    found = {name: runs("service-preview.yml", name, event) for name in ("preview", "end")}
    assert found == {"preview": False, "end": False, job: has_preview}
