"""Cloudflare's analytics (GraphQL): what happened at the edge, in closed windows of five minutes.

Counts are estimates where Cloudflare has sampled, and scaled up by it already. A window is asked for once it is five
minutes old: until then more of it may come in.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from infra_runtime.cloudflare.api import BASE_URL, new_pace
from infra_runtime.vendor_api import Pace, Refused, VendorApi

WINDOW = timedelta(minutes=5)
LAG = timedelta(minutes=5)
_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_TRAFFIC, _SECURITY = "httpRequestsAdaptiveGroups", "firewallEventsAdaptiveGroups"
# Status codes of responses with the object, or a range of it.
_SERVED = frozenset({200, 206})
# Served by the edge without the origin's bytes ("Cache status"; read 2026-11): revalidated ones cost a 304.
_HITS = frozenset({"hit", "stale", "updating", "revalidated"})
_DDOS = frozenset({"l7ddos"})
# Actions that kept a request from the origin, or made it wait. Others (`skip`, `log`, `allow`, challenges that were
# solved) are of ordinary traffic. GraphQL writes `managed_challenge`, the logs `managedChallenge`: compared without _.
_MITIGATES = frozenset(
    {"block", "challenge", "jschallenge", "managedchallenge", "connectionclose", "forceconnectionclose"}
)

_SETTINGS = """query ($zone: string!) { viewer { zones(filter: {zoneTag: $zone}) { settings {
  httpRequestsAdaptiveGroups { enabled maxDuration maxPageSize notOlderThan }
  firewallEventsAdaptiveGroups { enabled maxDuration maxPageSize notOlderThan }
} } } }"""
_WHEN = "datetime_geq: $from, datetime_lt: $until"
_QUERIES = {
    _TRAFFIC: f"""query ($zone: string!, $from: Time!, $until: Time!, $hosts: [string!], $limit: uint64!) {{
  viewer {{ zones(filter: {{zoneTag: $zone}}) {{ found: httpRequestsAdaptiveGroups(
    limit: $limit,
    filter: {{{_WHEN}, requestSource: "eyeball", clientRequestHTTPHost_in: $hosts}}
  ) {{
    count avg {{ sampleInterval }} sum {{ edgeResponseBytes }}
    dimensions {{ datetimeFiveMinutes clientRequestHTTPHost cacheStatus edgeResponseStatus }}
  }} }} }} }}""",
    _SECURITY: f"""query ($zone: string!, $from: Time!, $until: Time!, $hosts: [string!], $limit: uint64!) {{
  viewer {{ zones(filter: {{zoneTag: $zone}}) {{ found: firewallEventsAdaptiveGroups(
    limit: $limit,
    filter: {{{_WHEN}, clientRequestHTTPHost_in: $hosts}}
  ) {{
    count avg {{ sampleInterval }} dimensions {{ datetimeFiveMinutes action source }}
  }} }} }} }}""",
}


class TooManyGroups(Exception):
    """Five minutes have more groups of traffic than the plan allows in one query."""


@dataclass(kw_only=True)
class Analytics(VendorApi):
    """Reads only."""

    token: str = field(repr=False)
    base_url: str = BASE_URL
    pace: Pace = field(default_factory=new_pace, repr=False)

    def ask(self, query: str, **variables: Any) -> Any:
        """The zone that the query is about. Raises `Refused`, `Unavailable`."""
        body = {"query": query, "variables": variables}
        zones = self._ask("POST", "/graphql", body=body, is_read=True)["data"]["viewer"]["zones"]
        if len(zones) != 1:
            raise Refused("GraphQL: no such zone, or none that the token may read (Zone Analytics Read)")
        return zones[0]

    def _authorization(self) -> str:
        return f"Bearer {self.token}"

    def _understood(self, response: httpx.Response, *, is_read: bool) -> Any:  # noqa: ARG002  (all are reads)
        try:
            answer = response.json()
        except ValueError:
            return None
        is_whole = isinstance(answer, dict) and (answer.get("data") is not None or answer.get("errors"))
        return answer if is_whole else None

    def _definite(self, what: str, status: int, answer: Any) -> Any:
        if status < 400 and not answer.get("errors"):
            return answer
        # Of the API itself, or of GraphQL: both have a list of errors with messages.
        errors = [each for each in answer.get("errors") or [] if isinstance(each, dict)]
        text = "; ".join(str(each.get("message")) for each in errors) or "no reason given"
        raise Refused(self.redact(f"{what}: HTTP {status}: {text}"))


@dataclass(frozen=True)
class DatasetLimits:
    """Limits of one dataset on the zone's plan."""

    enabled: bool
    longest: timedelta
    page: int
    oldest: timedelta


