"""Whether the services' repositories may call the workflows of the infrastructure's repository."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httpx

from ops.errors import InputError
from ops.github.api import ask
from ops.github.settings import GitHubEnvironment

# A workflow may be called by repositories that are as private as its own ("Access to reusable workflows").
_VISIBILITIES = ("public", "internal", "private")


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """Why GitHub tells a caller "workflow was not found", before any job begins. No token of the caller helps."""

    what: str
    fix: str


def infrastructure(needed: Sequence[GitHubEnvironment]) -> str:
    """OWNER/NAME of the repository with the workflows."""
    return next(each.repository for each in needed if each.service is None)


def refusals(needed: Sequence[GitHubEnvironment], github: httpx.Client) -> Iterator[Refusal]:
    """Why each may not. Raises what `ask` raises.

    A person has to allow it: everyone who may write to a caller can then read the workflows.
    """
    called = infrastructure(needed)
    callers = sorted({each.repository for each in needed if each.repository.lower() != called.lower()})
    if not callers:
        return
    visibility, owner = _repository(called, github)
    if visibility == "public":
        return
    for caller in callers:
        own, _ = _repository(caller, github)
        if _VISIBILITIES.index(own) < _VISIBILITIES.index(visibility):
            yield Refusal(
                what=f"{caller} is {own}, and may not call the workflows of a repository that is {visibility}",
                fix=f"make it {visibility}, or {called} {own}",
            )
    path = f"/repos/{called}/actions/permissions/access"
    if (ask(github, "GET", path) or {}).get("access_level") == "none":
        level = "user" if owner == "User" else "organization"
        yield Refusal(
            what=f"it is {visibility}, and no other repository may call its workflows",
            fix=f"gh api --method PUT {path.removeprefix('/')} --field access_level={level}",
        )


def _repository(name: str, github: httpx.Client) -> tuple[str, str]:
    """Its visibility, and the type of its owner."""
    found = ask(github, "GET", f"/repos/{name}")
    if found is None:
        raise InputError(f"GET /repos/{name}: it does not exist, or the token may not see it")
    return found["visibility"], found["owner"]["type"]
