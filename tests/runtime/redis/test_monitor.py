"""What the probe's function does with its events: rounds, inventories, the operator's question, and the gate."""

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import pytest

from infra_runtime.contract.redis_url import InvalidRedisUrl
from infra_runtime.custom_resource import Request
from infra_runtime.redis import monitor
from infra_runtime.redis.failure_reasons import Reason
from simulators.http_server import send, serving
from simulators.redis.server import Server

PASSWORD = "s3cret-of-the-tests"
Documents = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def url(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets what the secret holds."""
    held: list[str] = []
    manager = SimpleNamespace(get_secret_value=lambda **_: {"SecretString": held[-1]})
    monkeypatch.setattr(monitor, "client", lambda service, *, seconds: manager)
    monkeypatch.setattr(monitor, "_last", {})
    for name, value in {"URL_SECRET": "url", "ENVIRONMENT": "test", "INSTANCE": "main"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HEALTH_URLS", raising=False)
    return held.append


@pytest.fixture
def documents(capsys: pytest.CaptureFixture[str]) -> Documents:
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replaces sleeping: records the seconds and advances the clock."""
    found: list[float] = []
    real = time.monotonic
    monkeypatch.setattr(time, "sleep", found.append)
    monkeypatch.setattr(time, "monotonic", lambda: real() + sum(found))
    return found


def of(server: Server) -> str:
    return f"redis://:{PASSWORD}@127.0.0.1:{server.port}"


def test_a_run_is_two_rounds_half_a_minute_apart(
    server: Server, url: Callable[[str], None], documents: Documents, slept: list[float]
) -> None:
    url(of(server))
    assert monitor.handler({"source": "aws.events"}, None) is None
    found = documents()
    assert [each["Unusable"] for each in found] == [0, 0]
    assert [round(each) for each in slept] == [30]


def test_the_operators_question_is_answered_and_not_measured(
    server: Server, url: Callable[[str], None], documents: Documents
) -> None:
    url(of(server))
    answer = monitor.handler({"report": True}, None)
    assert json.loads(json.dumps(answer))["connected"] is True
    assert documents() == []


def test_keys_in_redis_are_counted_by_prefix(server: Server, url: Callable[[str], None], documents: Documents) -> None:
    client = server.client()
    for prefix, count, seconds in (("ratelimit:", 7, 60), ("csrf:", 3, 86400), ("session:", 2, 60), ("stray", 4, None)):
        for number in range(count):
            client.set(f"{prefix}{number}", "x", ex=seconds)
    client.set("ratelimit:probe:1", "x", ex=60)
    url(of(server))
    monitor.handler({"inventory": True}, None)
    (found,) = documents()
    counted = {
        key: found[key] for key in ("KeysRatelimit", "KeysCsrf", "KeysSession", "KeysOther", "KeysWithoutExpiry")
    }
    assert counted == {
        "KeysRatelimit": 7,
        "KeysCsrf": 3,
        "KeysSession": 2,
        "KeysOther": 4,
        "KeysWithoutExpiry": 4,
    }
    assert found["MemoryUsedBytes"] > 500_000
    assert 0 < found["ConnectionsPercent"] < 1
    # Without a limit there is no percentage.
    assert "MemoryUsedPercent" not in found
    client.config_set("maxmemory", "100mb")
    monitor.handler({"inventory": True}, None)
    (found,) = documents()
    assert found["MemoryUsedPercent"] == pytest.approx(found["MemoryUsedBytes"] / 2**20, rel=0.01)


def test_many_keys_are_estimated_from_some_of_them(
    server: Server, url: Callable[[str], None], documents: Documents
) -> None:
    client = server.client()
    client.execute_command("DEBUG", "POPULATE", "60000", "ratelimit", "10")
    client.execute_command("DEBUG", "POPULATE", "20000", "csrf", "10")
    url(of(server))
    monitor.handler({"inventory": True}, None)
    (found,) = documents()
    assert found["KeysRatelimit"] == pytest.approx(60_000, rel=0.1)
    assert found["KeysCsrf"] == pytest.approx(20_000, rel=0.2)
    assert client.info("commandstats")["cmdstat_scan"]["calls"] <= 40


def test_a_cluster_is_counted_whole(six_nodes: list[Server], url: Callable[[str], None], documents: Documents) -> None:
    for number, node in enumerate(six_nodes[:3]):
        node.client().execute_command("DEBUG", "POPULATE", str(number + 1), "ratelimit")
    url(f"redis://:{PASSWORD}@127.0.0.1:{six_nodes[0].port}?cluster=true")
    monitor.handler({"inventory": True}, None)
    (found,) = documents()
    # DEBUG POPULATE does not care whose slots the keys are in, and neither does a count.
    assert found["KeysRatelimit"] == 1 + 2 + 3


def test_a_failed_inventory_publishes_nothing(server: Server, url: Callable[[str], None], documents: Documents) -> None:
    server.kill()
    url(of(server))
    assert monitor.handler({"inventory": True}, None) is None
    assert documents() == []


@pytest.mark.parametrize(
    ("status", "body", "unusable", "reason"),
    [
        (200, {"connected": True, "latencyMs": 1}, 0, None),
        (503, {"connected": False, "error": "x"}, 1, Reason.SERVICE_DISCONNECTED),
        # An answer outside of the contract says nothing about Redis.
        (404, {"error": "not released yet"}, 0, None),
        (502, ["<html>"], 0, None),
        (200, {"connected": "yes"}, 0, None),
    ],
)
def test_the_services_own_report_counts(
    *,
    status: int,
    body: Any,
    unusable: int,
    reason: Reason | None,
    server: Server,
    url: Callable[[str], None],
    documents: Documents,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        send(handler, status, json.dumps(body).encode())

    url(of(server))
    with serving(respond) as root:
        monkeypatch.setenv("HEALTH_URLS", f"{root}/api/health/redis")
        monitor._watch()
    (found,) = documents()
    assert (found["Unusable"], found["ConnectionFailure"], found["reason"]) == (unusable, 0, reason)
    is_contract = isinstance(body, dict) and isinstance(body.get("connected"), bool)
    assert found.get("ServiceConnectionFailure") == (unusable if is_contract else None)


def verify(kind: Any = "Create", *, seconds: float = 60) -> str:
    request = Request(kind, {"Url": "url"}, "redis/main" if kind != "Create" else None)
    return monitor.verify(request, deadline=time.monotonic() + seconds).physical_id


@pytest.fixture
def deployable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Accepts a server without TLS; another test checks that TLS is required."""
    monkeypatch.setattr(monitor, "require_deployable", lambda target: None)
    yield


def test_the_gate_opens_for_what_can_be_used(server: Server, url: Callable[[str], None], deployable: None) -> None:
    url(of(server))
    assert verify() == "redis/main"


def test_the_gate_waits_for_a_server_that_is_still_starting(
    server: Server, url: Callable[[str], None], deployable: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.kill()
    url(of(server))
    monkeypatch.setattr(time, "sleep", lambda _: server.start())
    assert verify() == "redis/main"


def test_the_gate_says_why_it_stays_closed(
    server: Server, url: Callable[[str], None], deployable: None, slept: list[float]
) -> None:
    server.kill()
    url(of(server))
    with pytest.raises(monitor.Unverified, match=r"^main: nothing listens on the port \[refused\]; see docs/runbooks"):
        verify(seconds=60)
    assert 50 <= sum(slept) <= 60


@pytest.mark.parametrize("held", ["redis://:p@h:1", "rediss://h:1", "https://h"])
def test_the_gate_does_not_try_what_must_not_be_deployed(
    held: str, url: Callable[[str], None], slept: list[float]
) -> None:
    url(held)
    with pytest.raises(InvalidRedisUrl):
        verify()
    assert slept == []


def test_a_deletion_does_not_check_the_service(url: Callable[[str], None]) -> None:
    url("https://h")
    assert verify("Delete") == "redis/main"
