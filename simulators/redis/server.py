"""redis-server as a child process, in each form that `REDIS_URL` can name."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from simulators.ports import LOOPBACK, free_port
from simulators.redis.authority import Certificate

_START_SECONDS = 20
_SLOTS = 16384


class RedisMissing(Exception):
    """There is no redis-server on this machine."""

    def __init__(self) -> None:
        super().__init__(
            "redis-server is missing: make setup installs it as root (Debian: apt-get install redis-server)"
        )


@dataclass
class Server:
    """One process. `password` is that of the user `default`; with None, no password is required."""

    directory: Path
    address: str = LOOPBACK
    port: int = 0
    password: str | None = None
    certificate: Certificate | None = None
    """With a certificate, the port accepts only TLS."""
    options: Sequence[str] = ()
    sentinel: bool = False
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.port = self.port or free_port(self.address)

    def start(self, *, wait: bool = True) -> "Server":
        binary = shutil.which("redis-server")
        if binary is None:
            raise RedisMissing
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "redis.conf"
        if not configuration.exists():  # A Sentinel writes what it learns into its own.
            configuration.write_text("\n".join(self._configuration()) + "\n")
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binary, configuration.name, *(["--sentinel"] if self.sentinel else [])],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        if wait:
            self._wait()
        return self

    def _configuration(self) -> list[str]:
        lines = [
            f"bind {self.address}",
            # Nodes of a cluster learn each other's addresses from where connections come from.
            f"bind-source-addr {self.address}",
            "protected-mode no",
            'save ""',
            "enable-debug-command yes",
            "repl-diskless-sync-delay 0",
        ]
        if self.certificate is None:
            lines.append(f"port {self.port}")
        else:
            files = self.certificate.write(self.directory)
            lines += ["port 0", f"tls-port {self.port}", "tls-auth-clients no", "tls-replication yes"]
            lines += [] if self.sentinel else ["tls-cluster yes"]
            lines += [
                # By name, as it runs in its folder: the path may have anything in it.
                f"tls-cert-file {files.chain.name}",
                f"tls-key-file {files.key.name}",
                f"tls-ca-cert-file {files.authority.name}",
            ]
        if self.password is not None:
            lines += [f"requirepass {self.password}", *([] if self.sentinel else [f"masterauth {self.password}"])]
        return [*lines, *self.options]

    def _wait(self) -> None:
        give_up = time.monotonic() + _START_SECONDS
        while time.monotonic() < give_up:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                with self.client() as client:
                    client.ping()
                    return
            except redis.AuthenticationError:
                return
            except redis.RedisError:
                time.sleep(0.02)
        raise RuntimeError(f"redis-server did not start; its log: {(self.directory / 'log').read_text()[-2000:]}")

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._process else None

    def client(self, *, seconds: float = 5) -> Any:
        """A client for setting up a test, unlike the application's or the probe's. Waits `seconds` for an answer."""
        return redis.Redis(
            host=self.address,
            port=self.port,
            password=self.password,
            ssl=self.certificate is not None,
            # Servers with a certificate that is wrong in some way are what it is there for.
            ssl_cert_reqs="none",
            ssl_check_hostname=False,
            decode_responses=True,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
        )

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        os.kill(self._process.pid, number)

    def freeze(self) -> None:
        """Suspends the server: its socket still accepts, but nothing is answered."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """Kills the server with SIGKILL, like a lost machine."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(*servers: Server) -> Iterator[None]:
    """Starts the servers in order, and ends them with the block."""
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.kill)
            server.start()
        yield


@dataclass
class Sentinels:
    """A master, its replicas, and three Sentinels that agree by two."""

    data: list[Server]
    sentinels: list[Server]
    master: str = "mymaster"

    @property
    def primary(self) -> Server:
        """The data node that is currently the master."""
        return next(each for each in self.data if _role(each) == "master")


