"""What docs/redis-client.md promises of docs/redis-client.mjs, with ioredis itself against real servers.

How long things take is measured by `make bench`; here is what has to be so however slow the machine is.
"""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings

from infra_runtime.contract.redis_url import InvalidRedisUrl, RedisTarget, from_environment
from infra_runtime.redis import health
from rehearsal.fail_open import FAULTS, Figures, ask, measure, service, stand
from simulators.redis import proxy
from simulators.redis.authority import Authority
from simulators.redis.server import Server, cluster, running, sentinels, until
from tests.node_reader import Read, reader
from tests.runtime.contract.test_redis_url import REFUSED, TAKEN, fuzzed, targets

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "s3cret-of-the-tests"


@pytest.fixture(scope="module")
def read_by_client() -> Iterator[Read]:
    with reader("import { readUrl as read } from './docs/redis-client.mjs';") as read:
        yield read


def _as_client(target: RedisTarget) -> dict[str, Any]:
    whole = {
        "form": target.form,
        "nodes": [{"host": node.host, "port": node.port} for node in target.nodes],
        "tls": target.tls,
        "username": target.username,
        "password": target.password,
        "database": target.database,
        "master": target.master,
        "sentinelUsername": target.sentinel_username,
        "sentinelPassword": target.sentinel_password,
    }
    return {key: value for key, value in whole.items() if value is not None}


def _reads_the_same(read_by_client: Read, variables: dict[str, str]) -> bool:
    """Asserts that both refuse it or read the same from it. Returns whether it is valid."""
    found = read_by_client(variables)
    try:
        target = from_environment(variables)
    except InvalidRedisUrl:
        target = None
    if target is None:
        assert found.keys() == {"error"}, f"the client reads {variables}: {found}"
        assert "REDIS_" in found["error"]
        return False
    assert found == _as_client(target), variables
    return True


@pytest.mark.parametrize("url", TAKEN, ids=str)
def test_the_client_takes_what_the_infrastructure_takes(url: str, read_by_client: Read) -> None:
    assert _reads_the_same(read_by_client, {"REDIS_URL": url})


@pytest.mark.parametrize("url", REFUSED, ids=lambda url: repr(url)[:40])
def test_the_client_refuses_what_the_infrastructure_refuses(url: str, read_by_client: Read) -> None:
    """It fails when the service starts, rather than connecting without TLS or to keys of others."""
    assert not _reads_the_same(read_by_client, {"REDIS_URL": url})


_OVERRIDES = {
    "REDIS_PASSWORD": ["", "a", "p%40", "é", "s3cret"],
    "REDIS_TLS": ["", "true", "false", "yes", "TRUE", "1"],
    "REDIS_DB": ["", "0", "3", "15", "16", "-1", "03", "1\n", "١", "x"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in _OVERRIDES for value in _OVERRIDES[name]])
def test_both_read_the_overrides_alike(name: str, value: str, read_by_client: Read) -> None:
    for url in (*TAKEN, "redis://u@h", "redis://u:a@h/3", "rediss://h,i", "redis-sentinel://u@s/m"):
        _reads_the_same(read_by_client, {"REDIS_URL": url, name: value})
    assert not _reads_the_same(read_by_client, {name: value})


@settings(max_examples=300, deadline=None)
@given(targets())
def test_the_client_reads_every_url_that_is_composed(read_by_client: Read, target: RedisTarget) -> None:
    assert read_by_client({"REDIS_URL": target.url()}) == _as_client(target)


