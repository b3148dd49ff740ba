"""Tasks that are older than their login are replaced, whoever announced the rotation, and never during a release."""

from datetime import UTC, datetime, timedelta
from typing import Any

from infra_runtime.restart_service import reconcile

ROTATED = datetime(2026, 11, 26, 12, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


class Account:
    """One service, as ECS lists its tasks and deployments, and the secret of its login."""

    def __init__(self, *tasks: datetime) -> None:
        self.tasks = dict(enumerate(tasks))
        self.deployments: list[tuple[datetime, str]] = []
        self.forced = 0

    def describe_secret(self, SecretId: str) -> dict[str, Any]:  # noqa: N803
        return {"LastChangedDate": ROTATED}

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


def look(account: Account, after: timedelta) -> float:
    return reconcile(account, account, cluster="c", service="s", login="arn:login", now=ROTATED + after)


def test_new_tasks_take_over() -> None:
    account = Account(ROTATED + MINUTE, ROTATED - MINUTE)
    assert look(account, 2 * HOUR) == 2.0
    assert account.forced == 1


def test_tasks_that_have_read_the_new_login_are_left_alone() -> None:
    account = Account(ROTATED, ROTATED + MINUTE)
    assert look(account, 48 * HOUR) == 0.0
    assert account.forced == 0


def test_a_release_is_waited_for_and_then_made_up_for() -> None:
    """It began before the rotation and bakes for hours: its new tasks have the old login, too."""
    account = Account(ROTATED - HOUR, ROTATED - MINUTE)
    for state in ("PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"):
        account.deployments = [(ROTATED - 5 * MINUTE, state)]
        assert look(account, 3 * HOUR) == 3.0
        assert account.forced == 0
    account.deployments = [(ROTATED - 5 * MINUTE, "SUCCESSFUL")]
    look(account, 4 * HOUR)
    assert account.forced == 1


def test_a_deployment_that_was_rolled_back_is_repeated_later_and_reported_meanwhile() -> None:
    account = Account(ROTATED - HOUR)
    account.deployments = [(ROTATED + MINUTE, "ROLLBACK_SUCCESSFUL")]
    assert look(account, 5 * HOUR) == 5.0
    assert account.forced == 0
    assert look(account, 7 * HOUR) == 7.0
    assert account.forced == 1
