"""Replaces the tasks of a service by a new deployment of the same task definition."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from infra_runtime.release.preflight import UNDER_WAY, deployments


def replace_tasks(ecs: Any, *, cluster: str, service: str, unless_since: datetime) -> Mapping[str, Any] | None:
    """Starts a deployment, or returns the one that prevents it: under way, or created after `unless_since`."""
    where = {"clusterArn": cluster, "serviceArn": service}
    busy = [
        *deployments(ecs, where, status=UNDER_WAY),
        *deployments(ecs, where, createdAt={"after": unless_since}),
    ]
    if busy:
        return busy[0]
    ecs.update_service(cluster=cluster, service=service, forceNewDeployment=True)
    return None
