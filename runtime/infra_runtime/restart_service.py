"""Replaces a service's tasks when a secret that they read at start has been changed: a login rotated, a value set.

A task reads its secrets when it starts and uses them until it ends. A login of the database stays valid until its next
rotation, so new tasks have to take over before then: a new deployment of the same task definition.

Secrets Manager's event and a schedule both trigger it: an event can be lost, and one that arrives during a release has
to wait for its end. It reads the secrets and tasks, not the event.
"""

import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from infra_runtime.aws import client
from infra_runtime.contract.metrics import SECRETS, SecretMetric, emit
from infra_runtime.new_tasks import replace_tasks
from infra_runtime.reporting import reported
from infra_runtime.service_secrets import last_change

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

# After a deployment that replaced nothing, because it was rolled back: time for a person to find out why.
_RETRY = timedelta(hours=6)


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    """Handles Secrets Manager's "Secret Label Updated" and the schedule; both are only triggers."""
    hours = reconcile(
        client("ecs"),
        client("secretsmanager"),
        cluster=os.environ["CLUSTER"],
        service=os.environ["ECS_SERVICE"],
        secrets=json.loads(os.environ["SECRETS"]),
        now=datetime.now(UTC),
    )
    dimensions = {"Environment": os.environ["ENVIRONMENT"], "Service": os.environ["SERVICE"]}
    emit(SECRETS, dimensions, {SecretMetric.TASKS_BEHIND.value: hours})


def reconcile(ecs: Any, manager: Any, *, cluster: str, service: str, secrets: Sequence[str], now: datetime) -> float:
    """Hours since tasks became older than a secret, 0 when none is. Deploys them again, unless a deployment is running.

    `secrets` are ARNs or names. Any change that DescribeSecret shows counts: a needless deployment is
    harmless. Raises `UnusableSecret` when new tasks could not start; those that run go on.
    """
    # Every secret is checked before anything is deployed: without one of them, new tasks would not start.
    changes = [last_change(manager, each) for each in secrets]
    oldest = min(_created(ecs, cluster, service), default=now)
    unread = [changed for changed in changes if changed > oldest]
    if not unread:
        return 0.0
    prevents = replace_tasks(ecs, cluster=cluster, service=service, unless_since=max(*unread, now - _RETRY))
    if prevents is not None:
        logger.info("%s: waits, because of %s (%s)", service, prevents["serviceDeploymentArn"], prevents["status"])
    else:
        logger.info("%s: new tasks take over with the changed secret", service)
    return (now - min(unread)).total_seconds() / 3600


def _created(ecs: Any, cluster: str, service: str) -> Iterator[datetime]:
    """When each running task of the service was created; it reads its secrets after that."""
    pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service, desiredStatus="RUNNING")
    for page in pages:
        if arns := page["taskArns"]:
            for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]:
                yield task["createdAt"]
