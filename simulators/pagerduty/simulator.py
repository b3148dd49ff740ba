"""PagerDuty's Events API v2: events of one integration, and the incidents that they open and resolve.

Source: PagerDuty/api-schema, reference/events-v2/openapiv3.json, and the example responses of its documentation.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from simulators.http_server import send, serving

ROUTING_KEY = "rehearsedpagerdutyroutingkey0000"
_SEVERITIES = ("critical", "error", "warning", "info")
_LONGEST_KEY = 255


@dataclass
class Incident:
    """An incident of one dedup key, from its trigger to its resolve."""

    summary: str
    severity: str
    triggers: int = 1
    is_resolved: bool = False
    at: float = field(default_factory=time.time)
    """Time of its first trigger; seconds since 1970."""


@dataclass
class PagerDuty:
    incidents: dict[str, list[Incident]] = field(default_factory=dict)
    """Incidents by dedup key, the newest last."""
    trouble: list[int] = field(default_factory=list)
    """HTTP statuses of the next answers, which override the real ones."""

    def answer(self, path: str, content: bytes) -> tuple[int, Any]:
        if self.trouble:
            return self.trouble.pop(0), {"status": "throttle exceeded", "message": "Requests exceed the limit"}
        if path != "/v2/enqueue":
            return 404, {"status": "not found", "message": "Not found"}
        try:
            event = json.loads(content)
        except ValueError:
            return _refused("JSON parse error")
        errors = list(_errors(event)) if isinstance(event, Mapping) else ["Event object format is unrecognized"]
        if errors:
            return _refused(*errors)
        key = event.get("dedup_key") or f"made-{len(self.incidents)}"
        self._take(key, event)
        return 202, {"status": "success", "message": "Event processed", "dedup_key": key}

    def _take(self, key: str, event: Mapping[str, Any]) -> None:
        incidents = self.incidents.setdefault(key, [])
        is_open = bool(incidents) and not incidents[-1].is_resolved
        if event["event_action"] == "trigger":
            if is_open:
                incidents[-1].triggers += 1
            else:
                incidents.append(Incident(event["payload"]["summary"], event["payload"]["severity"]))
        elif event["event_action"] == "resolve" and is_open:
            incidents[-1].is_resolved = True


def _errors(event: Mapping[str, Any]) -> Iterator[str]:
    if len(str(event.get("routing_key", ""))) != len(ROUTING_KEY):
        yield "Length of 'routing_key' is incorrect (should be 32 characters)"
    elif event["routing_key"] != ROUTING_KEY:
        yield "'routing_key' is invalid"
    if event.get("event_action") not in ("trigger", "acknowledge", "resolve"):
        yield "'event_action' is invalid"
    if len(event.get("dedup_key", "")) > _LONGEST_KEY:
        yield "'dedup_key' is too long"
    if event.get("event_action") != "trigger":
        if not event.get("dedup_key"):
            yield "'dedup_key' is missing or blank"
        return
    payload = event.get("payload", {})
    for name in ("summary", "source", "severity"):
        if not payload.get(name):
            yield f"'payload.{name}' is missing or blank"
    if payload.get("severity") not in _SEVERITIES:
        yield "'payload.severity' is invalid (must be one of: 'critical', 'warning', 'error' or 'info')"


def _refused(*errors: str) -> tuple[int, Any]:
    return 400, {"status": "invalid event", "message": "Event object is invalid", "errors": list(errors)}


@contextmanager
def served(pagerduty: PagerDuty) -> Iterator[str]:
    """Yields the URL that takes events for the duration of the block."""

    def respond(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        status, body = pagerduty.answer(handler.path, content)
        send(handler, status, json.dumps(body).encode())

    with serving(respond) as url:
        yield f"{url}/v2/enqueue"
