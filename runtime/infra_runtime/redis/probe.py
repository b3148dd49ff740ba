"""Whether the application can limit rates with this Redis: the commands of docs/redis-client.mjs, with its user.

A ping alone proves little: it succeeds on a server that is out of memory, on a replica that takes no writes, and from
a plain client on one node of a cluster. And only warm pings say how far away Redis is: the first one of a connection
costs several round trips.
"""

import contextlib
import logging
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from redis.crc import key_slot
from redis.exceptions import NoPermissionError

from infra_runtime.contract.redis_url import Node, RedisTarget
from infra_runtime.redis.connections import data_node, resolve, sentinel_node, within
from infra_runtime.redis.failure_reasons import ERRORS, EXPLANATIONS, Reason, UnusableRedis, reason_for, refined

logger = logging.getLogger(__name__)

ROUND_SECONDS = 12.0
HIGH_LATENCY_MS = 100.0
# Beyond it, requests give up before Redis has answered: MOST_BUDGET in docs/redis-client.mjs is 250, jitter included.
USABLE_LATENCY_MS = 200.0
_WARM_PINGS = 5
_SLOTS = 16384
# Long enough to be counted twice in the same round, and soon gone.
_KEY_SECONDS = 60
# A rate limit as the application's, so that a user who may only use those is enough. Never one of a real user's.
PROBE_PREFIX = "ratelimit:probe:"


@dataclass
class _Round:
    """What was tried, and how much of it failed."""

    key_prefixes: Sequence[str] = ("",)
    may_evict: bool = True
    tried: int = 0
    failed: int = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        self.tried += 1
        try:
            yield
        except ERRORS:
            self.failed += 1
            raise


@dataclass(frozen=True, kw_only=True)
class Report:
    """One round. `connected`, `latencyMs` and `error` are the application's own `checkRedisConnection()`."""

    connected: bool
    latency_ms: float | None = None
    """Median of the warm pings; of a cluster, that of its slowest primary."""
    reason: Reason | None = None
    """None when all is well."""
    writable: bool | None = None
    """None when Redis could not be asked."""
    mode: str | None = None
    """standalone, cluster or sentinel, as the server says; None when it does not."""
    role: str | None = None
    tried: int = 0
    failed: int = 0

    @property
    def usable(self) -> bool:
        """What this accepts, the published client can enforce limits with (tests/client/test_gate.py)."""
        return self.connected and self.writable is True and self.reason is None

    @property
    def level(self) -> str:
        """The level for alarms."""
        if not self.usable:
            return "critical"
        return "warning" if self.latency_ms is not None and self.latency_ms > HIGH_LATENCY_MS else "ok"

    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = {"connected": self.connected}
        if self.latency_ms is not None:
            found["latencyMs"] = round(self.latency_ms, 2)
        if self.reason is not None:
            found["error"] = EXPLANATIONS[self.reason]
        return {
            **found,
            "level": self.level,
            "reason": self.reason,
            "writable": self.writable,
            "mode": self.mode,
            "role": self.role,
        }


def probe(
    target: RedisTarget, *, key_prefixes: Sequence[str] = ("",), may_evict: bool = True, seconds: float = ROUND_SECONDS
) -> Report:
    """One round; never raises for what Redis or the network does, and never takes longer than `seconds`.

    `key_prefixes` are each application's `REDIS_KEY_PREFIX`: its user has to be allowed keys with all of them. A queue
    is not in a Redis that `may_evict`.
    """
    round_ = _Round(key_prefixes, may_evict)
    ask = {"single": _single, "sentinel": _sentinel, "cluster": _cluster}[target.form]

    def run() -> Report:
        try:
            return ask(target, round_)
        except ERRORS as error:
            return Report(connected=False, reason=reason_for(error))
        except Exception:  # Also an answer that no version of Redis gives must end in a report.
            logger.exception("an answer that is not understood")
            return Report(connected=False, reason=Reason.UNKNOWN)

    try:
        found = within(seconds, run)
    except TimeoutError:
        found = Report(connected=False, reason=Reason.OUT_OF_TIME)
    tried = max(round_.tried, 1)
    counted = {"tried": tried, "failed": round_.failed if found.connected else max(round_.failed, 1)}
    return Report(**{**vars(found), **counted})


