"""The sandbox's page: plain files, the state as JSON, and three actions."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from rehearsal.sandbox.faults import CannotBreak
from rehearsal.sandbox.state import State
from simulators import http_server
from simulators.http_server import send

_HERE = Path(__file__).parent
_RUNBOOKS = _HERE.parents[1] / "docs" / "runbooks"
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


@contextmanager
def serving(state: State, *, token: str, port: int) -> Iterator[str]:
    """The URL, as long as the block; from the moment when somebody asks for the end, nothing is answered any more."""
    ended = threading.Event()

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        host = handler.headers.get("Host", "")
        if ended.is_set():
            _send(handler, 503, "the sandbox has ended")
        elif host.partition(":")[0] not in ("localhost", "127.0.0.1"):
            # A name of somebody else's that leads here (DNS rebinding).
            _send(handler, 403, "the page is at http://localhost")
        elif handler.command == "POST":
            _act(handler)
        else:
            _show(handler)

    def _act(handler: BaseHTTPRequestHandler) -> None:
        action, _, fault = handler.path.strip("/").partition("/")
        if handler.headers.get("X-Sandbox") != token:
            _send(handler, 403, "without the sandbox's token")
            return
        try:
            match action:
                case "break":
                    _send(handler, 200, state.faults.cause(fault))
                case "repair":
                    _send(handler, 200, state.faults.repair())
                case "end":
                    ended.set()
                    _send(handler, 200, "the sandbox ends")
                case _:
                    _send(handler, 404, f"no action {action}")
        except CannotBreak as error:
            _send(handler, 409, str(error))
        except Exception as error:
            _send(handler, 500, f"{type(error).__name__}: {error}")

    def _show(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/alive":
            _send(handler, 200, state.account.name)
        elif handler.path == "/state":
            _send(handler, 200, json.dumps(state.now(), default=str), "application/json")
        elif handler.path.startswith("/runbooks/"):
            file = _RUNBOOKS / f"{handler.path.removeprefix('/runbooks/')}.md"
            known = file.parent == _RUNBOOKS and file.exists()
            _send(handler, 200 if known else 404, file.read_text() if known else "no such runbook")
        elif handler.path in FILES:
            name, kind = FILES[handler.path]
            _send(handler, 200, (_HERE / name).read_text().replace("{{token}}", token), kind)
        else:
            _send(handler, 404, "not found")

    with http_server.serving(respond, port=port):
        yield f"http://localhost:{port}"


def _send(handler: BaseHTTPRequestHandler, status: int, text: str, kind: str = "text/plain") -> None:
    headers: dict[str, Any] = {"Content_Type": f"{kind}; charset=utf-8", "Cache_Control": "no-store"}
    send(handler, status, text.encode(), **headers)
