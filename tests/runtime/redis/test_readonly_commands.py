"""What a person may ask through the probe: what reads, of everybody who holds the data."""

import pytest

from infra_runtime.contract.redis_url import parse
from infra_runtime.redis import readonly_commands
from simulators.redis.server import Sentinels, Server

PASSWORD = "s3cret-of-the-tests"


def of(server: Server) -> str:
    return f"{server.address}:{server.port}"


@pytest.mark.parametrize(
    "words",
    [
        ["info", "memory"],
        ["slowlog", "get", "20"],
        ["client", "list"],
        ["dbsize"],
        ["scan", "0", "match", "ratelimit:*"],
    ],
    ids=" ".join,
)
def test_read_only_commands_are_answered(words: list[str], server: Server) -> None:
    answer = readonly_commands.ask(parse(f"redis://:{PASSWORD}@{of(server)}"), words)
    assert set(answer) == {of(server)}
    assert not str(answer[of(server)]).startswith("no reply")
    assert PASSWORD not in str(answer)


@pytest.mark.parametrize(
    "words",
    [["flushall"], ["config", "get", "*"], ["set", "a", "b"], ["eval", "return 1", "0"], ["client", "kill", "all"],
     ["slowlog", "reset"], ["memory", "purge"], ["infor"], ["sentinel", "failover", "mymaster"], [""], ["client"]],
    ids=" ".join,
)  # fmt: skip
def test_commands_that_may_change_data_are_refused_before_a_connection(words: list[str]) -> None:
    with pytest.raises(readonly_commands.NotAllowed, match="what only reads"):
        readonly_commands.ask(parse("redis://nowhere.invalid"), words)


def test_every_primary_and_every_sentinel_replies(six_nodes: list[Server], three_sentinels: Sentinels) -> None:
    cluster = f"redis://:{PASSWORD}@{of(six_nodes[0])}?cluster=true"
    assert set(readonly_commands.ask(parse(cluster), ["dbsize"])) == {of(each) for each in six_nodes[:3]}
    nodes = ",".join(of(each) for each in three_sentinels.sentinels)
    found = parse(f"redis-sentinel://:{PASSWORD}@{nodes}/mymaster")
    assert set(readonly_commands.ask(found, ["role"])) == {of(three_sentinels.primary)}
    three_sentinels.sentinels[2].kill()
    replies = readonly_commands.ask(found, ["sentinel", "masters"])
    assert [str(each).startswith("no reply: nothing listens") for each in replies.values()] == [False, False, True]
