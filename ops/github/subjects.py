"""How GitHub names a repository in a token, compared with what the environment's file says."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from config.model import Environment
from config.services import repositories


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """A repository whose tokens no role accepts, or repositories that could not be checked."""

    key: str
    """Key in the environment's file."""
    what: str
    fix: str
    was_checked: bool = True


def name_of(repository: str) -> str:
    """OWNER/NAME of a repository in either format."""
    return re.sub(r"@\d+", "", repository)


def mismatches(environment: Environment, github: httpx.Client) -> Iterator[Mismatch]:
    """Repositories that could not be checked come last, as one. Never raises: GitHub may be out of reach."""
    unchecked: dict[str, str] = {}
    for key, repository in repositories(environment).items():
        if name_of(repository) in unchecked:
            continue
        try:
            customization = _customization(name_of(repository), github)
        except _NotShown as error:
            unchecked[name_of(repository)] = str(error)
            continue
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            what = f"not checked: GitHub's API cannot be reached from here ({type(error).__name__})"
            yield Mismatch(key="delivery", what=what, fix=_by_hand(name_of(repository)), was_checked=False)
            return
        if (found := _mismatch(key, repository, customization)) is not None:
            yield found
    if unchecked:
        why = ", ".join(f"{name}: {each}" for name, each in unchecked.items())
        fix = f"set GITHUB_TOKEN to a token that may read Actions there, or {_by_hand(next(iter(unchecked)))}"
        yield Mismatch(key="delivery", what=f"not checked: {why}", fix=fix, was_checked=False)


class _NotShown(Exception):
    """GitHub does not say how tokens of a repository begin; the message says why."""


def _by_hand(name: str) -> str:
    return f"gh api repos/{name}/actions/oidc/customization/sub"


def _customization(name: str, github: httpx.Client) -> dict[str, Any]:
    # GitHub redirects from a repository's former name; what it sends in tokens then is the present one.
    answer = github.get(f"/repos/{name}/actions/oidc/customization/sub", follow_redirects=True)
    if answer.status_code == 404:
        raise _NotShown("does not exist, or is private")
    if answer.status_code != 200:
        raise _NotShown(f"GitHub answers {answer.status_code}")
    try:
        found = answer.json()
    except ValueError:
        found = None
    # `use_immutable_subject` has been seen false beside a prefix with ids; the prefix is what tokens begin with.
    if not isinstance(found, dict) or (found.get("use_default", True) and "sub_claim_prefix" not in found):
        raise _NotShown("GitHub does not say how its subjects begin")
    return found


def _mismatch(key: str, repository: str, customization: dict[str, Any]) -> Mismatch | None:
    name = name_of(repository)
    if not customization.get("use_default", True):
        return Mismatch(
            key=key,
            what=f"{name} has its own subject template: {customization.get('include_claim_keys')}",
            fix=f"gh api --method PUT {_by_hand(name).removeprefix('gh api ')} --field use_default=true",
        )
    wanted = str(customization["sub_claim_prefix"]).removeprefix("repo:")
    if wanted == repository:
        return None
    what = f"is {repository}; GitHub's tokens name {wanted}"
    return Mismatch(key=key, what=what, fix=f'write {key} = "{wanted}", and deploy Delivery')