def primaries(target: RedisTarget) -> list[Node]:
    """The servers that hold the data now, each once. Raises one of `ERRORS`."""
    match target.form:
        case "single":
            return list(target.nodes)
        case "sentinel":
            return [_master(target, _Round())]
        case "cluster":
            return sorted({node for node, _, _ in _shards(target, _Round()) or []}, key=str)


def _single(target: RedisTarget, round_: _Round) -> Report:
    return _server(target, target.nodes[0], round_)


@dataclass
class _Known:
    """What a server says of itself, as far as the user may ask."""

    mode: str | None = None
    role: str | None = None
    evicts: bool = False
    """Where it must not."""
    latencies: list[float] = field(default_factory=list)


def _server(target: RedisTarget, node: Node, round_: _Round, slots: tuple[int, int] | None = None) -> Report:
    """One server; `slots` are those of a cluster's primary."""
    known = _Known()
    try:
        with _closing(data_node(target, node)) as client:
            with round_.one():
                resolve(node)
                client.ping()
            _ping_warm(client, known, round_)
            try:
                with round_.one():
                    _authenticate(client, target)
                    _introduce(client, known)
                    if not round_.may_evict:
                        known.evicts = _evicts(client)
                for first, last in [slots] if slots else _slots(known.mode):
                    for prefix in round_.key_prefixes:
                        with round_.one():
                            _count(client, key_in(first, last, prefix))
            except ERRORS as error:
                return _report(known, reason_for(error), connected=True)
    except ERRORS as error:
        reason = refined(reason_for(error), host=node.host, port=node.port, tls=target.tls)
        return _report(known, reason, connected=False)
    return _report(known, None, connected=True)


def _report(known: _Known, reason: Reason | None, *, connected: bool) -> Report:
    latency = statistics.median(known.latencies) if known.latencies else None
    is_slow = latency is not None and latency > USABLE_LATENCY_MS
    of_what_works = Reason.EVICTS if known.evicts else Reason.TOO_SLOW if is_slow else None
    return Report(
        connected=connected,
        latency_ms=latency,
        reason=reason or of_what_works,
        writable=(reason is None) if connected else None,
        mode=known.mode,
        role=known.role,
    )


@contextlib.contextmanager
def _closing(client: Any) -> Iterator[Any]:
    try:
        yield client
    finally:
        with contextlib.suppress(*ERRORS):
            client.close()


def _ping_warm(client: Any, known: _Known, round_: _Round) -> None:
    """A single failed command is counted; two mean that Redis is unusable."""
    lost: list[Exception] = []
    for _ in range(_WARM_PINGS):
        started = time.perf_counter()
        try:
            with round_.one():
                client.ping()
        except ERRORS as error:
            lost.append(error)
            if len(lost) > 1:
                raise
        else:
            known.latencies.append((time.perf_counter() - started) * 1000)


def _authenticate(client: Any, target: RedisTarget) -> None:
    """Authenticates as ioredis does. redis-py omits the user where Redis before 6 knows none."""
    if target.username not in (None, "default"):
        client.execute_command("AUTH", target.username, target.password)


def _introduce(client: Any, known: _Known) -> None:
    """A user that may not ask is no fault. That there is no INFO is one: ioredis would wait for it for ever."""
    with contextlib.suppress(NoPermissionError, KeyError, TypeError):
        known.mode = str(client.info("server")["redis_mode"])
    with contextlib.suppress(*ERRORS, KeyError, TypeError, IndexError):
        answer: Any = client.execute_command("ROLE")
        known.role = str(answer[0])


def _evicts(client: Any) -> bool:
    """Whether Redis evicts keys when memory is full. False where it does not say, or not to this user.

    INFO, as BullMQ asks it (taskforcesh/bullmq #921): ElastiCache and Upstash have no CONFIG.
    """
    with contextlib.suppress(NoPermissionError, KeyError, TypeError):
        return str(client.info("memory")["maxmemory_policy"]) != "noeviction"
    return False


