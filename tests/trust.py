"""An evaluator of trust policies for GitHub's tokens, as IAM documents its condition operators.

Knows the operators that such policies are written with, the loose ones too: a policy that lets more in than it should
has to be seen to do so.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

ISSUER = "token.actions.githubusercontent.com"
Claims = Mapping[str, str]


def _like(pattern: str, value: str) -> bool:
    regex = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern)
    return re.fullmatch(regex, value, re.DOTALL) is not None


_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringNotEquals": lambda wanted, value: wanted != value,
    "StringEqualsIgnoreCase": lambda wanted, value: wanted.lower() == value.lower(),
    "StringLike": _like,
    "StringNotLike": lambda wanted, value: not _like(wanted, value),
}
_NEGATED = ("StringNotEquals", "StringNotLike")


def admits(policy: Mapping[str, Any], claims: Claims) -> bool:
    """Whether a token with these claims may assume the role. Raises `KeyError` for an unknown condition."""
    statements = policy["Statement"]
    verdicts = {each["Effect"] for each in statements if _applies(each, claims)}
    return "Allow" in verdicts and "Deny" not in verdicts


def _applies(statement: Mapping[str, Any], claims: Claims) -> bool:
    actions = statement["Action"]
    if "sts:AssumeRoleWithWebIdentity" not in ([actions] if isinstance(actions, str) else actions):
        return False
    return all(
        _holds(operator, key, wanted, claims)
        for operator, keys in statement.get("Condition", {}).items()
        for key, wanted in keys.items()
    )


def _holds(operator: str, key: str, wanted: str | list[str], claims: Claims) -> bool:
    issuer, _, claim = key.rpartition(":")
    if issuer != ISSUER:
        raise KeyError(f"a condition on {key}")
    values = [wanted] if isinstance(wanted, str) else wanted
    optional = operator.endswith("IfExists")
    compare = _OPERATORS[operator.removesuffix("IfExists").removeprefix("ForAnyValue:").removeprefix("ForAllValues:")]
    if claim not in claims:
        # A negated operator holds for what is not there, and so does ForAllValues.
        return optional or operator.startswith("ForAllValues:") or operator in _NEGATED
    return any(compare(each, claims[claim]) for each in values)


def subjects(repository: str, environment: str) -> Iterator[str]:
    """`sub` of tokens that are not the intended one, each wrong in a way of its own.

    `repository` is the value in the environment's file, in either of GitHub's formats.
    """
    owner, name = repository.split("/")
    yield from (
        f"repo:{repository}:environment:{environment}2",
        f"repo:{repository}:environment:{environment[:-1]}",
        f"repo:{repository}:environment:{environment.upper()}",
        f"repo:{repository}:environment:",
        f"repo:{repository}:environment:*",
        f"repo:{repository}:environment:other",
        f"repo:{repository}:environment:{environment}-drift",
        f"repo:{repository}:ref:refs/heads/main",
        f"repo:{repository}:ref:refs/heads/environment:{environment}",
        f"repo:{repository}:ref:refs/tags/v1",
        f"repo:{repository}:pull_request",
        f"repo:{repository}",
        f"repo:{owner}/{name}-fork:environment:{environment}",
        f"repo:{owner}/{name}2:environment:{environment}",
        f"repo:{owner}/x{name}:environment:{environment}",
        f"repo:{owner}/.github:environment:{environment}",
        f"repo:{owner}2/{name}:environment:{environment}",
        f"repo:someone/{name}:environment:{environment}",
        f"repo:{repository.upper()}:environment:{environment}",
        f"REPO:{repository}:environment:{environment}",
        f" repo:{repository}:environment:{environment}",
        f"repo:{repository}:environment:{environment} ",
        f"repo:{repository}:environment:{environment}\n",
        f"x:repo:{repository}:environment:{environment}",
        f"repo:{repository}:job_workflow_ref:{repository}/.github/workflows/a.yml:environment:{environment}",
        f"repository_owner:{owner}:environment:{environment}",
        "",
        "*",
    )
    yield from (f"repo:{each}:environment:{environment}" for each in _namesakes(owner, name))


def _namesakes(owner: str, name: str) -> Iterator[str]:
    """Past, present and future repositories with the same name or the same ids, but not both."""
    (login, _, owner_id), (title, _, repository_id) = owner.partition("@"), name.partition("@")
    if not owner_id:
        # Deleted, created again by another owner of the name, or opted in to ids: all of them send ids.
        yield from (f"{login}@1/{title}@2", f"{login}@1/{title}", f"{login}/{title}@2", f"{login}@*/{title}@*")
        return
    yield from (
        f"{login}/{title}",
        f"{login}@{owner_id}/{title}",
        f"{login}/{title}@{repository_id}",
        f"{login}@{owner_id}9/{title}@{repository_id}",
        f"{login}@{owner_id}/{title}@{repository_id}9",
        f"{login}@{repository_id}/{title}@{owner_id}",
        f"{login}@{owner_id}/renamed@{repository_id}",
        f"transferred@{int(owner_id) + 1}/{title}@{repository_id}",
        f"renamed@{owner_id}/{title}@{repository_id}",
        f"{login}@/{title}@",
        f"{login}@*/{title}@*",
        f"{login}-{owner_id}/{title}-{repository_id}",
    )
