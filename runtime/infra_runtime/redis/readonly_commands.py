"""Commands that a person may send to a Redis inside the VPC: they read and change nothing."""

from collections.abc import Sequence
from typing import Any

from infra_runtime.contract.redis_url import RedisTarget
from infra_runtime.redis.connections import data_node, resolve, sentinel_node
from infra_runtime.redis.failure_reasons import ERRORS, EXPLANATIONS, reason_for
from infra_runtime.redis.probe import primaries

ALLOWED = (
    "INFO", "DBSIZE", "ROLE", "TTL", "TYPE", "LLEN", "ZCARD", "SCAN", "MEMORY USAGE", "MEMORY STATS", "SLOWLOG GET",
    "SLOWLOG LEN", "CLIENT LIST", "LATENCY LATEST", "LATENCY HISTORY", "CLUSTER INFO", "CLUSTER NODES",
    "SENTINEL MASTERS", "SENTINEL REPLICAS", "SENTINEL SENTINELS",
)  # fmt: skip
# Lambda answers with six megabytes at most; no person reads even one.
_LONGEST = 200_000


class NotAllowed(ValueError):
    """A command that might change something, or is none."""

    def __init__(self) -> None:
        super().__init__(f"expected one of {', '.join(ALLOWED)}: what only reads")


def check(words: Sequence[str]) -> None:
    """Raises `NotAllowed`."""
    command = " ".join(words).upper()
    if not any(command == each or command.startswith(f"{each} ") for each in ALLOWED):
        raise NotAllowed


def ask(target: RedisTarget, words: Sequence[str]) -> dict[str, Any]:
    """The reply of each primary, or of each Sentinel, by its address; a text where there was none.

    Raises `NotAllowed`, and one of `failure_reasons.ERRORS` when the primaries are unknown.
    """
    check(words)
    of_sentinels = words[0].upper() == "SENTINEL"
    nodes = target.nodes if of_sentinels else primaries(target)
    found: dict[str, Any] = {}
    for node in nodes:
        try:
            resolve(node)
            with (sentinel_node if of_sentinels else data_node)(target, node) as client:
                client.response_callbacks.clear()  # as the server says it
                reply = client.execute_command(*words)
        except ERRORS as error:
            reply = f"no reply: {EXPLANATIONS[reason_for(error)]}"
        found[str(node)] = reply[:_LONGEST] if isinstance(reply, str) else reply
    return found
