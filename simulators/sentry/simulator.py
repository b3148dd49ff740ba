"""Sentry's API for releases. It refuses what sentry-cli refuses, or what Sentry refuses to it."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from simulators.http_server import Call, send, serving

TOKEN = "sntrys_what-stands-for-a-token-here"  # noqa: S105
_ROOT = r"/api/0/organizations/([a-z0-9_-]+)/releases/"


@dataclass
class SentrySimulator:
    organization: str = "acme"
    releases: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Releases by version."""
    deploys: list[dict[str, Any]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    def answer(self, method: str, path: str, headers: Mapping[str, str], content: bytes) -> tuple[int, Any]:
        body = json.loads(content) if content else {}
        self.calls.append(Call(method, path, body))
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 401, {"detail": "Invalid token"}
        at = re.fullmatch(_ROOT + r"(?:([^/]+)/)?(deploys/)?", path)
        if at is None or at[1] != self.organization:
            return 404, {"detail": "The requested resource does not exist"}
        version, is_deploy = at[2], bool(at[3])
        if (method, version) == ("POST", None):
            return self._make(body)
        if version not in self.releases:
            return 404, {"detail": "The requested resource does not exist"}
        if method == "PUT" and not is_deploy:
            self.releases[version] |= body
            return 200, self._document(version)
        if method == "POST" and is_deploy:
            if not body.get("environment"):
                return 400, {"environment": ["This field is required."]}
            self.deploys.append({**body, "version": version})
            return 201, {"id": str(len(self.deploys)), **body}
        return 405, {"detail": f'Method "{method}" not allowed.'}

    def _make(self, body: Mapping[str, Any]) -> tuple[int, Any]:
        version = body.get("version", "")
        if not version or len(version) > 200 or re.search(r"[\n\t/]", version) or version in (".", ".."):
            return 400, {"version": ["Release name cannot be empty, and may hold no slash, tab or line break"]}
        if not body.get("projects"):
            return 400, {"projects": ["This list may not be empty."]}
        was_there = version in self.releases
        self.releases.setdefault(version, dict(body))
        return (208 if was_there else 201), self._document(version)

    def _document(self, version: str) -> dict[str, Any]:
        projects = [{"slug": each, "name": each, "id": 1} for each in self.releases[version]["projects"]]
        dates = {"dateCreated": "2026-01-01T00:00:00Z", "dateReleased": self.releases[version].get("dateReleased")}
        return {"version": version, "projects": projects, "newGroups": 0, **dates}


@contextmanager
def served(sentry: SentrySimulator) -> Iterator[str]:
    """Its URL, for as long as the block."""

    def respond(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        status, body = sentry.answer(handler.command, handler.path, handler.headers, content)  # type: ignore[arg-type]
        send(handler, status, json.dumps(body).encode())

    with serving(respond) as url:
        yield url
