"""Whatever the deployment gate accepts, the published client can enforce limits with; and nothing else.

Real servers, set up as drawn, each seen by the probe and by the client of docs/redis-client.mjs.
"""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra_runtime.contract.redis_url import parse
from infra_runtime.redis.failure_reasons import Reason
from infra_runtime.redis.probe import Report, probe
from simulators.redis import proxy
from simulators.redis.server import Server, in_cluster, join, running, until

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "s3cret-of-the-tests"
SERVERS = int(os.environ.get("REDIS_SERVERS", "12"))
_DATABASES = 4
_NEEDED = ("ping", "multi", "set", "incr", "exec")


@dataclass
class Client:
    """The published client, in a process that is started once."""

    process: "subprocess.Popen[str]"

    def can_use(self, url: str, *, seconds: float = 1.0, **variables: str) -> bool:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        case = {"env": {"REDIS_URL": url, **variables}, "patience": seconds * 1000}
        self.process.stdin.write(json.dumps(case) + "\n")
        return bool(json.loads(self.process.stdout.readline())["enforces"])


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with subprocess.Popen(
        ["node", "tests/client/job.mjs"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # ioredis' own warnings
        text=True,
        bufsize=1,
    ) as process:
        yield Client(process)
        process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("gate") / "server", password=PASSWORD, options=[f"databases {_DATABASES}"])
    with running(one):
        yield one


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A server's configuration and use. The defaults are a healthy server."""

    delay_ms: int = 0
    database: int = 0
    user: str | None = None
    """User name; None for a password alone."""
    denied: frozenset[str] = frozenset()
    keys: str = "*"
    prefix: str = ""
    policy: str = "noeviction"
    maxmemory: str = "0"
    replicas_needed: int = 0
    read_only: bool = False
    lacks: str | None = None
    """A command that the server does not know; `users` simulates Redis before 6."""

    @property
    def reasons(self) -> set[Reason]:
        """Reasons why the server cannot be used; empty if it can."""
        wrong = {
            Reason.TOO_SLOW: self.delay_ms > 200,
            Reason.NO_DATABASE: self.database >= _DATABASES,
            Reason.NO_PERMISSION: self.user == "drawn"
            and (
                not self.denied.isdisjoint(_NEEDED)
                or ("select" in self.denied and self.database > 0)
                or not f"{self.prefix}ratelimit:".startswith(self.keys.rstrip("*"))
            ),
            Reason.OUT_OF_MEMORY: self.maxmemory == "1mb",
            Reason.WRITE_REFUSED: self.replicas_needed > 0,
            Reason.READ_ONLY: self.read_only,
            Reason.UNSUPPORTED: self.lacks in ("info", "multi") or (self.lacks == "users" and self.user == "drawn"),
        }
        return {reason for reason, is_so in wrong.items() if is_so}

    def url(self, port: int) -> str:
        return f"redis://{self.user or ''}:{PASSWORD}@127.0.0.1:{port}/{self.database}"

    def refuses(self, words: Sequence[bytes]) -> bytes | None:
        command = words[0].lower().decode()
        if self.lacks == "users" and command in ("auth", "hello", "acl") and len(words) != 2:
            return b"ERR wrong number of arguments for 'auth' command"
        if command == self.lacks:
            return b"ERR unknown command '%s'" % words[0]
        return None


_drawn = st.builds(
    Drawn,
    delay_ms=st.sampled_from([0] * 9 + [130, 170, 320]),
    database=st.sampled_from([0, 0, 3, 9]),
    user=st.sampled_from([None, "default", "drawn"]),
    denied=st.frozensets(st.sampled_from([*_NEEDED, "select", "info", "role", "client", "get"]), max_size=1),
    keys=st.sampled_from(["*", "ratelimit:*", "preview-1:*", "probe:*"]),
    prefix=st.sampled_from(["", "", "preview-1:"]),
    policy=st.sampled_from(["noeviction", "allkeys-lru", "volatile-ttl"]),
    maxmemory=st.sampled_from(["0", "0", "100mb", "1mb"]),
    replicas_needed=st.sampled_from([0, 0, 0, 1]),
    read_only=st.sampled_from([False, False, False, True]),
    lacks=st.sampled_from([None, None, "users", "info", "multi", "client"]),
)


