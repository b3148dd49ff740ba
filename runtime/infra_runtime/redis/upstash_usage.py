"""Usage of a database at Upstash, as a share of its limits, which ElastiCache does not have.

Upstash slows down or refuses what goes beyond. Limits are in the database's own description, what is used in its
statistics (as the vendor's MCP server reads them: points of x and y, of which the last may be empty).
"""

import os
import time
from collections.abc import Mapping
from typing import Any

from infra_runtime.aws import client
from infra_runtime.contract.metrics import REDIS, RedisMetric, emit
from infra_runtime.contract.secret_values import Secrets, deadline_of
from infra_runtime.redis.upstash import key_of
from infra_runtime.redis.upstash_api import UpstashApi, upstash_from
from infra_runtime.reporting import reported
from infra_runtime.state_store import SsmStateStore, StateStore

# Metric → (series of the statistics, limit in the description). Bytes; bandwidth is of the day.
_LIMITS = {
    RedisMetric.STORAGE_USED: ("diskusage", "db_disk_threshold"),
    RedisMetric.BANDWIDTH_USED: ("bandwidths", "db_daily_bandwidth_limit"),
}


@reported
def handler(event: Mapping[str, Any], context: Any) -> dict[str, float]:
    """Raises what Upstash and AWS raise: a run that fails is counted as one."""
    secrets = Secrets(client("secretsmanager"))
    api = upstash_from(secrets, os.environ["CREDENTIALS_SECRET"], deadline=min(deadline_of(context), time.time() + 60))
    found = usage(api, SsmStateStore(client("ssm"), os.environ["STATE_STORE"]), os.environ["UPSTASH_DATABASE"])
    if found:
        emit(REDIS, {"Environment": os.environ["ENVIRONMENT"], "Instance": os.environ["INSTANCE"]}, found)
    return found


def usage(api: UpstashApi, store: StateStore, name: str) -> dict[str, float]:
    """Percent of each limit that there is. Raises `LookupError` when we have made no such database."""
    remembered = store.get(key_of(name)) or {}
    if "id" not in remembered:
        raise LookupError(f"no database {name} is remembered")
    limits, statistics = api.database(remembered["id"]), api.statistics(remembered["id"])
    found: dict[str, float] = {}
    for metric, (series, limit) in _LIMITS.items():
        most, used = limits.get(limit) or 0, _last(statistics.get(series))
        # None or a negative number is Upstash's way of saying that there is no limit.
        if most > 0 and used is not None:
            found[metric] = used / most * 100
    return found


def _last(points: Any) -> float | None:
    values = [each.get("y") for each in points or [] if isinstance(each, dict)]
    known = [value for value in values if isinstance(value, int | float)]
    return known[-1] if known else None
