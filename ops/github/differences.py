"""Differences between GitHub's environments and what the workflows need."""

from collections.abc import Iterator
from urllib.parse import quote

import httpx

from ops.github.api import pages
from ops.github.settings import GitHubEnvironment


def differences(needed: GitHubEnvironment, github: httpx.Client) -> Iterator[str]:
    """A sentence for each variable and secret. An environment that does not exist lacks all of them.

    Values of secrets are not compared: GitHub shows their names only. Raises `InputError` and `OperatorError`.
    """
    path = f"/repos/{needed.repository}/environments/{quote(needed.name, safe='')}"
    variables = {each["name"]: each["value"] for each in pages(github, f"{path}/variables", "variables")}
    for name, value in sorted(needed.variables.items()):
        if name not in variables:
            yield f"the variable {name} is missing"
        elif variables[name] != value:
            yield f"the variable {name} is {variables[name]!r}, expected {value!r}"
    secrets = {each["name"] for each in pages(github, f"{path}/secrets", "secrets")}
    yield from (f"the secret {name} is missing" for name in needed.secrets if name not in secrets)