@contextmanager
def _set_up(server: Server, drawn: Drawn) -> Iterator[int]:
    """Yields the port. The server is reconfigured without a restart: the probe's answer has to follow."""
    admin = server.client()
    admin.execute_command("REPLICAOF", "NO", "ONE")
    admin.config_set("maxmemory", "0")
    admin.config_set("min-replicas-to-write", "0")
    admin.flushall()
    admin.config_set("min-replicas-to-write", drawn.replicas_needed)
    admin.config_set("maxmemory-policy", drawn.policy)
    admin.config_set("maxmemory", drawn.maxmemory)
    rules = ["reset", "on", f">{PASSWORD}", f"~{drawn.keys}", "+@all", *(f"-{each}" for each in drawn.denied)]
    admin.execute_command("ACL", "SETUSER", "drawn", *rules)
    if drawn.read_only:
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    with contextlib.ExitStack() as stack:
        port = server.port
        if drawn.lacks is not None:
            port = stack.enter_context(proxy.lacking(port, drawn.refuses))
        if drawn.delay_ms:
            port = stack.enter_context(proxy.Gate.before(port, delay_ms=drawn.delay_ms)).port
        yield port


def _seen(url: str, prefix: str, *, wanted: bool) -> Report:
    """A machine that is busy adds to a delay: one round in five is as the server is. The gate tries again, too."""
    for _ in range(5):
        found = probe(parse(url), key_prefixes=[prefix])
        if found.usable is wanted:
            break
    return found


def _agree(drawn: Drawn, port: int, client: Client) -> None:
    wanted = not drawn.reasons
    found = _seen(drawn.url(port), drawn.prefix, wanted=wanted)
    assert found.usable is wanted, f"the probe says {found.reason}, wrong is {drawn.reasons}"
    assert found.reason is None if wanted else found.reason in drawn.reasons
    variables = {"REDIS_KEY_PREFIX": drawn.prefix} if drawn.prefix else {}
    seconds = 20 if wanted else 0.5 + 12 * drawn.delay_ms / 1000
    assert client.can_use(drawn.url(port), seconds=seconds, **variables) is wanted, "the client says otherwise"


@settings(max_examples=SERVERS, deadline=None, suppress_health_check=list(HealthCheck))
@given(drawn=_drawn)
def test_the_gate_accepts_what_the_client_can_use_and_nothing_else(
    drawn: Drawn, server: Server, client: Client
) -> None:
    with _set_up(server, drawn) as port:
        _agree(drawn, port, client)


@pytest.mark.parametrize(
    "drawn",
    [
        Drawn(),
        Drawn(delay_ms=130),
        Drawn(delay_ms=320),
        Drawn(database=3),
        Drawn(database=9),
        Drawn(database=3, user="drawn", denied=frozenset({"select"})),
        *(Drawn(user="drawn", denied=frozenset({each})) for each in (*_NEEDED, "info", "get")),
        Drawn(user="drawn", keys="ratelimit:*"),
        Drawn(user="drawn", keys="probe:*"),
        Drawn(user="drawn", keys="ratelimit:*", prefix="preview-1:"),
        Drawn(user="drawn", keys="preview-1:*", prefix="preview-1:"),
        Drawn(maxmemory="1mb", policy="noeviction"),
        Drawn(maxmemory="1mb", policy="allkeys-lru"),
        Drawn(maxmemory="100mb", policy="volatile-ttl"),
        Drawn(replicas_needed=1),
        Drawn(read_only=True),
        Drawn(lacks="users"),
        Drawn(lacks="users", user="default"),
        Drawn(lacks="users", user="drawn"),
        Drawn(lacks="info"),
        Drawn(lacks="multi"),
        Drawn(lacks="client"),
    ],
    ids=lambda drawn: str({name: value for name, value in vars(drawn).items() if value != getattr(Drawn, name)}),
)
def test_probe_and_client_agree_on_each_single_trait(drawn: Drawn, server: Server, client: Client) -> None:
    with _set_up(server, drawn) as port:
        _agree(drawn, port, client)


