"""The task that migrates for a deployment. `./infra` loads this, so it imports no database driver."""

import hashlib
from collections.abc import Mapping
from typing import Any


def started_by(deployment: str) -> str:
    """What a deployment's task is found by, and its client token: of 64 letters at most."""
    return f"migrate-{hashlib.sha256(deployment.encode()).hexdigest()[:28]}"


def task_of(ecs: Any, cluster: str, deployment: str, definition: str) -> Mapping[str, Any] | None:
    """The task that migrates for a deployment, as ECS describes it; None when there is none yet.

    `definition` is the ARN of its task definition.
    """
    name = started_by(deployment)
    # The first lists those that are to run. ListTasks takes `startedBy` as the only filter or not at all.
    family = definition.rpartition("/")[2].partition(":")[0]
    for filters in ({"startedBy": name}, {"family": family, "desiredStatus": "STOPPED"}):
        for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster, **filters):
            if arns := page["taskArns"]:
                for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]:
                    if task.get("startedBy") == name:
                        return dict(task)
    return None
