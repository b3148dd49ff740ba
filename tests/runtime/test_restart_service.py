"""Tasks that are older than one of their secrets are replaced, but never during a release."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra_runtime.restart_service import reconcile
from infra_runtime.service_secrets import UnusableSecret

ROTATED = datetime(2026, 11, 26, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def changed(when: datetime) -> dict[str, Any]:
    """An answer of DescribeSecret."""
    return {"LastChangedDate": when, "VersionIdsToStages": {"v2": ["AWSCURRENT"], "v1": ["AWSPREVIOUS"]}}


class Account:
    """One service, as ECS lists its tasks and deployments, and its secrets."""

    def __init__(self, *tasks: datetime) -> None:
        self.tasks = dict(enumerate(tasks))
        self.deployments: list[tuple[datetime, str]] = []
        self.forced = 0
        self.secrets: dict[str, dict[str, Any]] = {"arn:login": changed(ROTATED)}

    def describe_secret(self, SecretId: str) -> dict[str, Any]:  # noqa: N803
        if SecretId not in self.secrets:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException", "Message": SecretId}}, "DescribeSecret")
        return self.secrets[SecretId]

    def get_paginator(self, name: str) -> "Account":
        assert name == "list_tasks"
        return self

    def paginate(self, **_: str) -> list[dict[str, Any]]:
        return [{"taskArns": [each]} for each in self.tasks] + [{"taskArns": []}]

    def describe_tasks(self, *, cluster: str, tasks: list[int]) -> dict[str, Any]:
        return {"tasks": [{"createdAt": self.tasks[each]} for each in tasks]}

    def list_service_deployments(
        self,
        *,
        cluster: str,
        service: str,
        status: list[str] | None = None,
        createdAt: dict[str, datetime] | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        found = [
            {"serviceDeploymentArn": "arn:deployment", "status": state}
            for created, state in self.deployments
            if (status is None or state in status) and (createdAt is None or created > createdAt["after"])
        ]
        return {"serviceDeployments": found}

    def update_service(self, *, cluster: str, service: str, forceNewDeployment: bool) -> None:  # noqa: N803
        assert forceNewDeployment
        self.forced += 1


def reconciled(account: Account, after: timedelta) -> float:
    secrets = ["arn:login", "daadaar/jwt"] if "daadaar/jwt" in account.secrets else ["arn:login"]
    return reconcile(account, account, cluster="c", service="s", secrets=secrets, now=ROTATED + after)


def test_tasks_from_before_a_rotation_are_replaced() -> None:
    account = Account(ROTATED + MINUTE, ROTATED - MINUTE)
    assert reconciled(account, 2 * HOUR) == 2.0
    assert account.forced == 1


def test_tasks_that_have_read_the_new_login_are_left_alone() -> None:
    account = Account(ROTATED, ROTATED + MINUTE)
    assert reconciled(account, 48 * HOUR) == 0.0
    assert account.forced == 0


def test_a_release_under_way_ends_first_and_then_its_tasks_are_replaced() -> None:
    """It began before the rotation and bakes for hours: its new tasks also have the old login."""
    account = Account(ROTATED - HOUR, ROTATED - MINUTE)
    for state in ("PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"):
        account.deployments = [(ROTATED - 5 * MINUTE, state)]
        assert reconciled(account, 3 * HOUR) == 3.0
        assert account.forced == 0
    account.deployments = [(ROTATED - 5 * MINUTE, "SUCCESSFUL")]
    reconciled(account, 4 * HOUR)
    assert account.forced == 1


def test_a_deployment_that_was_rolled_back_is_repeated_later_and_reported_meanwhile() -> None:
    account = Account(ROTATED - HOUR)
    account.deployments = [(ROTATED + MINUTE, "ROLLBACK_SUCCESSFUL")]
    assert reconciled(account, 5 * HOUR) == 5.0
    assert account.forced == 0
    assert reconciled(account, 7 * HOUR) == 7.0
    assert account.forced == 1


def test_any_secret_that_changes_replaces_the_tasks_and_the_first_change_counts() -> None:
    account = Account(ROTATED + MINUTE)
    account.secrets["daadaar/jwt"] = changed(ROTATED + HOUR)
    assert reconciled(account, 3 * HOUR) == 2.0
    assert account.forced == 1
    account.tasks = {0: ROTATED - MINUTE}
    assert reconciled(account, 3 * HOUR) == 3.0
    account.tasks = {0: ROTATED + HOUR}
    assert reconciled(account, 3 * HOUR) == 0.0


def test_a_change_after_a_rolled_back_deployment_starts_another_one() -> None:
    account = Account(ROTATED - HOUR)
    account.deployments = [(ROTATED + MINUTE, "ROLLBACK_SUCCESSFUL")]
    account.secrets["daadaar/jwt"] = changed(ROTATED + HOUR)
    assert reconciled(account, 2 * HOUR) == 2.0
    assert account.forced == 1


def test_a_change_during_a_deployment_replaces_the_tasks_after_it() -> None:
    """Two secrets set one after the other: the first one's deployment may have read the second one's old value."""
    account = Account(ROTATED + MINUTE)
    account.secrets["daadaar/jwt"] = changed(ROTATED + 2 * MINUTE)
    account.deployments = [(ROTATED + MINUTE, "IN_PROGRESS")]
    reconciled(account, 3 * MINUTE)
    assert account.forced == 0
    account.deployments = [(ROTATED + MINUTE, "SUCCESSFUL")]
    reconciled(account, 15 * MINUTE)
    assert account.forced == 1


def test_tasks_are_not_replaced_while_a_secret_is_missing() -> None:
    """New tasks could not start; the running ones stay. The function publishes nothing, which raises an alarm."""
    account = Account(ROTATED - HOUR)
    account.secrets["daadaar/jwt"] = changed(ROTATED) | {"DeletedDate": ROTATED + 7 * 24 * HOUR}
    with pytest.raises(UnusableSecret, match="daadaar/jwt is scheduled for deletion"):
        reconciled(account, HOUR)
    with pytest.raises(UnusableSecret, match="daadaar/gone does not exist"):
        reconcile(account, account, cluster="c", service="s", secrets=["daadaar/gone"], now=ROTATED)
    assert account.forced == 0
