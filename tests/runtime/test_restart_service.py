"""A rotation restarts the service, but never interrupts a release."""

from typing import Any

import pytest

from infra_runtime.restart_service import DeploymentUnderWay, restart


class Ecs:
    def __init__(self, *under_way: str) -> None:
        self.under_way = under_way
        self.forced: list[tuple[str, str, bool]] = []

    def list_service_deployments(self, *, status: list[str], **_: str) -> dict[str, Any]:
        assert set(status) == {"PENDING", "IN_PROGRESS"}
        return {"serviceDeployments": [{"serviceDeploymentArn": arn} for arn in self.under_way]}

    def update_service(self, *, cluster: str, service: str, forceNewDeployment: bool) -> None:  # noqa: N803
        self.forced.append((cluster, service, forceNewDeployment))


def test_new_tasks_take_over() -> None:
    ecs = Ecs()
    restart(ecs, cluster="c", service="s")
    assert ecs.forced == [("c", "s", True)]


def test_a_release_is_not_interrupted() -> None:
    """The exception is what makes Lambda try again, and the alarm go off when that is in vain."""
    ecs = Ecs("arn:release")
    with pytest.raises(DeploymentUnderWay, match="s: arn:release"):
        restart(ecs, cluster="c", service="s")
    assert ecs.forced == []
