"""Replaces a service's tasks when the login that they read at start has been rotated.

A task reads the database's login when it starts and uses it until it ends. That login stays valid until the next
rotation, so new tasks have to take over before then: a blue/green deployment of the same task definition.

Secrets Manager's event says when to look, and a schedule looks anyway: an event can be lost, and one that arrives
during a release has to wait for its end. What counts is what is there, not what was announced.
"""

import logging
import os
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from infra_runtime.aws import client
from infra_runtime.metrics import DATABASE, Database, emit
from infra_runtime.release.preflight import UNDER_WAY, deployments
from infra_runtime.reporting import reported

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

# After a deployment that replaced nothing, because it was rolled back: time for a person to look.
_RETRY = timedelta(hours=6)


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    """For Secrets Manager's "Secret Label Updated" and for the schedule: both only say that it is time to look."""
    names = ("CLUSTER", "SERVICE", "LOGIN")
    cluster, service, login = (os.environ[name] for name in names)
    hours = reconcile(
        client("ecs"), client("secretsmanager"), cluster=cluster, service=service, login=login, now=datetime.now(UTC)
    )
    emit(DATABASE, {"Environment": os.environ["ENVIRONMENT"]}, {Database.LOGIN_BEHIND.value: hours})


def reconcile(ecs: Any, manager: Any, *, cluster: str, service: str, login: str, now: datetime) -> float:
    """Hours since tasks became older than their login, 0 when none is. Deploys them anew, unless something deploys now.

    `login` is the ARN of the secret. Any change of the secret counts, as DescribeSecret tells it: a deployment too many
    hurts nobody.
    """
    changed: datetime = manager.describe_secret(SecretId=login)["LastChangedDate"]
    if all(created >= changed for created in _created(ecs, cluster, service)):
        return 0.0
    where = {"clusterArn": cluster, "serviceArn": service}
    busy = [
        *deployments(ecs, where, status=UNDER_WAY),
        *deployments(ecs, where, createdAt={"after": max(changed, now - _RETRY)}),
    ]
    if busy:
        first = busy[0]
        logger.info("%s: waits, because of %s (%s)", service, first["serviceDeploymentArn"], first["status"])
    else:
        ecs.update_service(cluster=cluster, service=service, forceNewDeployment=True)
        logger.info("%s: new tasks take over with the rotated login", service)
    return (now - changed).total_seconds() / 3600


def _created(ecs: Any, cluster: str, service: str) -> Iterator[datetime]:
    """When each running task of the service was created; it reads its secrets after that."""
    pages = ecs.get_paginator("list_tasks").paginate(cluster=cluster, serviceName=service, desiredStatus="RUNNING")
    for page in pages:
        if arns := page["taskArns"]:
            for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]:
                yield task["createdAt"]
