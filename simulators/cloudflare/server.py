"""The simulator behind a real HTTP server on 127.0.0.1, or in process for tests without sockets."""

import email
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx

from simulators.cloudflare.protocol import ApiCall
from simulators.cloudflare.simulator import CloudflareSimulator
from simulators.cloudflare.world import World
from simulators.http_server import send, serving

_BASE = "/client/v4"
Intercept = Callable[[BaseHTTPRequestHandler, ApiCall], bool]
"""Called with each request before it is answered; returns True if it has answered, or failed, the request itself."""


def in_process(simulator: CloudflareSimulator) -> httpx.Client:
    def respond(request: httpx.Request) -> httpx.Response:
        answer = simulator.answer(_call(request.method, str(request.url), request.headers, request.content))
        return httpx.Response(answer.status, json=answer.body, headers=dict(answer.headers))

    return httpx.Client(transport=httpx.MockTransport(respond))


@contextmanager
def served(simulator: CloudflareSimulator, *, intercept: Intercept | None = None) -> Iterator[str]:
    """The base URL of a server that runs as long as the block."""

    def respond(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        call = _call(handler.command, handler.path, handler.headers, content)
        if call.path == "/dns-query":
            send(handler, 200, json.dumps(resolve(simulator.world, call.query["name"])).encode())
            return
        if intercept is not None and intercept(handler, call):
            return
        answer = simulator.answer(call)
        send(handler, answer.status, json.dumps(answer.body).encode(), **answer.headers)

    with serving(respond) as root:
        yield f"{root}{_BASE}"


def resolve(world: World, name: str) -> dict[str, Any]:
    """Answer of the simulated name servers, in the form of DNS over HTTPS. It hides proxied records' content."""
    found = [
        {"name": name, "type": 5, "data": record["content"]}
        for zone in world.zones
        for record in zone.records.values()
        if record["name"] == name and record["type"] == "CNAME" and not record["proxied"]
    ]
    return {"Status": 0 if found else 3, "Answer": found}


def _call(method: str, url: str, headers: Any, content: bytes) -> ApiCall:
    parts = urlsplit(url)
    body, files = _form(headers["Content-Type"], content) if _is_form(headers) else (None, {})
    return ApiCall(
        method,
        parts.path.removeprefix(_BASE),
        dict(parse_qsl(parts.query)),
        body or (json.loads(content) if content else None),
        headers.get("Authorization", "").removeprefix("Bearer "),
        files,
    )


def _is_form(headers: Any) -> bool:
    return str(headers.get("Content-Type", "")).startswith("multipart/form-data")


def _form(content_type: str, content: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """(JSON parts, files) of a multipart form, by name."""
    message = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + content)
    body, files = {}, {}
    for part in message.get_payload():
        name = part.get_param("name", header="content-disposition")  # type: ignore[union-attr]
        text = part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        if part.get_content_type() == "application/json":  # type: ignore[union-attr]
            body[str(name)] = json.loads(text)
        else:
            files[str(name)] = text
    return body, files
