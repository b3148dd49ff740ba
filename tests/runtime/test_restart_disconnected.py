"""A service that has lost a dependency gets new tasks, and not again and again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra_runtime.restart_disconnected import restart

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Ecs:
    def __init__(self, *deployments: tuple[timedelta, str]) -> None:
        """(how long ago, status)"""
        self.deployments = [(NOW - ago, status) for ago, status in deployments]
        self.forced = 0

    def list_service_deployments(self, **asked: Any) -> dict[str, Any]:
        assert (asked["cluster"], asked["service"]) == ("c", "s")
        statuses, after = asked.get("status"), asked.get("createdAt", {}).get("after")
        found = [
            {"serviceDeploymentArn": "arn:deployment", "status": status}
            for created, status in self.deployments
            if (statuses is None or status in statuses) and (after is None or created > after)
        ]
        return {"serviceDeployments": found}

    def update_service(self, **asked: Any) -> None:
        assert asked == {"cluster": "c", "service": "s", "forceNewDeployment": True}
        self.forced += 1


@pytest.mark.parametrize(
    ("deployments", "forced"),
    [
        ([], 1),
        ([(31 * MINUTE, "SUCCESSFUL")], 1),
        ([(29 * MINUTE, "SUCCESSFUL")], 0),
        ([(29 * MINUTE, "ROLLBACK_SUCCESSFUL")], 0),
        ([(90 * MINUTE, "IN_PROGRESS")], 0),
    ],
    ids=["nothing happened", "long ago", "just released", "just tried in vain", "a release goes on"],
)
def test_tasks_are_replaced_at_most_once_in_half_an_hour_and_never_during_a_release(
    deployments: list[tuple[timedelta, str]], forced: int
) -> None:
    ecs = Ecs(*deployments)
    assert restart(ecs, cluster="c", service="s", now=NOW) is bool(forced)
    assert ecs.forced == forced
