"""REDIS_URL: what is taken means the same to everybody, what is refused says why and gives nothing away."""

import random
import re
import string
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.connection import SSLConnection, parse_url

from infra_runtime.contract.redis_url import (
    InvalidRedisUrl,
    Node,
    RedisTarget,
    from_environment,
    parse,
    require_deployable,
)
from tests.node_reader import Read, reader

FUZZED = 100_000

TAKEN = {
    # The examples of the requirements, verbatim.
    "redis://localhost:6379": RedisTarget(form="single", nodes=(Node("localhost", 6379),)),
    "rediss://default:password@host.upstash.io:6380": RedisTarget(
        form="single", nodes=(Node("host.upstash.io", 6380),), tls=True, username="default", password="password"
    ),
    "redis://user:pass@cluster.cache.amazonaws.com:6379/0": RedisTarget(
        form="single", nodes=(Node("cluster.cache.amazonaws.com", 6379),), username="user", password="pass"
    ),
    "redis-sentinel://sentinel1:26379,sentinel2:26379/mymaster": RedisTarget(
        form="sentinel", nodes=(Node("sentinel1", 26379), Node("sentinel2", 26379)), master="mymaster"
    ),
    "redis://node1:6379,node2:6379,node3:6379": RedisTarget(
        form="cluster", nodes=(Node("node1", 6379), Node("node2", 6379), Node("node3", 6379))
    ),
    # Default ports: 6379, and 6380 with TLS.
    "redis://localhost": RedisTarget(form="single", nodes=(Node("localhost", 6379),)),
    "rediss://:p@localhost": RedisTarget(form="single", nodes=(Node("localhost", 6380),), tls=True, password="p"),
    "redis-sentinel://s/m": RedisTarget(form="sentinel", nodes=(Node("s", 26379),), master="m"),
    "redis://localhost/15": RedisTarget(form="single", nodes=(Node("localhost", 6379),), database=15),
    "redis://localhost/": RedisTarget(form="single", nodes=(Node("localhost", 6379),)),
    "REDISS://:p@LocalHost:1": RedisTarget(form="single", nodes=(Node("localhost", 1),), tls=True, password="p"),
    "redis://[2001:DB8:0::1]:6379": RedisTarget(form="single", nodes=(Node("2001:db8::1", 6379),)),
    "redis://:a+b%2B%40%2Fc:d@h": RedisTarget(form="single", nodes=(Node("h", 6379),), password="a+b+@/c:d"),
    "rediss://default:t@cfg.euc1.cache.amazonaws.com:6379?cluster=true": RedisTarget(
        form="cluster",
        nodes=(Node("cfg.euc1.cache.amazonaws.com", 6379),),
        tls=True,
        username="default",
        password="t",
    ),
    "redis-sentinel://s:1/m/3": RedisTarget(form="sentinel", nodes=(Node("s", 1),), master="m", database=3),
    "rediss-sentinel://:d@a:1,b:2/m?sentinelPassword=x%20y": RedisTarget(
        form="sentinel", nodes=(Node("a", 1), Node("b", 2)), tls=True, password="d", master="m",
        sentinel_password="x y",
    ),
}  # fmt: skip

