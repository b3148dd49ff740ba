"""The revision that a deployment is about, as ECS's lifecycle hooks name it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

APP, MIGRATE, ONE_OFF, JOB = "app", "migrate", "one-off", "job"
"""Names of the containers: of the service, its migrations, an operator's task, and scheduled jobs."""
SHARED = "/infra"
"""Folder with the files of the container `prepare`, read-only for every other container."""
BUSYBOX = f"{SHARED}/busybox"
"""Statically linked, so that it runs in an image without shell and libc."""
MIGRATION_CPU = 512
"""Units of the task that migrates, which runs beside everything else."""
SERVICE = "Service"
"""Logical id of a stack's main ECS service; workers that run its image have others."""
MIGRATION_LABEL = "infra.migration"
"""Docker label of the service's container: ARN of the task definition that migrates for this revision."""


def started_by(deployment: str) -> str:
    """`startedBy` and client token of a deployment's migration task: at most 64 characters."""
    return f"migrate-{hashlib.sha256(deployment.encode()).hexdigest()[:28]}"


@dataclass(frozen=True)
class Revision:
    cluster: str
    service: str
    """ARN."""
    task_definition: str
    container: Mapping[str, Any]
    """Definition of the container `app`."""
    network: Mapping[str, Any]
    """Network configuration for RunTask: subnets and security groups of the service."""

    @property
    def image(self) -> str:
        found: str = self.container["image"]
        return found


@dataclass(frozen=True)
class HookCall:
    """One call of a lifecycle hook by ECS."""

    stage: str
    deployment: str
    """ARN of the service deployment: the same each time that ECS calls again."""
    target: str
    """ARN of the new service revision."""

    @classmethod
    def of(cls, event: Mapping[str, Any]) -> "HookCall":
        """Raises `KeyError` if the event is not a lifecycle hook's."""
        # AWS's documentation shows it bare, and in one place inside `event`.
        details = event.get("event", event)
        return cls(
            details["lifecycleStage"], details["resourceArn"], details["executionDetails"]["targetServiceRevisionArn"]
        )


def revision_of(ecs: Any, asked: HookCall) -> Revision:
    """Raises `LookupError` when ECS does not know it."""
    found = ecs.describe_service_revisions(serviceRevisionArns=[asked.target])
    if not found["serviceRevisions"]:
        raise LookupError(f"{asked.target}: {found.get('failures')}")
    (revision,) = found["serviceRevisions"]
    containers = containers_of(ecs, revision["taskDefinition"])
    return Revision(
        cluster=revision["clusterArn"],
        service=revision["serviceArn"],
        task_definition=revision["taskDefinition"],
        container=named(containers, APP),
        network=revision["networkConfiguration"],
    )


def named(containers: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    """One container of a task or a definition. AWS adds containers of its own, in any place: GuardDuty's agent.

    Raises `LookupError` when there is none of that name.
    """
    for each in containers:
        if each["name"] == name:
            return each
    raise LookupError(f"no container {name!r} among {[each['name'] for each in containers]}")


def containers_of(ecs: Any, task_definition: str) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = ecs.describe_task_definition(taskDefinition=task_definition)["taskDefinition"][
        "containerDefinitions"
    ]
    return found


def log_of(container: Mapping[str, Any], task: str) -> dict[str, str]:
    """CloudWatch log stream of a task's container; `task` is an ARN."""
    options = container["logConfiguration"]["options"]
    return {
        "logGroupName": options["awslogs-group"],
        "logStreamName": f"{options['awslogs-stream-prefix']}/{container['name']}/{task.rpartition('/')[2]}",
    }


Answer = Mapping[str, Any]


def answer(status: Literal["SUCCEEDED", "FAILED", "IN_PROGRESS"], *, ask_again_in: int | None = None) -> Answer:
    """A hook's answer to ECS; `ask_again_in` is the delay until the next call, in seconds."""
    return {"hookStatus": status} | ({"callBackDelay": ask_again_in} if ask_again_in else {})
