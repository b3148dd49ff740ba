"""What stands between a client and Redis, or in Redis' place."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_LOOPBACK = "127.0.0.1"


@contextmanager
def _listener(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Gives each connection to `serve`, on a thread of its own. Yields the port."""
    server = socket.create_server((_LOOPBACK, 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:  # Closed: the block is over.
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


@contextmanager
def delaying(port: int, milliseconds: float) -> Iterator[int]:
    """In front of a server: every answer comes later by as much."""

    def serve(near: socket.socket) -> None:
        with near, socket.create_connection((_LOOPBACK, port)) as far:
            far.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=_pump, args=(near, far, 0.0), daemon=True).start()
            _pump(far, near, milliseconds / 1000)

    with _listener(serve) as own:
        yield own


def _pump(source: socket.socket, sink: socket.socket, seconds: float) -> None:
    try:
        while data := source.recv(65536):
            if seconds:
                _wait(seconds)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


def _wait(seconds: float) -> None:
    """Sleeping alone is late by up to a millisecond, which is what 99 and 100 are apart."""
    due = time.perf_counter() + seconds
    time.sleep(max(0.0, seconds - 0.003))
    while time.perf_counter() < due:
        pass


@contextmanager
def silent() -> Iterator[int]:
    """Accepts, reads, and never says a word."""

    def serve(connection: socket.socket) -> None:
        with connection:
            while connection.recv(4096):
                pass

    with _listener(serve) as port:
        yield port


@contextmanager
def web_server() -> Iterator[int]:
    """Something that listens where Redis was expected."""

    def serve(connection: socket.socket) -> None:
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with _listener(serve) as port:
        yield port