REFUSED = {
    "": "a URL, or no variable",
    "redis://": "host or host:port",
    "localhost:6379": "no scheme",
    "http://h": "REST URL",
    "https://eu1-x-1.upstash.io": "rediss://",
    "unix:///run/redis.sock": "redis://, rediss://",
    "/run/redis.sock": "no scheme",
    "redis:/h": "no scheme",
    "redis://h/1/2": "a database from 0 to 15",
    "redis://h/16": "a database from 0 to 15",
    "redis://h/-1": "a database from 0 to 15",
    "redis://h/01": "a database from 0 to 15",
    "redis://h/abc": "a database from 0 to 15",
    "redis://h/%31": "a database from 0 to 15",
    "redis://h/٣": "printable ASCII",
    "redis://h:6379/2?db=3": "no options but",
    "redis://h?": "no options but",
    "redis://h?cluster=1": "cluster=true",
    "redis://h?cluster=true&cluster=true": "once",
    "redis://h/1?cluster=true": "database 0",
    "redis://h1,h2/1": "database 0",
    "redis://h,": "host or host:port",
    "redis://h,h": "all different",
    "redis://h:0": "a port from 1 to 65535",
    "redis://h:65536": "a port from 1 to 65535",
    "redis://h:": "a port from 1 to 65535",
    "redis://h:06379": "a port from 1 to 65535",
    "redis://h:6379x": "a port from 1 to 65535",
    "redis://h:٦": "printable ASCII",
    "redis://h ost": "without spaces",
    "redis://h\nost": "printable ASCII",
    "redis://h\n": "echo",
    "redis://h\t": "line break around",
    "redis://häst": "printable ASCII",
    "redis://-h": "a hostname",
    "redis://h.": "a hostname",
    "redis://h..x": "a hostname",
    "redis://10.1": "a hostname",
    "redis://1.2.3.999": "a hostname",
    "redis://0x7f.1": "a hostname",
    "redis://2130706433": "a hostname",
    "redis://::1": "in brackets",
    "redis://[::1": "in brackets",
    "redis://[::1%25eth0]": "a hostname",
    "redis://[1.2.3.4]": "a hostname",
    "redis://:p@ss@h": "%40",
    "redis://:pa/ss@h": "%40",
    "redis://:pa?ss@h": "%3F",
    "redis://:pa#ss@h": "%23",
    "redis://:p%zz@h": "percent-encoded",
    "redis://:p%@h": "percent-encoded",
    "redis://:p%ff@h": "UTF-8",
    "redis://:p%0a@h": "control",
    "redis://:p%00@h": "control",
    "redis://u:@h": "a password behind the colon",
    "redis://:@h": "a password behind the colon",
    "redis://@h": "a login before the @",
    "redis://u@h": "no username without a password",
    "redis://:{p}@h": "percent-encoded",
    "redis://:${REDIS_PASSWORD}@h": "placeholder",
    "redis://:<password>@h": "placeholder",
    "rediss://:{{resolve:secretsmanager:x}}@h": "placeholder",
    '"redis://h"': "no quotes",
    "redis-sentinel://s:26379": "the master's name",
    "redis-sentinel://s/": "the master's name",
    "redis-sentinel://s/a/b": "the master's name",
    "redis-sentinel://s/m?cluster=true": "no option cluster",
    "redis-sentinel://s/m?sentinelUsername=u": "sentinelPassword beside",
    "redis://h?sentinelPassword=p": "no option of Sentinels",
    "redis-sentinel://s/m?sentinelPassword=a+b": "percent-encoded value",
    "redis://" + "h" * 5000: "at most 4096",
}


@pytest.mark.parametrize("url", TAKEN, ids=str)
def test_is_read_as_documented(url: str) -> None:
    assert parse(url) == TAKEN[url]


@pytest.mark.parametrize("url", REFUSED, ids=lambda url: repr(url)[:40])
def test_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(InvalidRedisUrl, match=re.escape(REFUSED[url])) as raised:
        parse(url)
    assert raised.value.key in ("REDIS_URL", "REDIS_DB")


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"REDIS_PASSWORD": "x"}, "REDIS_PASSWORD: expected REDIS_URL beside it"),
        ({"REDIS_TLS": "true"}, "REDIS_TLS: expected REDIS_URL"),
        ({"REDIS_URL": ""}, "REDIS_URL: expected a URL, or no variable"),
        ({"REDIS_URL": "redis://h", "REDIS_PASSWORD": ""}, "REDIS_PASSWORD: expected a password, or no variable"),
        ({"REDIS_URL": "redis://:a@h", "REDIS_PASSWORD": "b"}, "REDIS_PASSWORD: expected the password that REDIS_URL"),
        ({"REDIS_URL": "redis://:a%62@h", "REDIS_PASSWORD": "a%62"}, "REDIS_PASSWORD: expected the password that"),
        ({"REDIS_URL": "rediss://h", "REDIS_TLS": "false"}, "REDIS_TLS: expected what REDIS_URL says"),
        ({"REDIS_URL": "redis://h", "REDIS_TLS": "1"}, "REDIS_TLS: expected true or false"),
        ({"REDIS_URL": "redis://h", "REDIS_TLS": ""}, "REDIS_TLS: expected true or false"),
        ({"REDIS_URL": "redis://h", "REDIS_DB": "16"}, "REDIS_DB: expected a number from 0 to 15"),
        ({"REDIS_URL": "redis://h", "REDIS_DB": "١"}, "REDIS_DB: expected a number"),
        ({"REDIS_URL": "redis://h/1", "REDIS_DB": "2"}, "REDIS_DB: expected the database that REDIS_URL names"),
        ({"REDIS_URL": "redis://h,i", "REDIS_DB": "2"}, "REDIS_DB: expected database 0"),
    ],
)
def test_an_override_that_contradicts_is_an_error(variables: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidRedisUrl, match=re.escape(message)):
        from_environment(variables)