@dataclass
class Window:
    """Five minutes."""

    start: datetime
    requests: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By host and cache status."""
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Bytes, by the same."""
    server_errors: Counter[str] = field(default_factory=Counter)
    """By host."""
    served: Counter[str] = field(default_factory=Counter)
    """By host: requests answered with 200 or 206."""
    served_bytes: Counter[str] = field(default_factory=Counter)
    """Bytes of these answers, their headers included."""
    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By action and source."""
    sample_interval: float = 1

    def hits(self, host: str) -> tuple[float, float]:
        """(requests, bytes) that no origin was asked for."""
        return tuple(
            sum(value for (of, status), value in counted.items() if of == host and status in _HITS)
            for counted in (self.requests, self.sent)
        )  # type: ignore[return-value]

    def total(self, counted: Mapping[tuple[str, str], float], host: str) -> float:
        return sum(value for (of, _), value in counted.items() if of == host)

    @property
    def mitigated(self) -> float:
        """Events of requests that were blocked or challenged."""
        return sum(value for (action, _), value in self.events.items() if action.replace("_", "").lower() in _MITIGATES)

    @property
    def ddos(self) -> float:
        return sum(value for (_, source), value in self.events.items() if source in _DDOS)


@dataclass(frozen=True)
class Bridge:
    """One environment's part of one zone."""

    api: Analytics
    zone: str
    """Id."""
    hosts: Sequence[str]

    def limits(self) -> dict[str, DatasetLimits]:
        """By dataset."""
        settings = self.api.ask(_SETTINGS, zone=self.zone)["settings"]
        return {
            name: DatasetLimits(
                enabled=bool(each["enabled"]),
                longest=timedelta(seconds=each["maxDuration"]),
                page=int(each["maxPageSize"]),
                oldest=timedelta(seconds=each["notOlderThan"]),
            )
            for name, each in settings.items()
            if each is not None
        }

    def windows(self, begin: datetime, end: datetime, limits: Mapping[str, DatasetLimits]) -> list[Window]:
        """Every window of the time, those without traffic as well. Raises `TooManyGroups`."""
        found = {at: Window(at) for at in _each(begin, end)}
        for dataset, use in ((_TRAFFIC, _traffic), (_SECURITY, _events)):
            allowed = limits.get(dataset)
            if allowed is None or not allowed.enabled:
                continue
            for row in self._rows(dataset, begin, end, allowed):
                use(found[_time(row["dimensions"]["datetimeFiveMinutes"])], row)
        return list(found.values())

    def _rows(self, dataset: str, begin: datetime, end: datetime, limits: DatasetLimits) -> Iterator[Mapping[str, Any]]:
        if end - begin > max(limits.longest, WINDOW):
            yield from self._halves(dataset, begin, end, limits)
            return
        of = {"hosts": list(self.hosts), "from": begin.strftime(_FORMAT), "until": end.strftime(_FORMAT)}
        rows = self.api.ask(_QUERIES[dataset], zone=self.zone, limit=limits.page, **of)["found"]
        if len(rows) < limits.page:
            yield from rows
        elif end - begin > WINDOW:
            # A full page may not be all.
            yield from self._halves(dataset, begin, end, limits)
        else:
            raise TooManyGroups(f"{dataset}: {len(rows)} groups in the five minutes from {of['from']}")

    def _halves(
        self, dataset: str, begin: datetime, end: datetime, limits: DatasetLimits
    ) -> Iterator[Mapping[str, Any]]:
        middle = begin + max(1, (end - begin) // WINDOW // 2) * WINDOW
        yield from self._rows(dataset, begin, middle, limits)
        yield from self._rows(dataset, middle, end, limits)


def _traffic(window: Window, row: Mapping[str, Any]) -> None:
    dimensions = row["dimensions"]
    host = dimensions["clientRequestHTTPHost"]
    key = (host, dimensions["cacheStatus"])
    window.requests[key] += row["count"]
    window.sent[key] += row["sum"]["edgeResponseBytes"]
    if dimensions["edgeResponseStatus"] >= 500:
        window.server_errors[host] += row["count"]
    if dimensions["edgeResponseStatus"] in _SERVED:
        window.served[host] += row["count"]
        window.served_bytes[host] += row["sum"]["edgeResponseBytes"]
    window.sample_interval = max(window.sample_interval, row["avg"]["sampleInterval"])


def _events(window: Window, row: Mapping[str, Any]) -> None:
    window.events[row["dimensions"]["action"], row["dimensions"]["source"]] += row["count"]
    window.sample_interval = max(window.sample_interval, row["avg"]["sampleInterval"])


def closed(now: datetime) -> datetime:
    """End of the newest window that is complete."""
    settled = now - LAG
    return settled - (settled - datetime.min.replace(tzinfo=UTC)) % WINDOW


def _each(begin: datetime, end: datetime) -> Iterator[datetime]:
    while begin < end:
        yield begin
        begin += WINDOW


def _time(text: str) -> datetime:
    return datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
