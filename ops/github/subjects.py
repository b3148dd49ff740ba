"""How GitHub names a repository in a token, held against what the environment's file says."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from config.model import Environment

NOT_FOUND = 404


class Answer(Protocol):
    """As httpx answers."""

    @property
    def status_code(self) -> int: ...
    def json(self) -> Any: ...


class GitHub(Protocol):
    """As an httpx client with GitHub's base URL and, where there is one, a token."""

    def get(self, path: str, /) -> Answer: ...


def name_of(repository: str) -> str:
    """OWNER/NAME of a repository in either format."""
    return re.sub(r"@\d+", "", repository)


def mismatches(environment: Environment, github: GitHub) -> Iterator[tuple[str, str, str]]:
    """(key, what is wrong, what to do) of each repository whose tokens no role accepts, or that could not be checked.

    Raises what the client raises when GitHub cannot be reached.
    """
    repositories = {"delivery.repository": environment.delivery.repository} | {
        f"services.{name}.repository": each.repository for name, each in environment.services.items() if each.repository
    }
    for key, repository in repositories.items():
        yield from ((key, *each) for each in _mismatch(key, repository, github))


def _mismatch(key: str, repository: str, github: GitHub) -> Iterator[tuple[str, str]]:
    name = name_of(repository)
    answer = github.get(f"/repos/{name}/actions/oidc/customization/sub")
    if answer.status_code != 200:
        hint = "or is private" if answer.status_code == NOT_FOUND else f"answers {answer.status_code}"
        yield (
            f"not checked: GitHub does not show how {name} is named in tokens (it does not exist, {hint})",
            "set GITHUB_TOKEN to a token that may read the repository's Actions",
        )
        return
    found: Mapping[str, Any] = answer.json()
    if not found.get("use_default", True):
        yield (
            f"{name} sends subjects of its own making: {found.get('include_claim_keys')}",
            f"gh api --method PUT repos/{name}/actions/oidc/customization/sub --field use_default=true",
        )
        return
    # `use_immutable_subject` has been seen false beside a prefix with ids; the prefix is what tokens begin with.
    prefix = found.get("sub_claim_prefix")
    if prefix is None:
        yield f"not checked: GitHub does not say how subjects of {name} begin", "compare with the log of a login"
    elif prefix != f"repo:{repository}":
        wanted = str(prefix).removeprefix("repo:")
        yield f"is {repository}; GitHub's tokens name {wanted}", f'write {key} = "{wanted}", and deploy Delivery'
