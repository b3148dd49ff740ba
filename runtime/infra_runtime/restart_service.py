"""Starts a service's tasks anew when a secret that they read at start has been rotated.

Tasks read the login of the database when they start, and use that one until they end. It stays valid until the next
rotation; by then new tasks have to have taken over: a blue/green deployment of the same task definition.
"""

import logging
import os
from collections.abc import Mapping
from typing import Any

from infra_runtime.aws import client
from infra_runtime.reporting import reported

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)


class DeploymentUnderWay(Exception):
    """Starting another now would stop it. Lambda tries this event again; if it stays so, an alarm tells a person."""


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    """For EventBridge's "RotationSucceeded" of Secrets Manager, which the rule has matched already."""
    restart(client("ecs"), cluster=os.environ["CLUSTER"], service=os.environ["SERVICE"])


def restart(ecs: Any, *, cluster: str, service: str) -> None:
    """Raises `DeploymentUnderWay` rather than interrupt a release."""
    under_way = ecs.list_service_deployments(cluster=cluster, service=service, status=["PENDING", "IN_PROGRESS"])
    if under_way["serviceDeployments"]:
        raise DeploymentUnderWay(f"{service}: {under_way['serviceDeployments'][0]['serviceDeploymentArn']}")
    ecs.update_service(cluster=cluster, service=service, forceNewDeployment=True)
    logger.info("%s: new tasks take over with the rotated secret", service)
