"""What the probe says of a worker's queue: how many jobs wait, and for how long nothing has left it."""

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from infra_runtime.contract.redis_url import parse
from infra_runtime.redis import monitor, queues
from simulators.redis.server import Server

PASSWORD = "s3cret-of-the-tests"
WAIT, PRIORITIZED = "bull:mail:wait", "bull:mail:prioritized"


def of(server: Server, *, cluster: bool = False) -> str:
    return f"redis://:{PASSWORD}@127.0.0.1:{server.port}{'?cluster=true' if cluster else ''}"


def waiting(url: str, *keys: str) -> int | None:
    return queues.sizes(parse(url), {"mailer": keys})["mailer"].waiting


def test_jobs_wait_in_lists_and_in_sorted_sets(server: Server) -> None:
    """BullMQ keeps jobs with a priority in a separate sorted set (its queue-keys.js)."""
    client = server.client()
    client.lpush(WAIT, *range(7))
    client.zadd(PRIORITIZED, {"a": 1, "b": 2})
    assert waiting(of(server), WAIT, PRIORITIZED) == 9
    assert waiting(of(server), WAIT) == 7
    assert waiting(of(server), "bull:none:wait") == 0, "an empty list is no key"


def test_jobs_may_hold_binary_data(server: Server) -> None:
    server.client().lpush(WAIT, b"\x80\x04\x95 a pickle of Celery's")
    assert waiting(of(server), WAIT) == 1


@pytest.mark.parametrize("command", [("SET", WAIT, "1"), ("XADD", WAIT, "*", "a", "1")], ids=lambda each: each[0])
def test_a_key_of_another_kind_is_no_empty_queue(
    command: tuple[str, ...], server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.client().execute_command(*command)
    assert queues.sizes(parse(of(server)), {"mailer": [WAIT]}) == {}
    assert WAIT in caplog.text


def test_one_queue_that_cannot_be_measured_does_not_hide_the_others(server: Server) -> None:
    client = server.client()
    client.set("wrong", "1")
    client.lpush(WAIT, 1)
    assert set(queues.sizes(parse(of(server)), {"first": ["wrong"], "mailer": [WAIT]})) == {"mailer"}


def test_a_cluster_is_asked_where_the_key_is(six_nodes: list[Server]) -> None:
    keys = [f"{{queue-{number}}}:wait" for number in range(6)]
    first = six_nodes[0].client()
    homes = first.execute_command("CLUSTER SLOTS")
    for key in keys:
        slot = first.execute_command("CLUSTER KEYSLOT", key)
        port = next(primary[1] for low, high, primary, *_ in homes if low <= slot <= high)
        next(each for each in six_nodes if each.port == port).client().lpush(key, "job")
    assert waiting(of(six_nodes[0], cluster=True), *keys) == 6


class Clock:
    minutes = 0.0

    def __call__(self) -> float:
        return self.minutes * 60


@pytest.fixture
def played(server: Server) -> Callable[[list[tuple[str, ...]]], list[float]]:
    """One command a minute; after each, for how many minutes nothing has left the queue."""

    def play(commands: list[tuple[str, ...]]) -> list[float]:
        clock, client = Clock(), server.client()
        watch = queues.Watch(clock)
        found = []
        for minute, command in enumerate(commands):
            clock.minutes = minute
            if command:
                client.execute_command(*command)
            found.append(watch.minutes_stuck("mailer", queues.sizes(parse(of(server)), {"mailer": [WAIT]})["mailer"]))
        return found

    return play


ADD, TAKE, NOTHING = ("LPUSH", WAIT, "job"), ("RPOP", WAIT), ()
TAKE_AND_ADD = f"redis.call('RPOP', '{WAIT}'); redis.call('LPUSH', '{WAIT}', 'c')"
HISTORIES: dict[str, tuple[list[tuple[str, ...]], list[float]]] = {
    "nothing waits": ([NOTHING] * 3, [0, 0, 0]),
    "no worker takes the job": ([ADD, NOTHING, NOTHING, NOTHING], [0, 1, 2, 3]),
    "more jobs come and none is taken": ([("LPUSH", WAIT, each) for each in "abcd"], [0, 1, 2, 3]),
    "it becomes less": ([("LPUSH", WAIT, *"abcd"), NOTHING, TAKE, TAKE, NOTHING], [0, 1, 0, 0, 1]),
    "one is taken while another comes": (
        [("LPUSH", WAIT, *"ab"), ("EVAL", TAKE_AND_ADD, "0"), NOTHING],
        [0, 0, 1],
    ),
    "taken from the other end, as by RQ": ([("RPUSH", WAIT, *"abcd"), ("LPOP", WAIT), ("LPOP", WAIT)], [0, 0, 0]),
    "the last one is taken": ([ADD, NOTHING, TAKE, NOTHING], [0, 1, 0, 0]),
}  # fmt: skip


@pytest.mark.parametrize("what", HISTORIES)
def test_a_queue_is_stuck_while_nothing_leaves_it(
    what: str, played: Callable[[list[tuple[str, ...]]], list[float]]
) -> None:
    commands, expected = HISTORIES[what]
    assert played(commands) == expected


def watched(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs the probe once, with the queue of a worker."""
    manager = SimpleNamespace(get_secret_value=lambda **_: {"SecretString": of(server)})
    monkeypatch.setattr(monitor, "client", lambda service, *, seconds: manager)
    for name, value in {"URL_SECRET": "url", "ENVIRONMENT": "test", "INSTANCE": "jobs"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("QUEUES", json.dumps({"mailer": [WAIT]}))
    monitor._watch()


def test_the_probe_publishes_it_by_the_workers_service(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    server.client().lpush(WAIT, "personal data", "b")
    watched(server, monkeypatch)
    printed = capsys.readouterr().out
    documents: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines()]
    (found,) = [each for each in documents if "Service" in each]
    (declared,) = found["_aws"]["CloudWatchMetrics"]
    assert declared["Namespace"] == "Infra/Queues"
    assert declared["Dimensions"] == [["Environment", "Service"]]
    assert {key: found[key] for key in ("Environment", "Service", "WaitingJobs", "StuckMinutes")} == {
        "Environment": "test", "Service": "mailer", "WaitingJobs": 2, "StuckMinutes": 0,
    }  # fmt: skip
    assert "personal data" not in printed
    assert monitor.handler({"report": True}, None)["waiting"] == {"mailer": 2}, "an operator sees it, too"


def test_a_redis_that_is_away_says_nothing_about_queues(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It publishes no data: an empty queue would remove tasks."""
    server.kill()
    watched(server, monkeypatch)
    (only,) = capsys.readouterr().out.splitlines()
    assert json.loads(only)["Unusable"] == 1