@contextmanager
def sentinels(
    directory: Path, *, replicas: int = 1, password: str | None = None, certificate: Certificate | None = None
) -> Iterator[Sentinels]:
    first = Server(directory / "data-0", password=password, certificate=certificate)
    others = [
        Server(
            directory / f"data-{number}",
            password=password,
            certificate=certificate,
            options=[f"replicaof {first.address} {first.port}"],
        )
        for number in range(1, 1 + replicas)
    ]
    lines = [f"sentinel monitor mymaster {first.address} {first.port} 2"]
    if password is not None:
        lines.append(f"sentinel auth-pass mymaster {password}")
    lines += ["sentinel down-after-milliseconds mymaster 1000", "sentinel failover-timeout mymaster 6000"]
    watchers = [
        Server(directory / f"sentinel-{number}", certificate=certificate, options=lines, sentinel=True)
        for number in range(3)
    ]
    with running(first, *others, *watchers):
        until(lambda: all(_knows(each, replicas) for each in watchers), "the Sentinels know each other")
        until(lambda: all(_in_sync(each) for each in others), "the replicas are in sync")
        yield Sentinels([first, *others], watchers)


@contextmanager
def cluster(
    directory: Path, *, password: str | None = None, certificate: Certificate | None = None
) -> Iterator[list[Server]]:
    """Three primaries and a replica of each, complete and in sync; primaries first."""
    nodes = [
        Server(directory / f"node-{number}", password=password, certificate=certificate, options=in_cluster())
        for number in range(6)
    ]
    with running(*nodes):
        join(nodes[:3], nodes[3:])
        yield nodes


def in_cluster() -> list[str]:
    """Options of one node of a cluster. Its bus has a port of its own."""
    return [
        "cluster-enabled yes",
        f"cluster-port {free_port()}",
        "cluster-node-timeout 2000",
        "cluster-require-full-coverage no",
    ]


def join(primaries: Sequence[Server], replicas: Sequence[Server] = ()) -> None:
    """Makes one cluster of running nodes, and returns when it is whole; each replica follows its namesake."""
    clients = [node.client() for node in (*primaries, *replicas)]
    share = _SLOTS / len(primaries)
    for number, (node, client) in enumerate(zip((*primaries, *replicas), clients, strict=True)):
        client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
        if number < len(primaries):
            client.execute_command("CLUSTER ADDSLOTSRANGE", int(share * number), int(share * (number + 1)) - 1)
        if number > 0:
            bus = next(each.split()[1] for each in node.options if each.startswith("cluster-port"))
            clients[0].execute_command("CLUSTER MEET", node.address, node.port, bus)
    everybody = str(len(clients))
    until(lambda: all(_cluster(each)["cluster_known_nodes"] == everybody for each in clients), "they know each other")
    for primary, client in zip(primaries, clients[len(primaries) :], strict=False):
        client.execute_command("CLUSTER REPLICATE", primary.client().execute_command("CLUSTER MYID"))
    until(lambda: all(_cluster(each)["cluster_state"] == "ok" for each in clients), "the cluster is whole")
    until(lambda: all(_in_sync(each) for each in replicas), "the replicas are in sync")


def _cluster(client: Any) -> dict[str, str]:
    found: dict[str, str] = client.execute_command("CLUSTER INFO")
    return {key: str(value) for key, value in found.items()}


def _role(server: Server) -> str | None:
    try:
        return str(server.client().info("replication")["role"])
    except redis.RedisError:
        return None


def _in_sync(replica: Server) -> bool:
    found = replica.client().info("replication")
    return (found["role"], found.get("master_link_status")) == ("slave", "up")


def _knows(sentinel: Server, replicas: int) -> bool:
    found = sentinel.client().sentinel_master("mymaster")
    return (found["num-other-sentinels"], found["num-slaves"]) == (2, replicas)


def until(holds: Callable[[], bool], what: str, *, seconds: float = _START_SECONDS) -> None:
    """Waits until the condition holds, also while Redis does not answer. Raises `RuntimeError`."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        try:
            if holds():
                return
        except redis.RedisError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"not within {seconds:g} s: {what}")
