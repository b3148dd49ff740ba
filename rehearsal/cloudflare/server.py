"""The simulator behind a real HTTP server, on 127.0.0.1; and in process, where a test has no use for sockets."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from rehearsal.cloudflare.protocol import Call
from rehearsal.cloudflare.simulator import Simulator
from rehearsal.cloudflare.world import World

_BASE = "/client/v4"
Intercept = Callable[[BaseHTTPRequestHandler, Call], bool]
"""Given each request before it is answered; True when it has answered, or spoiled, it itself."""


def in_process(simulator: Simulator) -> httpx.Client:
    def respond(request: httpx.Request) -> httpx.Response:
        answer = simulator.answer(_call(request.method, str(request.url), request.headers, request.content))
        return httpx.Response(answer.status, json=answer.body, headers=dict(answer.headers))

    return httpx.Client(transport=httpx.MockTransport(respond))


@contextmanager
def served(simulator: Simulator, *, intercept: Intercept | None = None) -> Iterator[str]:
    """The base URL of a server that runs as long as the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body in one packet: two would wait for each other, forty milliseconds an answer.
        wbufsize = -1
        disable_nagle_algorithm = True

        def _respond(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            call = _call(self.command, self.path, self.headers, content)
            if call.path == "/dns-query":
                send(self, 200, json.dumps(resolve(simulator.world, call.query["name"])).encode())
                return
            if intercept is not None and intercept(self, call):
                return
            answer = simulator.answer(call)
            send(self, answer.status, json.dumps(answer.body).encode(), **answer.headers)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond  # noqa: N815

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{_BASE}"
    finally:
        server.shutdown()
        server.server_close()


def resolve(world: World, name: str) -> dict[str, Any]:
    """What the world's name servers say, in the form of DNS over HTTPS. A proxied record shows nobody its content."""
    found = [
        {"name": name, "type": 5, "data": record["content"]}
        for zone in world.zones
        for record in zone.records.values()
        if record["name"] == name and record["type"] == "CNAME" and not record["proxied"]
    ]
    return {"Status": 0 if found else 3, "Answer": found}


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Type": "application/json", **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def _call(method: str, url: str, headers: Any, content: bytes) -> Call:
    parts = urlsplit(url)
    return Call(
        method,
        parts.path.removeprefix(_BASE),
        dict(parse_qsl(parts.query)),
        json.loads(content) if content else None,
        headers.get("Authorization", "").removeprefix("Bearer "),
    )