def test_probe_and_client_accept_the_same_random_urls(read_by_client: Read) -> None:
    chance = random.Random(20261126)
    taken = sum(
        _reads_the_same(read_by_client, variables)
        for variables in (
            {"REDIS_URL": url}
            | {name: chance.choice(values) for name, values in _OVERRIDES.items() if chance.random() < 0.1}
            for url in fuzzed(chance, int(os.environ.get("REDIS_URLS", "10000")))
        )
    )
    assert taken > 100, "the fuzzer has lost its way"


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figures]:
    """Runs all faults in parallel, each with its own service and Redis."""

    folder = tmp_path_factory.mktemp("faults")

    def one(name: str) -> Figures:
        return measure(FAULTS[name], directory=folder / name.replace(" ", "-"), requests=100)

    with ThreadPoolExecutor(len(FAULTS)) as pool:
        return dict(zip(FAULTS, pool.map(one, FAULTS), strict=True))


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_redis_is_an_error_of_the_service(fault: str, figures: dict[str, Figures]) -> None:
    """The fault is one: rates were not limited while it lasted. Afterwards they were, or `measure` had raised."""
    found = figures[fault]
    assert (found.requests, found.server_errors) == (100, 0)
    assert found.not_enforced > 50


@pytest.mark.parametrize("fault", FAULTS)
def test_each_outage_is_reported_to_the_application_once(fault: str, figures: dict[str, Figures]) -> None:
    assert (figures[fault].reported, figures[fault].recoveries) == (1, 1)


def test_a_report_to_the_application_names_the_cause_and_no_secret(tmp_path: Path) -> None:
    """ioredis' own error of a refused AUTH carries the password in its arguments."""
    with stand(tmp_path) as found, service(found.url) as port:
        _until(lambda: ask(port, "/limited?key=a&limit=9")[1]["enforced"])
        FAULTS["another password"](found)
        _until(lambda: bool(ask(port, "/reported")[1]["faults"]))
        (fault,) = ask(port, "/reported")[1]["faults"]
        assert fault == {
            "name": "RedisError",
            "message": "WRONGPASS invalid username-password pair or user is disabled.",
        }


def test_a_refused_database_is_an_outage_and_never_database_0(tmp_path: Path) -> None:
    server = Server(tmp_path / "server", password=PASSWORD, options=["databases 4"])
    with running(server), service(f"redis://:{PASSWORD}@127.0.0.1:{server.port}/9") as port:
        _until(lambda: bool(ask(port, "/reported")[1]["faults"]))
        assert ask(port, "/reported")[1]["faults"][0]["message"] == "ERR DB index is out of range"
        assert {ask(port, "/limited?key=a&limit=9")[1]["enforced"] for _ in range(50)} == {False}
        assert ask(port, "/api/health/redis")[0] == 503
        assert server.client().dbsize() == 0


@pytest.mark.parametrize("seed", range(int(os.environ.get("REDIS_CALLERS", "3"))))
def test_no_mistake_of_a_caller_leaves_a_key_or_harms_another(seed: int, tmp_path: Path) -> None:
    with stand(tmp_path) as found:
        admin = found.server.client()
        admin.rpush("ratelimit:a-list", "x")
        admin.set("ratelimit:a-word", "x")
        for key in ("ratelimit:a-list", "ratelimit:a-word"):
            admin.expire(key, 3600)
        done = subprocess.run(
            ["node", "tests/client/callers.mjs", str(seed), "400"],
            cwd=ROOT,
            env={"REDIS_URL": found.url, "PATH": os.environ["PATH"]},
            capture_output=True,
            text=True,
            check=True,
        )
        document = json.loads(done.stdout)
        # The limit of two of each correct caller was enforced, although other callers failed meanwhile.
        assert document["careful"] == ["true,true,false"]
        assert document["faults"] == []
        assert document["refused"].keys() == {"TypeError", "RangeError", "WRONGTYPE", "ERR"}
        assert document["accepted"] > 10
        keys = list(admin.scan_iter(count=1000))
        assert all(key.startswith("ratelimit:") for key in keys)
        assert {key for key in keys if admin.pttl(key) == -1} == set(), "without an expiry"


def test_limits_are_counted_and_every_key_goes_away(tmp_path: Path) -> None:
    with stand(tmp_path) as found, service(found.url) as port:
        _until(lambda: ask(port, "/limited?key=warm&limit=9")[1]["enforced"])
        answers = [ask(port, "/limited?key=user:1:reports&limit=3") for _ in range(5)]
        assert [status for status, _ in answers] == [200, 200, 200, 429, 429]
        assert [body["remaining"] for _, body in answers] == [2, 1, 0, 0, 0]
        client = found.server.client()
        keys = set(client.scan_iter())
        assert keys == {"ratelimit:warm", "ratelimit:user:1:reports"}
        assert all(0 < client.ttl(key) <= 600 for key in keys)


