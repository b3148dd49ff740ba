"""How many jobs wait in the queues of workers, and for how long nothing has left one.

Knows lists and sorted sets: BullMQ, Bull, Sidekiq, Celery, RQ and Resque keep the names or the bodies of their waiting
jobs in these. It compares bodies, but neither stores nor prints them.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from redis.exceptions import MovedError

from infra_runtime.contract.redis_url import RedisTarget
from infra_runtime.redis.connections import data_node, resolve, within
from infra_runtime.redis.probe import primaries

logger = logging.getLogger(__name__)

_SECONDS = 10.0


class NoQueue(Exception):
    """The key has another type, whose length is no number of waiting jobs."""


@dataclass(frozen=True)
class _Key:
    length: int
    ends: tuple[int, ...]
    """Hashes of the first element and of the last one; nothing where there is none."""

    def has_lost_one_since(self, before: "_Key") -> bool:
        """Jobs arrive at one end: if both ends are others than before, one has been taken, however many have come."""
        if not before.ends or not self.ends:
            return self.length < before.length
        is_another = [now != then for now, then in zip(self.ends, before.ends, strict=True)]
        return self.length < before.length or all(is_another)


@dataclass(frozen=True)
class Size:
    """Size of one service's queue."""

    keys: Mapping[str, _Key]

    @property
    def waiting(self) -> int:
        return sum(each.length for each in self.keys.values())


def sizes(target: RedisTarget, queues: Mapping[str, Sequence[str]]) -> dict[str, Size]:
    """Sizes by service, without services that have a key which is no queue. Raises one of `failure_reasons.ERRORS`."""
    return within(_SECONDS, lambda: _sizes(target, queues))


def _sizes(target: RedisTarget, queues: Mapping[str, Sequence[str]]) -> dict[str, Size]:
    found: dict[str, _Key] = {}
    for node in primaries(target):
        resolve(node)
        with closing(data_node(target, node)) as client:
            for key in {key for keys in queues.values() for key in keys} - found.keys():
                try:
                    found[key] = _read(client, key)
                except MovedError:
                    continue  # Another primary of the cluster has it.
                except NoQueue as error:
                    logger.error("%s", error)
    measured = {service: keys for service, keys in queues.items() if found.keys() >= set(keys)}
    return {service: Size({key: found[key] for key in keys}) for service, keys in measured.items()}


def _read(client: Any, key: str) -> _Key:
    kind = client.type(key)
    if kind == "none":
        return _Key(0, ())
    if kind == "list":
        length, ends = client.llen(key), (client.lindex(key, 0), client.lindex(key, -1))
    elif kind == "zset":
        length, ends = client.zcard(key), (client.zrange(key, 0, 0), client.zrange(key, -1, -1))
    else:
        raise NoQueue(f"{key} is a {kind}: expected a list or a sorted set")
    return _Key(length, (hash(str(ends[0])), hash(str(ends[1]))))


@dataclass
class Watch:
    """Keeps its state in memory: a new process counts from zero, so an alarm comes later."""

    now: Callable[[], float] = time.monotonic
    _since: dict[str, tuple[Size, float]] = field(default_factory=dict)

    def minutes_stuck(self, service: str, size: Size) -> float:
        """How long jobs have waited without one being taken. 0 while none waits."""
        now = self.now()
        before, since = self._since.get(service, (size, now))
        moves = size.waiting == 0 or any(
            each.has_lost_one_since(before.keys[key]) for key, each in size.keys.items() if key in before.keys
        )
        self._since[service] = (size, now if moves else since)
        return (now - self._since[service][1]) / 60
