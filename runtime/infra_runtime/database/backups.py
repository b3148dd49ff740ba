"""Scheduled: how old the newest point is that the database could be restored to, its newest snapshot, and the last
successful restore drill.

RDS says that a backup was not made by not making one: no event and no metric of its own tells it.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from infra_runtime.aws import client
from infra_runtime.contract.metrics import DATABASE, DatabaseMetric, emit
from infra_runtime.contract.restore_drills import SUCCEEDED
from infra_runtime.reporting import reported
from infra_runtime.state_store import SsmStateStore, StateStore


@reported
def handler(event: Mapping[str, Any], context: Any) -> dict[str, float]:
    """Answers with the numbers that it publishes; what RDS does not tell is left out, and the alarm takes it as bad."""
    now = datetime.now(UTC)
    found = ages(client("rds"), os.environ["DATABASE"], now=now)
    if prefix := os.environ.get("DRILLS"):
        memory = SsmStateStore(client("ssm"), prefix)
        found |= since_drill(client("rds"), os.environ["DATABASE"], memory, now=now)
    emit(DATABASE, {"Environment": os.environ["ENVIRONMENT"]}, found)
    return found


def ages(rds: Any, database: str, *, now: datetime) -> dict[str, float]:
    """By metric."""
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=database)["DBInstances"]
    pages = rds.get_paginator("describe_db_snapshots").paginate(DBInstanceIdentifier=database, SnapshotType="automated")
    taken = [
        each["SnapshotCreateTime"]
        for page in pages
        for each in page["DBSnapshots"]
        if each["Status"] == "available" and "SnapshotCreateTime" in each
    ]
    found: dict[str, float] = {}
    if (latest := instance.get("LatestRestorableTime")) is not None:
        found[DatabaseMetric.RESTORE_POINT_AGE.value] = (now - latest).total_seconds() / 60
    if taken:
        found[DatabaseMetric.SNAPSHOT_AGE.value] = (now - max(taken)).total_seconds() / 3600
    return found


def since_drill(rds: Any, database: str, memory: StateStore, *, now: datetime) -> dict[str, float]:
    """Days since the last drill without a problem; before the first, since the instance was made."""
    if (last := memory.get(SUCCEEDED)) is not None:
        since = datetime.fromisoformat(last["ended"])
    else:
        (instance,) = rds.describe_db_instances(DBInstanceIdentifier=database)["DBInstances"]
        since = instance["InstanceCreateTime"]
    return {DatabaseMetric.DRILL_AGE.value: (now - since).total_seconds() / 86_400}
