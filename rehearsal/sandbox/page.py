"""The sandbox's page: plain files, the state as JSON, and three actions."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
    "/": (_HERE / "page.html", "text/html"),
    "/page.css": (_HERE / "page.css", "text/css"),
    "/page.js": (_HERE / "page.js", "text/javascript"),
}


@contextmanager
def serving(state: State, *, token: str, port: int) -> Iterator[str]:
    """Yields the URL and serves during the block. Once the end is requested, it refuses all further requests."""
    with http_server.serving(_Page(state, token).respond, port=port):
        yield f"http://localhost:{port}"


@dataclass
class _Page:
    state: State
    token: str
    has_ended: bool = False

    def respond(self, handler: BaseHTTPRequestHandler, _: bytes) -> None:
        host = handler.headers.get("Host", "").partition(":")[0]
        if self.has_ended:
            _send(handler, 503, "the sandbox has ended")
        elif host not in ("localhost", "127.0.0.1"):
            # Another name that resolves to this machine (DNS rebinding).
            _send(handler, 403, "the page is at http://localhost")
        elif handler.command == "POST":
            _send(handler, *self._acted(handler))
        else:
            _send(handler, *self._shown(handler.path))

    def _acted(self, handler: BaseHTTPRequestHandler) -> tuple[int, str]:
        action, _, fault = handler.path.strip("/").partition("/")
        if handler.headers.get("X-Sandbox") != self.token:
            return 403, "the request lacks the sandbox's token"
        try:
            match action:
                case "break":
                    return 200, self.state.faults.cause(fault)
                case "repair":
                    return 200, self.state.faults.repair()
                case "end":
                    self.has_ended = True
                    return 200, "the sandbox ends"
        except CannotBreak as error:
            return 409, str(error)
        except Exception as error:
            return 500, f"{type(error).__name__}: {error}"
        return 404, f"no action {action}"

    def _shown(self, path: str) -> tuple[int, str, str]:
        if path in FILES:
            file, kind = FILES[path]
            return 200, file.read_text().replace("{{token}}", self.token), kind
        match path:
            case "/alive":
                return 200, self.state.account.name, "text/plain"
            case "/state":
                return _json(self.state.now())
            case "/addresses":
                return _json(self.state.addresses)
            case "/alarms":
                self.state.refresh("alarms")
                return _json(self.state.sections["alarms"])
        file = _RUNBOOKS / f"{path.removeprefix('/runbooks/')}.md"
        if path.startswith("/runbooks/") and file.parent == _RUNBOOKS and file.exists():
            return 200, file.read_text(), "text/plain"
        return 404, "not found", "text/plain"


def _json(document: Any) -> tuple[int, str, str]:
    return 200, json.dumps(document, default=str), "application/json"


def _send(handler: BaseHTTPRequestHandler, status: int, text: str, kind: str = "text/plain") -> None:
    headers: dict[str, Any] = {"Content-Type": f"{kind}; charset=utf-8", "Cache-Control": "no-store"}
    send(handler, status, text.encode(), **headers)
