"""Proxies between a client and Redis, and servers in Redis' place, that misbehave on purpose."""

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from simulators.ports import LOOPBACK


@contextmanager
def _listener(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Gives each connection to `serve`, on a thread of its own. Yields the port."""
    server = socket.create_server((LOOPBACK, 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # Closed at the end of the block.
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield int(server.getsockname()[1])
    finally:
        # An accept() that is under way keeps a closed socket alive: this ends it.
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


@dataclass
class Gate:
    """A proxy in front of a server, transparent until it is set to misbehave."""

    server: int
    """Port of the server for new connections; existing ones stay with theirs."""
    port: int = 0
    delay_ms: float = 0.0
    """Seconds by which every answer is delayed."""
    drops: bool = False
    """Accepts and closes all connections, existing ones included."""

    def open(self) -> None:
        self.delay_ms, self.drops = 0.0, False

    @classmethod
    @contextmanager
    def before(cls, server: int, *, delay_ms: float = 0.0) -> Iterator["Gate"]:
        gate = cls(server=server, delay_ms=delay_ms)

        def serve(near: socket.socket) -> None:
            with near, contextlib.ExitStack() as stack:
                try:
                    far = stack.enter_context(socket.create_connection((LOOPBACK, gate.server)))
                except OSError:  # No server: a load balancer closes the connection, too.
                    return
                far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=gate._pump, args=(near, far), daemon=True).start()
                gate._pump(far, near, delays=True)

        with _listener(serve) as gate.port:
            yield gate

    def _pump(self, source: socket.socket, sink: socket.socket, *, delays: bool = False) -> None:
        """Simulates latency, not limited bandwidth: data that arrives together is passed on together."""
        under_way: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

        def receive() -> None:
            with contextlib.suppress(OSError):
                while not self.drops and (data := source.recv(65536)) and not self.drops:
                    under_way.put((time.perf_counter() + (self.delay_ms / 1000 if delays else 0.0), data))
            under_way.put((0.0, b""))

        threading.Thread(target=receive, daemon=True).start()
        with contextlib.suppress(OSError):
            while (arrival := under_way.get())[1]:
                _wait_until(arrival[0])
                sink.sendall(arrival[1])
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _wait_until(due: float) -> None:
    """Sleeping alone is late by up to a millisecond, which is what 99 and 100 are apart."""
    time.sleep(max(0.0, due - time.perf_counter() - 0.003))
    while time.perf_counter() < due:
        pass


Refuses = Callable[[Sequence[bytes]], bytes | None]
"""The error that a command gets, in RESP and without its dash and line break; None where the server may answer."""


@contextmanager
def lacking(server: int, refuses: Refuses) -> Iterator[int]:
    """A proxy that refuses some commands, like an older server or a limited proxy: one command at a time."""

    def serve(near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection((LOOPBACK, server)) as far:
            requests, replies = near.makefile("rb"), far.makefile("rb")
            while header := requests.readline():
                words = [_bulk(requests) for _ in range(int(header[1:]))]
                if (error := refuses(words)) is not None:
                    near.sendall(b"-" + error + b"\r\n")
                    continue
                request = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
                far.sendall(b"*%d\r\n%s" % (len(words), request))
                near.sendall(_reply(replies))

    with _listener(serve) as port:
        yield port


def _bulk(source: BinaryIO) -> bytes:
    return source.read(int(source.readline()[1:]) + 2)[:-2]


def _reply(source: BinaryIO) -> bytes:
    """One reply of RESP2, whole."""
    line = source.readline()
    length = int(line[1:]) if line[:1] in b"$*" else -1
    if line.startswith(b"*"):
        return line + b"".join(_reply(source) for _ in range(length))
    return line + (source.read(length + 2) if length >= 0 else b"")


@contextmanager
def silent() -> Iterator[int]:
    """Accepts connections and reads, but never answers."""

    def serve(connection: socket.socket) -> None:
        with connection:
            while connection.recv(4096):
                pass

    with _listener(serve) as port:
        yield port


@contextmanager
def hangs_up() -> Iterator[int]:
    """Accepts a connection, and closes it at the first command."""

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(4096)

    with _listener(serve) as port:
        yield port


@contextmanager
def says(answer: bytes) -> Iterator[int]:
    """Gives the same answer to every request."""

    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while connection.recv(4096):
                connection.sendall(answer)

    with _listener(serve) as port:
        yield port