def test_an_open_breaker_sends_nothing_to_redis(tmp_path: Path) -> None:
    with stand(tmp_path) as found, service(found.url) as port:
        _until(lambda: ask(port, "/limited?key=a&limit=9")[1]["enforced"])
        client = found.server.client()
        # With this fault the connection stays open, so commands could still be sent.
        client.config_set("maxmemory", "1mb")
        _until(lambda: ask(port, "/limited?key=a&limit=9")[1]["isOpen"])
        before = client.info("commandstats")["cmdstat_multi"]["calls"]
        answers = [ask(port, "/limited?key=a&limit=1") for _ in range(20)]
        assert {status for status, _ in answers} == {200}
        # One of the requests within five seconds tries, the others do not.
        assert client.info("commandstats")["cmdstat_multi"]["calls"] - before <= 2


def test_the_client_leaves_a_server_that_became_read_only(tmp_path: Path) -> None:
    """ElastiCache's failover: the name leads to another server, the old one goes on as a replica, connections stay."""
    with stand(tmp_path / "old") as found, service(found.url) as port:
        new = Server(tmp_path / "new", password=found.server.password)
        with running(new):
            _until(lambda: ask(port, "/limited?key=a&limit=9999")[1]["enforced"])
            found.gate.server = new.port
            found.server.client().execute_command("REPLICAOF", new.address, new.port)
            assert ask(port, "/limited?key=a&limit=9999")[0] == 200
            _until(lambda: ask(port, "/limited?key=a&limit=9999")[1]["enforced"])
            assert new.client().exists("ratelimit:a")


def test_health_is_what_the_probe_understands(tmp_path: Path) -> None:
    with stand(tmp_path) as found, service(found.url) as port, httpx.Client() as http:
        url = f"http://127.0.0.1:{port}/api/health/redis"
        _until(lambda: health.ask(url, http).connected is True)
        status, body = ask(port, "/api/health/redis")
        assert (status, body["connected"]) == (200, True)
        assert body["latencyMs"] > 0
        found.server.freeze()
        assert health.ask(url, http).connected is False
        status, body = ask(port, "/api/health/redis")
        assert (status, set(body)) == (503, {"connected", "error"})
        found.server.thaw()
        _until(lambda: health.ask(url, http).connected is True)
        assert health.ask(f"http://127.0.0.1:{port}/limited?key=a&limit=1", http).connected is None
    assert health.ask(url, httpx.Client()).connected is None


def test_a_connection_killed_while_idle_is_opened_again(tmp_path: Path) -> None:
    with stand(tmp_path) as found, service(found.url) as port:
        _until(lambda: ask(port, "/limited?key=a&limit=9999")[1]["enforced"])
        found.server.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        assert ask(port, "/limited?key=a&limit=9999")[0] == 200
        _until(lambda: ask(port, "/limited?key=a&limit=9999")[1]["enforced"])


def test_limits_hold_where_redis_is_far_away_but_accepted(tmp_path: Path) -> None:
    """130 ms is a warning of the probe and no more; with a commandTimeout of 100 ms ioredis would never connect."""
    with stand(tmp_path) as found, service(found.url) as port:
        _until(lambda: ask(port, "/limited?key=a&limit=9")[1]["enforced"])
        found.gate.delay_ms = 130  # While the service runs.
        found.server.client().execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        _until(lambda: ask(port, "/limited?key=a&limit=9")[1]["enforced"])
        assert [ask(port, "/limited?key=b&limit=1")[0] for _ in range(2)] == [200, 429]


def test_a_silent_server_delays_no_request(tmp_path: Path) -> None:
    with proxy.silent() as silent, service(f"redis://127.0.0.1:{silent}") as port:
        status, body = ask(port, "/limited?key=a&limit=1")
        assert (status, body["enforced"]) == (200, False)


