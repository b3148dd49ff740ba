"""What is in Redis: keys by kind, keys without expiry, and memory in use."""

import contextlib
import time
from dataclasses import dataclass
from typing import Any

from infra_runtime.contract.metrics import RedisMetric
from infra_runtime.contract.redis_url import Node, RedisTarget
from infra_runtime.redis.connections import data_node, resolve, within
from infra_runtime.redis.probe import PROBE_PREFIX, primaries

# As the application's contract has them (docs/redis-client.md).
PREFIXES = ("ratelimit:", "csrf:", "session:")
_SECONDS = 20.0
# Seconds on each server, at most: SCAN shares its one thread with the application.
_SCAN_SECONDS = 2.0
_SCAN_STEP = 500
_SCAN_STEPS = 40


@dataclass
class Inventory:
    """Sums over all primaries; percentages are those of the fullest one."""

    keys: dict[str, float]
    """Number of keys by prefix; extrapolated from a sample above about twenty thousand keys on a server."""
    without_expiry: int = 0
    memory_bytes: int = 0
    memory_percent: float | None = None
    """None where the server has no limit, or does not report it."""
    connections_percent: float | None = None

    def metrics(self) -> dict[str, float]:
        found: dict[str, float] = {f"Keys{_camel(prefix)}": count for prefix, count in self.keys.items()}
        found |= {
            RedisMetric.KEYS_WITHOUT_EXPIRY: self.without_expiry,
            RedisMetric.MEMORY_USED_BYTES: self.memory_bytes,
        }
        if self.memory_percent is not None:
            found[RedisMetric.MEMORY_USED] = self.memory_percent
        if self.connections_percent is not None:
            found[RedisMetric.CONNECTIONS] = self.connections_percent
        return found


def _camel(prefix: str) -> str:
    return prefix.rstrip(":").capitalize()


def take(target: RedisTarget) -> Inventory:
    """Raises one of `failure_reasons.ERRORS`: a number that leaves a server out would look like good news."""
    return within(_SECONDS, lambda: _take(target))


def _take(target: RedisTarget) -> Inventory:
    whole = Inventory(dict.fromkeys((*PREFIXES, "other:"), 0.0))
    for node in primaries(target):
        _add(whole, target, node)
    return whole


def _add(whole: Inventory, target: RedisTarget, node: Node) -> None:
    resolve(node)
    with contextlib.closing(data_node(target, node)) as client:
        for prefix, count in _count(client).items():
            whole.keys[prefix] += count
        space = client.info("keyspace").get(f"db{target.database}", {})
        whole.without_expiry += int(space.get("keys", 0)) - int(space.get("expires", 0))
        memory = client.info("memory")
        used, most = int(memory.get("used_memory", 0)), int(memory.get("maxmemory", 0))
        whole.memory_bytes += used
        if most:
            whole.memory_percent = max(whole.memory_percent or 0.0, used / most * 100)
        clients = client.info("clients")
        if limit := int(clients.get("maxclients", 0)):
            share = int(clients["connected_clients"]) / limit * 100
            whole.connections_percent = max(whole.connections_percent or 0.0, share)


def _count(client: Any) -> dict[str, float]:
    """SCAN walks the table in no order of ours, so a part of it is a fair sample."""
    found = dict.fromkeys((*PREFIXES, "other:"), 0)
    cursor: Any = 0
    give_up = time.monotonic() + _SCAN_SECONDS
    for _ in range(_SCAN_STEPS):
        answer: Any = client.scan(cursor=cursor, count=_SCAN_STEP)
        cursor, keys = answer
        for key in keys:
            if not key.startswith(PROBE_PREFIX):
                found[next((prefix for prefix in PREFIXES if key.startswith(prefix)), "other:")] += 1
        if cursor == 0 or time.monotonic() > give_up:
            break
    scanned = sum(found.values())
    scale = 1.0 if cursor == 0 or not scanned else int(client.dbsize()) / scanned
    return {prefix: round(count * scale) for prefix, count in found.items()}
