"""What users of a service see while its Redis is broken.

A small service with the published client (docs/redis-client.mjs) gets a stream of requests, while its real Redis is
broken in one of eight ways.
"""

import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from simulators.redis.proxy import Gate
from simulators.redis.server import Server, running, until

_ROOT = Path(__file__).resolve().parent.parent
_CLIENT = _ROOT / "tests" / "client"
_PASSWORD = "what-stands-for-a-password"  # noqa: S105
_CONCURRENCY, _PER_SECOND = 20, 250
# Counts from the first failure: three of them open the breaker, each within the deadline.
_OPENS_WITHIN_MS = 1000
_RECOVERS_WITHIN_SECONDS = 30


@contextmanager
def service(url: str, **variables: str) -> Iterator[int]:
    """Runs the service with the published client during the block. Yields its port."""
    with subprocess.Popen(
        ["node", _CLIENT / "service.mjs"],
        cwd=_ROOT,
        env={"REDIS_URL": url, "PATH": os.environ["PATH"], **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


def ask(port: int, path: str) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def load(port: int, requests: int) -> list[dict[str, Any]]:
    command = ["node", str(_CLIENT / "load.mjs"), *map(str, (port, requests, _CONCURRENCY, _PER_SECOND))]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    outcomes: list[dict[str, Any]] = json.loads(done.stdout)
    return sorted(outcomes, key=lambda each: each["at"])


@dataclass
class Stand:
    """A test setup: a Redis behind a proxy; both can be broken."""

    server: Server
    gate: Gate

    @property
    def url(self) -> str:
        return f"redis://:{_PASSWORD}@127.0.0.1:{self.gate.port}"


Fault = Callable[[Stand], Callable[[], object]]
"""Breaks the stand; returns what repairs it."""


def _killed(stand: Stand) -> Callable[[], object]:
    stand.server.kill()
    return stand.server.start


def _frozen(stand: Stand) -> Callable[[], object]:
    stand.server.freeze()
    return stand.server.thaw


def _configured(name: str, broken: str, repaired: str) -> Fault:
    def fault(stand: Stand) -> Callable[[], object]:
        client = stand.server.client()
        client.config_set(name, broken)
        return lambda: client.config_set(name, repaired)

    return fault


def _read_only(stand: Stand) -> Callable[[], object]:
    client = stand.server.client()
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    return lambda: client.execute_command("REPLICAOF", "NO", "ONE")


def _another_password(stand: Stand) -> Callable[[], object]:
    client = stand.server.client()
    client.config_set("requirepass", "another")
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    return lambda: client.config_set("requirepass", _PASSWORD)


def _no_connection_left(stand: Stand) -> Callable[[], object]:
    client = stand.server.client()
    client.config_set("maxclients", "1")
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    return lambda: client.config_set("maxclients", "1000")


def _slow(stand: Stand) -> Callable[[], object]:
    stand.gate.delay_ms = 400
    return stand.gate.open


def _dropped(stand: Stand) -> Callable[[], object]:
    stand.gate.drops = True
    return stand.gate.open


FAULTS: dict[str, Fault] = {
    "killed": _killed,
    "frozen": _frozen,
    "out of memory": _configured("maxmemory", "1mb", "0"),
    "read-only": _read_only,
    "another password": _another_password,
    "no connection left": _no_connection_left,
    "400 ms away": _slow,
    "connections dropped": _dropped,
}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Milliseconds, unless the name says otherwise."""

    requests: int
    server_errors: int
    """5xx, or no answer at all."""
    not_enforced: int
    """Requests that were allowed because Redis could not count them."""
    p99_before: float
    p99_during: float
    p99_open: float
    """99th percentile after the breaker has opened, with the requests that try Redis again."""
    normal_after_seconds: float
    """Time from the repair until rates are limited again."""
    reported: int
    recoveries: int
    """How often the client reported the outage and its end to the application."""

    @property
    def added_p99(self) -> float:
        return self.p99_during - self.p99_before

    @property
    def added_p99_open(self) -> float:
        return self.p99_open - self.p99_before

    def document(self) -> dict[str, float]:
        return {**asdict(self), "added_p99": self.added_p99, "added_p99_open": self.added_p99_open}


@contextmanager
def stand(directory: Path) -> Iterator[Stand]:
    server = Server(directory / "server", password=_PASSWORD)
    with ExitStack() as stack:
        stack.enter_context(running(server))
        yield Stand(server, stack.enter_context(Gate.before(server.port)))


def measure(fault: Fault, *, directory: Path, requests: int) -> Figures:
    with stand(directory) as found, service(found.url) as port:
        _until_enforced(port)
        load(port, requests // 4)  # Until Node.js has compiled everything.
        before = load(port, requests)
        repair = fault(found)
        during = load(port, requests)
        repaired = time.monotonic()
        repair()
        _until_enforced(port)
        normal = time.monotonic() - repaired
        _, reported = ask(port, "/reported")
    first = next((each["at"] for each in during if not each.get("enforced")), 0.0)
    opened = [each for each in during if each["at"] > first + _OPENS_WITHIN_MS]
    return Figures(
        requests=len(during),
        server_errors=sum(each["status"] == 0 or each["status"] >= 500 for each in during),
        not_enforced=sum(each.get("enforced") is False for each in during),
        p99_before=_p99(before),
        p99_during=_p99(during),
        p99_open=_p99(opened or during),
        normal_after_seconds=normal,
        reported=len(reported["faults"]),
        recoveries=reported["recoveries"],
    )


def _until_enforced(port: int) -> None:
    def enforced() -> bool:
        return bool(ask(port, "/limited?key=looking&limit=1000000")[1].get("enforced"))

    until(enforced, "rates are limited again", seconds=_RECOVERS_WITHIN_SECONDS)


def _p99(outcomes: list[dict[str, Any]]) -> float:
    times = sorted(each["ms"] for each in outcomes)
    found: float = times[min(len(times) - 1, int(len(times) * 0.99))]
    return found