def _slots(mode: str | None) -> list[tuple[int, int]]:
    """All of them; of a node of a cluster one in each eighth, as it will not have all."""
    return [(slot, slot) for slot in range(0, _SLOTS, _SLOTS // 8)] if mode == "cluster" else [(0, _SLOTS - 1)]


def key_in(first: int, last: int, prefix: str) -> str:
    """A key of the probe's own, `ratelimit:probe:…` after the prefix, whose slot is between the two."""
    number = 0
    while not first <= key_slot(f"{prefix}{PROBE_PREFIX}{number}".encode()) <= last:
        number += 1
    return f"{prefix}{PROBE_PREFIX}{number}"


def _count(client: Any, key: str) -> None:
    """Counts twice, as the application does. Raises `UnusableRedis` if the first count was evicted or never kept."""
    counts = []
    for _ in range(2):
        pipeline = client.pipeline(transaction=False)
        pipeline.response_callbacks = {}
        pipeline.execute_command("MULTI")
        pipeline.execute_command("SET", key, 0, "EX", _KEY_SECONDS, "NX")
        pipeline.execute_command("INCR", key)
        pipeline.execute_command("EXEC")
        replies: list[Any] = pipeline.execute(raise_on_error=False)
        *queued, counted = replies
        for reply in (*queued, *(counted if isinstance(counted, list) else [counted])):
            if isinstance(reply, Exception):
                raise reply
        counts.append(counted[-1])
    if counts[0] >= counts[1]:
        raise UnusableRedis(Reason.WRITE_REFUSED)


def _sentinel(target: RedisTarget, round_: _Round) -> Report:
    return _server(target, _master(target, round_), round_)


def _master(target: RedisTarget, round_: _Round) -> Node:
    """The primary that the first answering Sentinel names; the others are only checked for an answer."""
    address: tuple[str, int] | None = None
    answered = False
    for node in target.nodes:
        try:
            with round_.one(), _closing(sentinel_node(target, node)) as client:
                resolve(node)
                found: Any = client.sentinel_get_master_addr_by_name(target.master)
        except ERRORS:
            continue
        answered = True
        address = address or found
    if address is None:
        raise UnusableRedis(Reason.UNKNOWN_MASTER if answered else Reason.NO_SENTINEL)
    return Node(str(address[0]), int(address[1]))


def _cluster(target: RedisTarget, round_: _Round) -> Report:
    """Every primary is asked to keep a key of its own slots: losing one of them loses a part of all rate limits."""
    shards = _shards(target, round_)
    if shards is None:
        raise UnusableRedis(Reason.CLUSTER_INCOMPLETE)
    reports = [_server(target, node, round_, (first, last)) for node, first, last in shards]
    missing = _SLOTS - sum(last - first + 1 for _, first, last in shards)
    worst = next((each for each in reports if not each.connected), None)
    worst = worst or next((each for each in reports if not each.usable), None)
    slowest = max(reports, key=lambda each: each.latency_ms or 0.0, default=None)
    latency = slowest.latency_ms if slowest else None
    if missing or (worst is not None and not worst.connected):
        return Report(connected=False, latency_ms=latency, reason=Reason.CLUSTER_INCOMPLETE, mode="cluster")
    if worst is not None:
        return Report(**{**vars(worst), "latency_ms": latency, "mode": "cluster"})
    return Report(connected=True, latency_ms=latency, writable=True, mode="cluster", role="master")


def _shards(target: RedisTarget, round_: _Round) -> list[tuple[Node, int, int]] | None:
    """(primary, first slot, last slot) of each range, from the first node that answers; None when one is missing.

    If no node answers, raises the first one's error.
    """
    first_error: UnusableRedis | None = None
    for node in target.nodes:
        try:
            with round_.one(), _closing(data_node(target, node)) as client:
                resolve(node)
                client.response_callbacks.clear()  # as the server says it
                ranges: Any = client.execute_command("CLUSTER SLOTS")
                # ioredis asks for it, and uses no cluster that says "fail".
                state: str = client.execute_command("CLUSTER INFO")
            break
        except ERRORS as error:
            closer = refined(reason_for(error), host=node.host, port=node.port, tls=target.tls)
            first_error = first_error or UnusableRedis(closer)
    else:
        raise first_error or UnusableRedis(Reason.CLUSTER_INCOMPLETE)
    if not ranges or "cluster_state:fail" in state:
        return None
    # None is cluster-preferred-endpoint-type unknown-endpoint. Redis means the address that was asked; ioredis leaves
    # such nodes out. "?" is a hostname that was never set.
    if any(primary[0] in (None, "", "?") for _, _, primary, *_ in ranges):
        raise UnusableRedis(Reason.CLUSTER_HIDDEN)
    return [(Node(primary[0], primary[1]), first, last) for first, last, primary, *_ in ranges]
