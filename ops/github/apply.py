"""Sets GitHub's variables for the workflows. Existing protection rules stay, and a second run writes nothing."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any
from urllib.parse import quote

import httpx

from ops.github.api import ask, pages
from ops.github.callers import infrastructure, refusals
from ops.github.settings import BRANCH, GitHubEnvironment

_CUSTOM = {"protected_branches": False, "custom_branch_policies": True}


@dataclass(frozen=True)
class AppliedSetting:
    """What was written, or what is left for a person to do."""

    what: str
    todo: str = ""


def apply(needed: Sequence[GitHubEnvironment], github: httpx.Client) -> Iterator[AppliedSetting]:
    """One after the other; prints each when it is done. Raises `InputError` and `OperatorError`."""
    for each in needed:
        path = f"/repos/{each.repository}/environments/{quote(each.name, safe='')}"
        where = f"{each.repository}, environment {each.name}"
        for step in chain(_protect(each, path, github), _variables(each, path, github), _secrets(each, path, github)):
            yield AppliedSetting(f"{where}: {step.what}", step.todo)
    yield from _left_over(needed, github)
    for refusal in refusals(needed, github):
        yield AppliedSetting(f"workflows of {infrastructure(needed)}: {refusal.what}", refusal.fix)


def _left_over(needed: Sequence[GitHubEnvironment], github: httpx.Client) -> Iterator[AppliedSetting]:
    """Environments with one of our roles in which no workflow runs any more, as names have changed. A person deletes
    them: what else uses them is unknown here.
    """
    known = {(each.repository, each.name) for each in needed}
    roles = {value for each in needed for name, value in each.variables.items() if name.endswith("_ROLE")}
    for repository in dict.fromkeys(each.repository for each in needed):
        for found in list(pages(github, f"/repos/{repository}/environments", "environments")):
            name, path = found["name"], f"repos/{repository}/environments/{quote(found['name'], safe='')}"
            if (repository, name) in known:
                continue
            if any(each["value"] in roles for each in pages(github, f"/{path}/variables", "variables")):
                where = f"{repository}, environment {name}"
                yield AppliedSetting(f"{where}: no workflow reads it any more", f"gh api --method DELETE {path}")


def _protect(needed: GitHubEnvironment, path: str, github: httpx.Client) -> Iterator[AppliedSetting]:
    found = ask(github, "GET", path)
    policy = _CUSTOM if needed.only_main else None
    if found is None:
        ask(github, "PUT", path, {"deployment_branch_policy": policy})
        yield AppliedSetting("created")
    elif policy is not None and found.get("deployment_branch_policy") is None:
        # PUT sets all rules at once, so those that are there are sent again.
        before = _rules(found)
        after = _rules(ask(github, "PUT", path, {**before, "deployment_branch_policy": policy}) or {})
        if after != before:
            yield AppliedSetting(f"GitHub has changed its protection from {before} to {after}", "set it again by hand")
    elif policy is None or found["deployment_branch_policy"] != policy:
        return  # Protected branches only: a limit, too.
    if policy is not None:
        yield from _branches(path, github)


def _rules(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The rules for PUT, without unused ones: GitHub refuses even zero where the plan has no such rule."""
    found: dict[str, Any] = {}
    for rule in environment.get("protection_rules", []):
        if rule["type"] == "wait_timer" and rule["wait_timer"]:
            found["wait_timer"] = rule["wait_timer"]
        if rule["type"] == "required_reviewers" and rule["reviewers"]:
            found["reviewers"] = [{"type": each["type"], "id": each["reviewer"]["id"]} for each in rule["reviewers"]]
            found["prevent_self_review"] = rule.get("prevent_self_review", False)
    if environment.get("can_admins_bypass") is False:
        found["can_admins_bypass"] = False
    return found


def _branches(path: str, github: httpx.Client) -> Iterator[AppliedSetting]:
    path = f"{path}/deployment-branch-policies"
    listed = list(pages(github, path, "branch_policies"))
    others = [each["name"] for each in listed if (each["name"], each.get("type", "branch")) != (BRANCH, "branch")]
    if not listed:
        ask(github, "POST", path, {"name": BRANCH})
        yield AppliedSetting(f"limited to {BRANCH}")
    elif len(others) == len(listed):
        yield AppliedSetting(f"limited to {', '.join(others)}", f"allow {BRANCH}, which its workflow runs on")
    elif others:
        yield AppliedSetting(f"{', '.join(others)} may use its role, beside {BRANCH}", "remove what should not deploy")


def _variables(needed: GitHubEnvironment, path: str, github: httpx.Client) -> Iterator[AppliedSetting]:
    path = f"{path}/variables"
    existing = {each["name"]: each["value"] for each in pages(github, path, "variables")}
    for name, value in sorted(needed.variables.items()):
        body = {"name": name, "value": value}
        if name not in existing:
            ask(github, "POST", path, body)
        elif existing[name] != value:
            ask(github, "PATCH", f"{path}/{name}", body)
        else:
            continue
        yield AppliedSetting(f"{name} = {value}")


def _secrets(needed: GitHubEnvironment, path: str, github: httpx.Client) -> Iterator[AppliedSetting]:
    """Checks only whether they exist: their values are not in AWS."""
    existing = {each["name"] for each in pages(github, f"{path}/secrets", "secrets")}
    for name in needed.secrets:
        if name not in existing:
            yield AppliedSetting(
                f"has no secret {name}", f"gh secret set {name} --repo {needed.repository} --env {needed.name}"
            )
