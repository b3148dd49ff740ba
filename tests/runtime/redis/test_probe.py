"""Every fault on real servers: the right metrics, level and reason, and an end within the round's time."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis

from infra_runtime.contract.redis_url import parse
from infra_runtime.redis import monitor
from infra_runtime.redis.failure_reasons import EXPLANATIONS, Reason
from infra_runtime.redis.probe import ROUND_SECONDS, probe
from simulators.redis import proxy
from simulators.redis.authority import Authority
from simulators.redis.server import Sentinels, Server, running

PASSWORD = "s3cret-of-the-tests"
# Looking closer at what was silent takes a little more than the round itself.
_MOST_SECONDS = ROUND_SECONDS + 2


@dataclass
class Round:
    """The metrics that one round has logged, as CloudWatch reads them."""

    metrics: dict[str, float]
    report: dict[str, Any]
    seconds: float


Check = Callable[[str], Round]


class Manager:
    """Secrets Manager with the probe's secret."""

    def __init__(self) -> None:
        self.url: str | None = None

    def get_secret_value(self, **asked: str) -> dict[str, str]:
        if self.url is None:
            raise ConnectionError(asked)
        return {"SecretString": self.url}


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> Manager:
    found = Manager()
    monkeypatch.setattr(monitor, "client", lambda service, *, seconds: found)
    monkeypatch.setattr(monitor, "_last", {})
    for name, value in {"URL_SECRET": "url", "ENVIRONMENT": "test", "INSTANCE": "main"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("HEALTH_URLS", raising=False)
    return found


@pytest.fixture
def check(manager: Manager, capsys: pytest.CaptureFixture[str]) -> Check:
    def once(url: str) -> Round:
        manager.url = url
        started = time.perf_counter()
        monitor._watch()
        seconds = time.perf_counter() - started
        document = json.loads(capsys.readouterr().out)
        (declared,) = document["_aws"]["CloudWatchMetrics"]
        assert declared["Namespace"] == "Infra/Redis"
        assert declared["Dimensions"] == [["Environment", "Instance"]]
        assert (document["Environment"], document["Instance"]) == ("test", "main")
        assert PASSWORD not in json.dumps(document)
        assert seconds < _MOST_SECONDS
        names = [each["Name"] for each in declared["Metrics"]]
        return Round({name: document.pop(name) for name in names}, document, seconds)

    return once


def _is(found: Round, reason: Reason, *, connected: bool = False) -> None:
    assert found.report["reason"] == reason
    assert found.report["error"] == EXPLANATIONS[reason]
    assert found.report["level"] == "critical"
    assert found.report["connected"] is connected
    assert found.metrics["Unusable"] == 1
    assert found.metrics["ConnectionFailure"] == int(not connected)
    # Without a connection there is no data point, rather than a second alarm about the same outage.
    assert found.metrics.get("WriteOk") == (0 if connected else None)
    assert found.metrics["ErrorRatePercent"] > 0


def _is_well(found: Round) -> None:
    assert (found.report["reason"], found.report["level"]) == (None, "ok")
    assert "error" not in found.report
    assert found.metrics["Unusable"] == 0
    assert found.metrics["ConnectionFailure"] == 0
    assert found.metrics["WriteOk"] == 1
    assert found.metrics["ErrorRatePercent"] == 0
    assert 0 < found.metrics["PingMilliseconds"] == pytest.approx(found.report["latencyMs"], abs=0.01)


def url_of(server: Server, password: str = PASSWORD, user: str = "") -> str:
    scheme = "rediss" if server.certificate else "redis"
    return f"{scheme}://{user}:{password}@{server.address}:{server.port}"


def test_a_server_that_is_well(server: Server, check: Check) -> None:
    found = check(url_of(server))
    _is_well(found)
    assert (found.report["mode"], found.report["role"]) == ("standalone", "master")
    client = server.client()
    (key,) = client.scan_iter()
    assert key.startswith("ratelimit:probe:")
    assert 0 < client.ttl(key) <= 60, "what the probe leaves goes away"


def test_a_queue_on_a_server_that_may_evict_its_jobs_cannot_be_used(
    server: Server, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.client().config_set("maxmemory-policy", "volatile-ttl")
    _is_well(check(url_of(server)))
    monkeypatch.setenv("EVICTION", "false")
    found = check(url_of(server))
    assert (found.report["reason"], found.report["level"]) == (Reason.EVICTS, "critical")
    assert (found.metrics["Unusable"], found.metrics["WriteOk"]) == (1, 1)
    server.client().config_set("maxmemory-policy", "noeviction")
    _is_well(check(url_of(server)))


def test_a_queue_whose_user_may_not_ask_for_the_policy_is_no_fault(
    server: Server, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.client().config_set("maxmemory-policy", "volatile-ttl")
    server.client().acl_setuser(
        "probe", enabled=True, passwords=[f"+{PASSWORD}"], keys=["ratelimit:*"],
        commands=["+ping", "+multi", "+set", "+incr", "+exec"],
    )  # fmt: skip
    monkeypatch.setenv("EVICTION", "false")
    _is_well(check(url_of(server, user="probe")))


def test_a_server_that_is_well_over_tls(authority: Authority, tmp_path: Path, check: Check) -> None:
    server = Server(tmp_path / "tls", password=PASSWORD, certificate=authority.certificate("127.0.0.1"))
    with running(server):
        _is_well(check(url_of(server)))


def test_server_down(server: Server, check: Check) -> None:
    server.kill()
    _is(check(url_of(server)), Reason.REFUSED)


def test_server_frozen(server: Server, check: Check) -> None:
    server.freeze()
    _is(check(url_of(server)), Reason.SILENT)
    server.thaw()
    _is_well(check(url_of(server)))


def test_not_redis_at_all(check: Check) -> None:
    with proxy.says(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as port:
        _is(check(f"redis://127.0.0.1:{port}"), Reason.NOT_REDIS)


def test_a_listener_that_never_answers_is_reported(check: Check) -> None:
    with proxy.silent() as port:
        _is(check(f"redis://127.0.0.1:{port}"), Reason.SILENT)


def test_a_name_that_does_not_resolve(check: Check) -> None:
    _is(check("redis://nowhere.invalid"), Reason.DNS)


def test_a_name_server_that_does_not_answer(check: Check, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: time.sleep(60))
    _is(check("redis://slow.example.com"), Reason.DNS)


def test_wrong_password_and_wrong_user(server: Server, check: Check) -> None:
    _is(check(url_of(server, "another")), Reason.WRONG_CREDENTIALS)
    _is(check(url_of(server, PASSWORD, "nobody")), Reason.WRONG_CREDENTIALS)
    _is(check(f"redis://127.0.0.1:{server.port}"), Reason.WRONG_CREDENTIALS)


def test_a_user_who_may_not_ping_or_may_not_write(server: Server, check: Check) -> None:
    client = server.client()
    client.execute_command("ACL", "SETUSER", "mute", "on", f">{PASSWORD}", "~*", "+@all", "-ping")
    client.execute_command("ACL", "SETUSER", "reader", "on", f">{PASSWORD}", "~*", "+@read", "+ping")
    _is(check(url_of(server, user="mute")), Reason.NO_PERMISSION)
    _is(check(url_of(server, user="reader")), Reason.NO_PERMISSION, connected=True)


def test_a_user_who_may_do_no_more_than_needed_is_well(server: Server, check: Check) -> None:
    server.client().execute_command(
        "ACL", "SETUSER", "least", "on", f">{PASSWORD}", "~ratelimit:*", "+ping", "+multi", "+set", "+incr", "+exec"
    )
    found = check(url_of(server, user="least"))
    _is_well(found)
    assert (found.report["mode"], found.report["role"]) == (None, None)


@pytest.mark.parametrize(
    ("reason", "certificate"),
    [
        (Reason.TLS_EXPIRED, lambda authority: authority.certificate("127.0.0.1", expired=True)),
        (Reason.TLS_WRONG_HOST, lambda authority: authority.certificate("127.0.0.2", "localhost")),
        (Reason.TLS_UNTRUSTED, lambda authority: Authority().certificate("127.0.0.1")),
    ],
    ids=str,
)
def test_a_certificate_that_is_wrong(
    reason: Reason, certificate: Callable[[Authority], Any], authority: Authority, tmp_path: Path, check: Check
) -> None:
    server = Server(tmp_path / "tls", password=PASSWORD, certificate=certificate(authority))
    with running(server):
        _is(check(url_of(server)), reason)


def test_tls_on_one_side_only(authority: Authority, server: Server, tmp_path: Path, check: Check) -> None:
    _is(check(url_of(server).replace("redis://", "rediss://")), Reason.PLAIN_SERVER)
    secure = Server(tmp_path / "tls", password=PASSWORD, certificate=authority.certificate("127.0.0.1"))
    with running(secure):
        _is(check(url_of(secure).replace("rediss://", "redis://")), Reason.TLS_SERVER)


@pytest.mark.parametrize(("milliseconds", "level"), [(99, "ok"), (101, "warning")])
def test_the_threshold_of_latency_is_a_hundred_milliseconds(
    milliseconds: int, level: str, server: Server, check: Check
) -> None:
    with proxy.Gate.before(server.port, delay_ms=milliseconds) as gate:
        # A machine that is busy adds to a delay and never takes from it: one round in forty is as the delay is.
        for _ in range(40 if level == "ok" else 1):
            found = check(f"redis://:{PASSWORD}@127.0.0.1:{gate.port}")
            if found.report["level"] == level:
                break
    assert found.metrics["PingMilliseconds"] >= milliseconds
    assert (found.report["level"], found.metrics["Unusable"]) == (level, 0)


def test_a_server_that_answers_after_requests_have_given_up_cannot_be_used(server: Server, check: Check) -> None:
    with proxy.Gate.before(server.port, delay_ms=230) as gate:
        found = check(f"redis://:{PASSWORD}@127.0.0.1:{gate.port}")
    assert (found.report["reason"], found.report["level"]) == (Reason.TOO_SLOW, "critical")
    assert (found.metrics["Unusable"], found.metrics["ConnectionFailure"], found.metrics["WriteOk"]) == (1, 0, 1)


def test_a_database_that_the_server_does_not_have(tmp_path: Path, check: Check) -> None:
    few = Server(tmp_path / "few", password=PASSWORD, options=["databases 4"])
    with running(few):
        _is_well(check(f"{url_of(few)}/3"))
        _is(check(f"{url_of(few)}/4"), Reason.NO_DATABASE)


def test_slow_commands_of_others_are_latency_and_no_failure(server: Server, check: Check) -> None:
    over = threading.Event()

    def keep_it_busy() -> None:
        client = server.client()
        while not over.is_set():
            client.execute_command("DEBUG", "SLEEP", "0.08")

    # Two clients: while one gets its reply, the other's command runs.
    busy = [threading.Thread(target=keep_it_busy) for _ in range(2)]
    for each in busy:
        each.start()
    try:
        # On a busy machine its pings may come first, or take much longer, and again: not in ten rounds.
        for _ in range(10):
            found = check(url_of(server))
            if found.report["level"] == "warning":
                break
    finally:
        over.set()
        for each in busy:
            each.join()
    assert (found.report["level"], found.report["reason"], found.metrics["Unusable"]) == ("warning", None, 0)
    assert found.metrics["PingMilliseconds"] > 100


def test_too_many_clients_is_a_reason(server: Server, check: Check) -> None:
    server.client().config_set("maxclients", 1)
    with server.client() as first:
        first.ping()
        _is(check(url_of(server)), Reason.TOO_MANY_CLIENTS)


def test_out_of_memory(server: Server, check: Check) -> None:
    client = server.client()
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1mb")
    assert client.ping()
    _is(check(url_of(server)), Reason.OUT_OF_MEMORY, connected=True)


def test_a_read_only_replica_and_one_that_lost_its_master(server: Server, tmp_path: Path, check: Check) -> None:
    options = [f"replicaof 127.0.0.1 {server.port}", "replica-serve-stale-data no"]
    replica = Server(tmp_path / "replica", password=PASSWORD, options=options)
    with running(replica):
        client = replica.client()
        give_up = time.monotonic() + 10
        while client.info("replication")["master_link_status"] != "up" and time.monotonic() < give_up:
            time.sleep(0.05)
        found = check(url_of(replica))
        _is(found, Reason.READ_ONLY, connected=True)
        assert found.report["role"] == "slave"
        server.kill()
        while client.info("replication")["master_link_status"] == "up":
            time.sleep(0.05)
        _is(check(url_of(replica)), Reason.MASTER_DOWN)


def test_loading(server: Server, check: Check) -> None:
    client = server.client()
    client.execute_command("DEBUG", "POPULATE", "200000")
    client.save()
    server.kill()
    configuration = server.directory / "redis.conf"
    configuration.write_text(
        configuration.read_text() + "key-load-delay 200\nloading-process-events-interval-bytes 1024\n"
    )
    server.start(wait=False)
    give_up = time.monotonic() + 20
    while (found := check(url_of(server))).report["reason"] != Reason.LOADING and time.monotonic() < give_up:
        time.sleep(0.05)
    _is(found, Reason.LOADING)


def test_a_connection_killed_while_idle_is_no_outage(server: Server, check: Check) -> None:
    """The next round has a connection of its own; one that is killed in the middle of a round is counted."""
    check(url_of(server))
    server.client().execute_command("CLIENT", "KILL", "TYPE", "normal")
    _is_well(check(url_of(server)))


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (b"-ERR max daily request limit exceeded. Limit: 10000, Usage: 10000.\r\n", Reason.QUOTA),
        (b"-ERR max requests limit exceeded. Limit: 500000, Usage: 500000.\r\n", Reason.QUOTA),
        (b"-ERR max concurrent connections exceeded.\r\n", Reason.TOO_MANY_CLIENTS),
        (b"-ERR max database size exceeded.\r\n", Reason.OUT_OF_MEMORY),
        (b"*3\r\n:1\r\n", Reason.SILENT),
        (b"%1\r\n", Reason.NOT_REDIS),
    ],
)
def test_refusals_of_upstash_and_unknown_ones_have_their_reason(says: bytes, reason: Reason, check: Check) -> None:
    with proxy.says(says) as port:
        _is(check(f"redis://127.0.0.1:{port}"), reason)


def test_no_round_is_longer_than_its_time() -> None:
    with proxy.silent() as port:
        found = probe(parse(f"redis://127.0.0.1:{port}"), seconds=0.1)
    assert (found.reason, found.failed) == (Reason.OUT_OF_TIME, 1)


def unavailable(**_: str) -> dict[str, str]:
    raise ConnectionError


def test_a_url_that_is_none_and_a_secret_that_cannot_be_read(manager: Manager, check: Check, server: Server) -> None:
    _is(check("redis://h/1/2"), Reason.BAD_URL)
    _is(check(f"redis://:{PASSWORD}@h@h"), Reason.BAD_URL)
    _is_well(check(url_of(server)))
    well, manager.get_secret_value = url_of(server), unavailable  # type: ignore[method-assign]
    # What was read last goes on: Secrets Manager's outage is not Redis'.
    _is_well(check(well))
    monitor._last.clear()
    _is(check(well), Reason.NO_SECRET)


def sentinel_url(found: Sentinels, master: str = "mymaster") -> str:
    nodes = ",".join(f"127.0.0.1:{each.port}" for each in found.sentinels)
    return f"redis-sentinel://:{PASSWORD}@{nodes}/{master}"


def _until_well(check: Check, url: str, seconds: float) -> Round:
    started = time.monotonic()
    while (found := check(url)).metrics["Unusable"] and time.monotonic() - started < seconds:
        time.sleep(0.1)
    return found


def test_sentinels_that_are_well_fail_over_and_go(three_sentinels: Sentinels, check: Check) -> None:
    url = sentinel_url(three_sentinels)
    _is_well(check(url))
    _is(check(sentinel_url(three_sentinels, "another")), Reason.UNKNOWN_MASTER)
    three_sentinels.sentinels[0].kill()
    found = check(url)
    assert (found.report["level"], found.report["reason"]) == ("ok", None)
    assert found.metrics["ErrorRatePercent"] > 0, "the missing Sentinel is noticed"
    three_sentinels.sentinels[0].start()
    time.sleep(2)  # until the others count it again
    three_sentinels.primary.kill()
    assert check(url).metrics["Unusable"] == 1
    _is_well(_until_well(check, url, 5))
    for each in three_sentinels.sentinels:
        each.kill()
    _is(check(url), Reason.NO_SENTINEL)


def test_a_cluster_that_is_well_and_loses_a_primary(six_nodes: list[Server], check: Check) -> None:
    nodes = ",".join(f"127.0.0.1:{each.port}" for each in six_nodes)
    whole = f"redis://:{PASSWORD}@{nodes}"
    _is_well(check(whole))
    _is_well(check(f"{url_of(six_nodes[2])}?cluster=true"))
    for primary in six_nodes[:3]:  # whichever of them has the slot of one key or another
        plain = check(url_of(primary))
        _is(plain, Reason.IS_A_CLUSTER, connected=True)
        assert plain.report["mode"] == "cluster"
    client = six_nodes[2].client()
    client.execute_command("CLUSTER", "DELSLOTSRANGE", "16000", "16010")
    _is(check(url_of(six_nodes[2]) + "?cluster=true"), Reason.CLUSTER_INCOMPLETE)
    client.execute_command("CLUSTER", "ADDSLOTSRANGE", "16000", "16010")
    _is_well(_until_well(check, whole, 5))
    six_nodes[1].kill()
    _is(check(whole), Reason.CLUSTER_INCOMPLETE)
    _is_well(_until_well(check, whole, 7))


def test_a_cluster_url_of_a_single_server_is_reported(server: Server, check: Check) -> None:
    _is(check(f"{url_of(server)}?cluster=true"), Reason.NOT_A_CLUSTER)


def test_every_node_of_a_list_is_tried(six_nodes: list[Server], check: Check) -> None:
    alive = six_nodes[0]
    found = check(f"redis://:{PASSWORD}@127.0.0.1:1,127.0.0.1:{alive.port}")
    assert (found.report["level"], found.metrics["Unusable"]) == ("ok", 0)
    assert found.metrics["ErrorRatePercent"] > 0


def test_a_ping_alone_would_have_missed_the_fault(server: Server) -> None:
    """The positive control of the write: faults that only a write detects."""
    client = server.client()
    client.config_set("maxmemory-policy", "noeviction")
    client.config_set("maxmemory", "1mb")
    assert client.ping() is True
    assert not probe(parse(url_of(server))).usable
    with pytest.raises(redis.exceptions.OutOfMemoryError):
        client.set("a", "b")
