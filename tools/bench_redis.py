"""Benchmark of Redis clients: fail-open under eight faults, and how long clients take to follow a failover."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from infra_runtime.contract.redis_url import parse
from infra_runtime.redis.probe import probe
from rehearsal.fail_open import FAULTS, ask, measure, service
from simulators.redis.server import cluster, sentinels, until

_REQUESTS = 2000
_PASSWORD = "what-stands-for-a-password"  # noqa: S105
_KEYS = 12


def measured() -> dict[str, dict[str, dict[str, float]]]:
    """Milliseconds for requests, seconds for failovers."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        faults = {
            name: measure(fault, directory=root / name.replace(" ", "-"), requests=_REQUESTS).document()
            for name, fault in FAULTS.items()
        }
        failover = {"Sentinel": _sentinel(root / "sentinels"), "cluster": _cluster(root / "cluster")}
    return {"fail open": faults, "seconds to follow a failover": failover}


def _sentinel(directory: Path) -> dict[str, float]:
    with sentinels(directory, password=_PASSWORD) as found:
        nodes = ",".join(f"127.0.0.1:{each.port}" for each in found.sentinels)
        return _after(f"redis-sentinel://:{_PASSWORD}@{nodes}/mymaster", found.primary.kill)


def _cluster(directory: Path) -> dict[str, float]:
    with cluster(directory, password=_PASSWORD) as nodes:
        addresses = ",".join(f"127.0.0.1:{each.port}" for each in nodes)
        return _after(f"redis://:{_PASSWORD}@{addresses}", nodes[0].kill)


def _after(url: str, fail: Callable[[], None]) -> dict[str, float]:
    target = parse(url)
    with service(url) as port:

        def enforced() -> bool:
            return all(ask(port, f"/limited?key=user{key}&limit=9999")[1]["enforced"] for key in range(_KEYS))

        until(enforced, "rates are limited", seconds=60)
        started = time.monotonic()
        fail()
        until(lambda: probe(target).usable, "writes are back", seconds=60)
        writes = time.monotonic() - started
        until(enforced, "rates are limited", seconds=60)
        return {"writes are back": writes, "the service limits rates again": time.monotonic() - started}
