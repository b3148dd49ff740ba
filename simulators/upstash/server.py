"""The simulator behind a real HTTP server, with a real Redis behind each of its databases."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from simulators.http_server import send, serving
from simulators.ports import own_address
from simulators.redis.authority import Authority
from simulators.redis.server import Server
from simulators.upstash.simulator import UpstashSimulator, somebody_elses

_PORT = 6379


@dataclass(frozen=True)
class Served:
    simulator: UpstashSimulator
    url: str


@contextmanager
def served(authority: Authority, directory: Path, simulator: UpstashSimulator | None = None) -> Iterator[Served]:
    """Serves the simulator during the block. The databases speak TLS, with certificates of the authority."""
    servers: dict[str, Server] = {}
    with ExitStack() as stack:

        def start(name: str, password: str) -> tuple[str, int]:
            address = own_address(_PORT)
            certificate = authority.certificate(address)
            server = Server(
                directory / f"upstash-{name}-{address}",
                address=address,
                port=_PORT,
                password=password,
                certificate=certificate,
            )
            stack.callback(server.kill)
            servers[name] = server.start()
            return address, _PORT

        def stop(name: str) -> None:
            servers.pop(name).kill()

        found = simulator or UpstashSimulator()
        others = somebody_elses()
        found.databases[others["database_id"]] = others
        found.start, found.stop = start, stop

        def respond(handler: BaseHTTPRequestHandler, content: bytes) -> None:
            answer = found.answer(handler.command, handler.path, handler.headers, content)  # type: ignore[arg-type]
            send(handler, answer.status, json.dumps(answer.body).encode())

        yield Served(found, stack.enter_context(serving(respond)))
