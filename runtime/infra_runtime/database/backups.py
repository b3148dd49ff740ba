"""Scheduled: publishes the age of the newest restorable point, of the newest snapshot, and of the last successful
restore drill.

RDS has neither an event nor a metric for a missing backup.
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
    """Returns the metrics that it publishes, without those that RDS does not report: missing data fires alarms."""
    now = datetime.now(UTC)
    found = ages(client("rds"), os.environ["DATABASE"], now=now)
    if prefix := os.environ.get("DRILLS"):
        store = SsmStateStore(client("ssm"), prefix)
        found |= since_drill(client("rds"), os.environ["DATABASE"], store, now=now)
    emit(DATABASE, {"Environment": os.environ["ENVIRONMENT"]}, found)
    return found


def ages(rds: Any, database: str, *, now: datetime) -> dict[str, float]:
    """Age of the newest restorable point in minutes and of the newest snapshot in hours, by metric."""
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


def since_drill(rds: Any, database: str, store: StateStore, *, now: datetime) -> dict[str, float]:
    """Days since the last successful drill; before the first one, since the instance was created."""
    if (last := store.get(SUCCEEDED)) is not None:
        since = datetime.fromisoformat(last["ended"])
    else:
        (instance,) = rds.describe_db_instances(DBInstanceIdentifier=database)["DBInstances"]
        since = instance["InstanceCreateTime"]
    return {DatabaseMetric.DRILL_AGE.value: (now - since).total_seconds() / 86_400}
