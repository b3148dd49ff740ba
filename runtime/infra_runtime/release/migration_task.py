"""The task that migrates for a deployment. `./infra` loads this, so it imports no database driver."""

from collections.abc import Mapping
from typing import Any

from infra_runtime.contract.revision import started_by


def task_of(ecs: Any, cluster: str, deployment: str, definition: str) -> Mapping[str, Any] | None:
    """The task that migrates for a deployment, as ECS describes it; None when there is none yet.

    `definition` is the ARN of its task definition.
    """
    name = started_by(deployment)
    # The first filter lists running tasks only. ListTasks takes `startedBy` as the only filter or not at all.
    family = definition.rpartition("/")[2].partition(":")[0]
    for filters in ({"startedBy": name}, {"family": family, "desiredStatus": "STOPPED"}):
        for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster, **filters):
            if arns := page["taskArns"]:
                for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]:
                    if task.get("startedBy") == name:
                        return dict(task)
    return None
