"""Every grant that a deployed account used is missed without it: all replayed from the record, a few in the account."""

import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from rehearsal.account import Account
from rehearsal.checks.releases import first_release
from rehearsal.permissions import Role, recorded, report, surplus
from simulators.aws.replay import is_allowed

SEED = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
_SAMPLE = 6


@pytest.fixture(scope="module")
def roles(production: Account) -> dict[str, Role]:
    first_release(production)
    report(production)
    return dict(recorded(production.cdk.workspace))


def test_every_used_grant_is_missed(roles: dict[str, Role], production: Account) -> None:
    found, tried = surplus(production.cdk.workspace)
    assert found == []
    assert tried >= _SAMPLE


def test_calls_without_their_permission_are_denied_in_the_account(roles: dict[str, Role], production: Account) -> None:
    """A new sample each time; SEED repeats one. Without grants that have conditions, which the simulation lacks."""
    iam = production.client("iam")
    for role, action, call in random.Random(SEED).sample(list(_used(iam, roles)), _SAMPLE):
        drawn = f"SEED={SEED}: {role}, {action}, for {call['resource']}"
        arn = iam.get_role(RoleName=role)["Role"]["Arn"]
        asked = {"PolicySourceArn": arn, "ActionNames": [call["action"]], "ResourceArns": [call["resource"]]}
        assert _decision(iam, asked) == "allowed", drawn
        with _without(iam, role, action):
            assert _decision(iam, asked) == "implicitDeny", drawn


def _decision(iam: Any, asked: dict[str, Any]) -> str:
    (result,) = iam.simulate_principal_policy(**asked)["EvaluationResults"]
    return str(result["EvalDecision"])


def _used(iam: Any, roles: dict[str, Role]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(role, action, a call that depends on it) of roles that have inline policies only."""
    for name, role in sorted(roles.items()):
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        if any(":iam::aws:" not in each["PolicyArn"] for each in attached):
            continue
        for number, index, action in role.grants():
            left = role.without(number, index, action)
            calls = [call for call in role.calls if is_allowed(call, role.policies) and not is_allowed(call, left)]
            if calls and "Condition" not in role.policies[number]["Statement"][index]:
                yield name, action, calls[0]


@contextmanager
def _without(iam: Any, role: str, action: str) -> Iterator[None]:
    """Removes the action from the role's inline policies, and puts it back."""
    pages = iam.get_paginator("list_role_policies").paginate(RoleName=role)
    documents = {
        name: iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for page in pages
        for name in page["PolicyNames"]
    }
    try:
        for name, document in documents.items():
            every = [{**each, "Action": _others(each["Action"], action)} for each in document["Statement"]]
            if statements := [each for each in every if each["Action"]]:
                left = json.dumps({"Statement": statements})
                iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=left)
            else:
                iam.delete_role_policy(RoleName=role, PolicyName=name)
        yield
    finally:
        for name, document in documents.items():
            iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


def _others(actions: str | list[str], action: str) -> list[str]:
    return [each for each in ([actions] if isinstance(actions, str) else actions) if each != action]