_SETTLES = """
import { Redis } from 'ioredis';
const [port, options, patience] = process.argv.slice(1).map((each) => JSON.parse(each));
const client = new Redis({ port, host: '127.0.0.1', retryStrategy: () => 100, ...options });
client.on('error', () => {});
const late = new Promise((resolve) => setTimeout(resolve, patience, 'still waiting'));
console.log(await Promise.race([client.ping().catch((error) => error.message), late]));
process.exit(0);
"""


@pytest.mark.parametrize(
    ("options", "answer"),
    [
        # On a server that accepts but does not answer, only the third setting limits the wait.
        ({"connectTimeout": 100, "maxRetriesPerRequest": 0}, "still waiting"),
        ({"connectTimeout": 100, "maxRetriesPerRequest": 0, "commandTimeout": 100}, "Command timed out"),
        # Without a connection, waiting for one is the default.
        ({"lazyConnect": True}, "still waiting"),
        (
            {"lazyConnect": True, "enableOfflineQueue": False},
            "Stream isn't writeable and enableOfflineQueue options is false",
        ),
    ],
)
def test_each_client_setting_has_its_effect(options: dict[str, object], answer: str) -> None:
    with proxy.silent() as port:
        assert _settles(port, options) == answer


def test_without_retries_a_lost_connection_fails_at_once() -> None:
    with proxy.hangs_up() as port:
        assert _settles(port, {"enableReadyCheck": False}) == "still waiting"
        assert _settles(port, {"enableReadyCheck": False, "maxRetriesPerRequest": 0}).startswith(
            "Reached the max retries"
        )


def _settles(port: int, options: dict[str, object]) -> str:
    done = subprocess.run(
        ["node", "--input-type=module", "-e", _SETTLES, str(port), json.dumps(options), "1500"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_certificates_are_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trusted = Authority()
    extra = {"NODE_EXTRA_CA_CERTS": str(trusted.write(tmp_path / "ca.pem"))}
    for authority, well in ((trusted, True), (Authority(), False)):
        server = Server(tmp_path / str(well), password=PASSWORD, certificate=authority.certificate("127.0.0.1"))
        with running(server), service(f"rediss://:{PASSWORD}@127.0.0.1:{server.port}", **extra) as port:
            if well:
                _until(lambda: ask(port, "/limited?key=a&limit=9")[1]["enforced"])
            else:
                time.sleep(1)
                assert ask(port, "/limited?key=a&limit=9")[1]["enforced"] is False
                assert ask(port, "/api/health/redis")[0] == 503


def test_it_follows_the_sentinels_to_another_master(tmp_path: Path) -> None:
    with sentinels(tmp_path, password=PASSWORD) as found:
        nodes = ",".join(f"127.0.0.1:{each.port}" for each in found.sentinels)
        with service(f"redis-sentinel://:{PASSWORD}@{nodes}/mymaster") as port:
            _until(lambda: ask(port, "/limited?key=a&limit=9999")[1]["enforced"])
            found.primary.kill()
            assert ask(port, "/limited?key=a&limit=9999")[0] == 200
            _until(lambda: ask(port, "/limited?key=a&limit=9999")[1]["enforced"])


def test_it_follows_a_cluster_that_loses_a_primary(tmp_path: Path) -> None:
    with cluster(tmp_path, password=PASSWORD) as nodes:
        url = f"redis://:{PASSWORD}@" + ",".join(f"127.0.0.1:{each.port}" for each in nodes)
        with service(url) as port:

            def all_slots() -> bool:
                return all(ask(port, f"/limited?key=user{key}&limit=9999")[1]["enforced"] for key in range(12))

            _until(all_slots)
            nodes[0].kill()
            assert {ask(port, f"/limited?key=user{key}&limit=9999")[0] for key in range(12)} == {200}
            _until(all_slots)


def _until(holds: Callable[[], bool]) -> None:
    until(holds, "what is waited for", seconds=30)