def test_an_override_holds_where_the_url_is_silent_or_says_the_same() -> None:
    assert from_environment({}) is None
    full = {"REDIS_URL": "redis://u@h", "REDIS_PASSWORD": "p%40+", "REDIS_TLS": "true", "REDIS_DB": "3"}
    wanted = RedisTarget(form="single", nodes=(Node("h", 6380),), tls=True, username="u", password="p%40+", database=3)
    assert from_environment(full) == wanted
    assert from_environment({**full, "REDIS_URL": "rediss://u:p%2540%2B@h/3"}) == wanted
    sentinel = {"REDIS_URL": "redis-sentinel://s/m", "REDIS_DB": "2", "REDIS_PASSWORD": "of the data"}
    found = from_environment(sentinel)
    assert found is not None
    assert (found.database, found.password, found.sentinel_password) == (2, "of the data", None)


def test_no_url_leaves_a_developers_machine_without_tls_and_a_password() -> None:
    require_deployable(parse("rediss://:p@h"))
    for url in ("redis://:p@h", "rediss://h", "redis-sentinel://:p@s/m"):
        with pytest.raises(InvalidRedisUrl, match="in a deployed environment"):
            require_deployable(parse(url))


_secrets = st.text(st.characters(codec="utf-8", min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=1)
_hosts = st.one_of(
    st.from_regex(r"[a-z][a-z0-9-]{0,10}[a-z](\.[a-z]{2,5}){0,2}", fullmatch=True),
    st.ip_addresses().map(lambda ip: ip.compressed),
)
_nodes = st.builds(Node, _hosts, st.integers(1, 65535))


@st.composite
def targets(draw: st.DrawFn) -> RedisTarget:
    form = draw(st.sampled_from(["single", "sentinel", "cluster"]))
    nodes = draw(st.lists(_nodes, min_size=1, max_size=1 if form == "single" else 4, unique=True))
    password = draw(st.none() | _secrets)
    is_sentinel = form == "sentinel"
    sentinel_password = draw(st.none() | _secrets) if is_sentinel else None
    return RedisTarget(
        form=form,  # type: ignore[arg-type]
        nodes=tuple(nodes),
        tls=draw(st.booleans()),
        username=draw(st.none() | _secrets) if password else None,
        password=password,
        database=draw(st.integers(0, 15)) if form != "cluster" else 0,
        master=draw(st.from_regex(r"[a-z][a-z0-9._-]{0,20}", fullmatch=True)) if is_sentinel else None,
        sentinel_username=draw(st.none() | _secrets) if sentinel_password else None,
        sentinel_password=sentinel_password,
    )


@given(targets())
def test_a_composed_url_is_parsed_back_unchanged(target: RedisTarget) -> None:
    assert parse(target.url()) == target


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(targets())
def test_neither_repr_nor_an_error_contains_a_secret(target: RedisTarget) -> None:
    marked = "zq9-marker"
    secret = RedisTarget(**{**vars(target), "password": marked, "username": "u"})
    assert marked not in repr(secret) + str(secret.described())
    assert marked in secret.url()


def _agree(target: RedisTarget, url: str, ioredis: dict[str, Any]) -> None:
    """Both clients' own parsers read what ours reads: URLs that they could read differently are refused."""
    (node,) = target.nodes
    ours = (node.host, node.port, target.username or None, target.password, target.database)
    explicit_port = re.search(r":\d+(/|$)", url.rpartition("@")[2]) is not None

    def read(host: str, port: Any, username: str | None, password: str | None, database: Any) -> tuple[Any, ...]:
        whole = host.lower() if ":" not in host else Node(parse(f"redis://[{host}]").nodes[0].host, 0).host
        found = int(port) if explicit_port else node.port
        return whole, found, username or None, password or None, int(database or 0)

    python = parse_url(url)  # type: ignore[no-untyped-call]
    assert ours == read(
        python["host"], python.get("port"), python.get("username"), python.get("password"), python.get("db")
    )
    assert (python.get("connection_class") is SSLConnection) == target.tls
    assert ours == read(
        ioredis["host"], ioredis.get("port"), ioredis.get("username"), ioredis.get("password"), ioredis.get("db")
    )


@pytest.fixture(scope="session")
def ioredis_reads() -> Iterator[Read]:
    """ioredis's own reading of a URL; `error` if it refuses the URL."""
    with reader("import utils from 'ioredis/built/utils/index.js';\nconst read = utils.parseURL;") as read:
        yield read


@settings(max_examples=300, deadline=None)
@given(targets().filter(lambda target: target.form == "single"))
def test_both_clients_read_the_same(ioredis_reads: Read, target: RedisTarget) -> None:
    _agree(target, target.url(), ioredis_reads(target.url()))


_PIECES = [
    "redis://", "rediss://", "redis-sentinel://", "rediss-sentinel://", "REDIS://", "http://", "://", ":", "/", "//",
    "@", ",", "?", "#", "&", "=", "%", "%40", "%2", "%ff", "%00", "[", "]", "[::1]", "h", "host.example.com",
    "10.0.0.1", "localhost", "6379", "0", "15", "16", "65536", "-1", "db=3", "cluster=true",
    "sentinelPassword=", "default", "${X}",
    " ", "\n", "\x00", "é", "٣", "\ud800", "+", "..", "_", "-", "mymaster", "family=6", "{{", "'", '"', "\\", ";", "~",
]  # fmt: skip


def fuzzed(chance: random.Random, count: int, *more: str) -> Iterator[str]:
    """Random inputs: half are concatenated pieces, half are damaged URLs. `more` are further pieces."""
    pieces, valid = [*_PIECES, *more], list(TAKEN)
    for number in range(count):
        if number % 2:
            yield "".join(chance.choice(pieces) for _ in range(chance.randint(1, 12)))
        else:
            url = chance.choice(valid)
            for _ in range(chance.randint(1, 3)):
                at = chance.randint(0, len(url))
                url = url[:at] + chance.choice(pieces) + url[at + chance.randint(0, 2) :]
            yield url


def test_a_hundred_thousand_inputs_raise_nothing_else_and_leak_nothing(ioredis_reads: Read) -> None:
    chance = random.Random(20261123)
    taken, messages = 0, set()
    secret = "".join(chance.choices(string.ascii_letters + string.digits, k=12))
    for url in fuzzed(chance, FUZZED, secret):
        overrides = {
            name: value
            for name, value in (
                ("password", chance.choice([secret, ""])),
                ("tls", chance.choice(["true", "false", "TRUE", ""])),
                ("database", chance.choice(["0", "3", "99", "x"])),
            )
            if chance.random() < 0.1
        }
        try:
            target = parse(url, **overrides)
        except InvalidRedisUrl as error:
            text = str(error)
            assert secret not in text
            messages.add(text)
            continue
        taken += 1
        # Not the encoding of a lone surrogate: what is taken can be written down.
        assert parse(target.url()) == target
        if target.form == "single" and not overrides and "?" not in url:
            lowered = re.sub(r"^rediss?", lambda scheme: scheme[0].lower(), url, flags=re.IGNORECASE)
            _agree(target, lowered, ioredis_reads(lowered))
    # Messages are from a fixed list: none contains a part of the value.
    assert len(messages) < 60
    assert taken > FUZZED / 100, "the fuzzer has lost its way"
