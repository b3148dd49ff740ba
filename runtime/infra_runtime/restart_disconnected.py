"""Replaces the tasks of a service that has reported for minutes that it lost a dependency which others reach.

The alarm that asks for it goes off once, and stays on while new tasks do not help. The deployment is one like any
other: the old tasks serve until the release check of the new ones has passed, and stay when it does not.
"""

import logging
import os
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from infra_runtime.aws import client
from infra_runtime.new_tasks import replace_tasks
from infra_runtime.reporting import reported

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

_PAUSE = timedelta(minutes=30)


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    """Handles the alarm's action; the event is only a trigger."""
    restart(client("ecs"), cluster=os.environ["CLUSTER"], service=os.environ["ECS_SERVICE"], now=datetime.now(UTC))


def restart(ecs: Any, *, cluster: str, service: str, now: datetime) -> bool:
    """Whether new tasks come. Not while something deploys, nor within half an hour after."""
    prevents = replace_tasks(ecs, cluster=cluster, service=service, unless_since=now - _PAUSE)
    if prevents is not None:
        logger.warning(
            "%s: no new tasks, because of %s (%s)", service, prevents["serviceDeploymentArn"], prevents["status"]
        )
        return False
    logger.warning("%s: new tasks take over, as it has lost a dependency", service)
    return True