def test_the_probe_and_a_running_client_follow_a_server_that_changes(server: Server, client: Client) -> None:
    """The gate runs once, the probe continuously: it must report the server's current state."""
    changes = [
        Drawn(user="drawn"),
        Drawn(user="drawn", read_only=True),
        Drawn(user="drawn"),
        Drawn(user="drawn", denied=frozenset({"incr"})),
        Drawn(user="drawn", maxmemory="1mb"),
        Drawn(user="drawn", delay_ms=320),
        Drawn(user="drawn", delay_ms=130),
    ]
    with proxy.Gate.before(server.port) as gate:
        for drawn in changes:
            with _set_up(server, drawn):
                gate.delay_ms = drawn.delay_ms
                _agree(drawn, gate.port, client)


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    folder = tmp_path_factory.mktemp("nodes")
    nodes = [Server(folder / str(number), password=PASSWORD, options=in_cluster()) for number in range(3)]
    with running(*nodes):
        join(nodes)
        yield nodes


_ANNOUNCED: dict[str, tuple[dict[str, str], str | None, Reason | None]] = {
    "addresses": ({}, "127.0.0.1", None),
    "hostnames": (
        {"cluster-preferred-endpoint-type": "hostname", "cluster-announce-hostname": "localhost"},
        "localhost",
        None,
    ),
    "hostnames that were never set": ({"cluster-preferred-endpoint-type": "hostname"}, "?", Reason.CLUSTER_HIDDEN),
    "no addresses": ({"cluster-preferred-endpoint-type": "unknown-endpoint"}, None, Reason.CLUSTER_HIDDEN),
    "hostnames that do not resolve": (
        {"cluster-preferred-endpoint-type": "hostname", "cluster-announce-hostname": "nowhere.invalid"},
        "nowhere.invalid",
        Reason.CLUSTER_INCOMPLETE,
    ),
}


@pytest.mark.parametrize("announced", _ANNOUNCED)
@pytest.mark.parametrize("prefix", ["", "preview-1:"])
def test_probe_and_client_agree_on_the_addresses_that_a_cluster_announces(
    announced: str, prefix: str, three_nodes: list[Server], client: Client
) -> None:
    """All cases use the same nodes, which are reconfigured while they run."""
    options, host, reason = _ANNOUNCED[announced]
    usual = {"cluster-preferred-endpoint-type": "ip", "cluster-announce-hostname": ""}
    for node in three_nodes:
        for name, value in (usual | options).items():
            node.client().config_set(name, value)
    until(lambda: all(_hosts(each) == [host] * 3 for each in three_nodes), "every node says so of every other")
    url = f"redis://:{PASSWORD}@" + ",".join(f"127.0.0.1:{each.port}" for each in three_nodes)
    found = _seen(url, prefix, wanted=reason is None)
    assert (found.usable, found.reason) == (reason is None, reason)
    variables = {"REDIS_KEY_PREFIX": prefix} if prefix else {}
    assert client.can_use(url, seconds=20 if reason is None else 3, **variables) is (reason is None)


def _hosts(node: Server) -> list[str | None]:
    admin = node.client()
    admin.response_callbacks.clear()
    return [primary[0] for _, _, primary, *_ in admin.execute_command("CLUSTER SLOTS")]


def test_the_url_has_to_name_the_form_of_the_server(server: Server, three_nodes: list[Server], client: Client) -> None:
    alone = f"redis://:{PASSWORD}@127.0.0.1:{server.port}?cluster=true"
    node = f"redis://:{PASSWORD}@127.0.0.1:{three_nodes[0].port}"
    with _set_up(server, Drawn()):
        for url, reason in (
            (alone, Reason.NOT_A_CLUSTER),
            (node, Reason.IS_A_CLUSTER),
            (f"{node}/1", Reason.IS_A_CLUSTER),
        ):
            found = _seen(url, "", wanted=False)
            assert (found.usable, found.reason) == (False, reason)
            assert not client.can_use(url, seconds=2)


def test_a_cluster_with_a_hole_cannot_be_used(three_nodes: list[Server], client: Client) -> None:
    url = f"redis://:{PASSWORD}@127.0.0.1:{three_nodes[2].port}?cluster=true"
    for node in three_nodes:
        node.client().config_set("cluster-preferred-endpoint-type", "ip")
    admin = three_nodes[2].client()
    admin.execute_command("CLUSTER", "DELSLOTSRANGE", "11000", "16383")
    try:
        assert _seen(url, "", wanted=False).reason is Reason.CLUSTER_INCOMPLETE
        assert not client.can_use(url, seconds=3)
    finally:
        admin.execute_command("CLUSTER", "ADDSLOTSRANGE", "11000", "16383")
    assert _seen(url, "", wanted=True).usable
    assert client.can_use(url, seconds=20)
