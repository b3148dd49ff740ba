"""Cloudflare's GraphQL analytics, as far as we query them: late, sampled, and limited by the plan.

Names and types are from the documentation; only introspection in an account can confirm them
(docs/unverified-on-live.md).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from graphql import GraphQLError, build_schema, graphql_sync

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_SCHEMA = build_schema("""
scalar Time
scalar string
scalar uint64
scalar float64
scalar boolean
type Query { viewer: Viewer! }
type Viewer { zones(filter: ZoneFilter!): [Zone!]! }
input ZoneFilter { zoneTag: string! }
type Zone {
  settings: Settings!
  httpRequestsAdaptiveGroups(limit: uint64!, filter: RequestFilter!): [RequestGroup!]!
  firewallEventsAdaptiveGroups(limit: uint64!, filter: EventFilter!): [EventGroup!]!
}
type Settings { httpRequestsAdaptiveGroups: Limits!  firewallEventsAdaptiveGroups: Limits! }
type Limits { enabled: boolean!  maxDuration: uint64!  maxPageSize: uint64!  notOlderThan: uint64! }
input RequestFilter {
  datetime_geq: Time  datetime_lt: Time  requestSource: string
  clientRequestHTTPHost: string  clientRequestHTTPHost_in: [string!]
}
input EventFilter { datetime_geq: Time  datetime_lt: Time  clientRequestHTTPHost_in: [string!] }
type RequestGroup { count: uint64!  avg: Avg!  sum: RequestSum!  dimensions: RequestDimensions! }
type EventGroup { count: uint64!  avg: Avg!  dimensions: EventDimensions! }
type Avg { sampleInterval: float64! }
type RequestSum { edgeResponseBytes: uint64! }
type RequestDimensions {
  datetimeFiveMinutes: Time  clientRequestHTTPHost: string  cacheStatus: string  edgeResponseStatus: uint64
}
type EventDimensions { datetimeFiveMinutes: Time  action: string  source: string }
""")


@dataclass(frozen=True)
class SampledRequest:
    at: datetime
    host: str
    cache_status: str = "hit"
    size: int = 1000
    """Bytes to the user."""
    status: int = 200
    source: str = "eyeball"
    late: timedelta = timedelta(0)
    """How much later it appears in the analytics."""


@dataclass(frozen=True)
class Event:
    at: datetime
    host: str
    action: str = "block"
    rule_source: str = "firewallManaged"
    late: timedelta = timedelta(0)


@dataclass
class Dataset:
    enabled: bool = True
    longest: timedelta = timedelta(days=1)
    page: int = 10_000
    oldest: timedelta = timedelta(days=31)


@dataclass
class SampledTraffic:
    """Requests and events of a zone, and the limits of its plan for queries."""

    requests: list[SampledRequest] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    every: int = 1
    """Sampling: one request of this many is kept, and counts as this many."""
    of_requests: Dataset = field(default_factory=Dataset)
    of_events: Dataset = field(default_factory=Dataset)
    now: Any = field(default=lambda: datetime.now(UTC))


def answer(zones: Mapping[str, SampledTraffic], query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
    """The document with which the API answers; its status is 200 even with errors."""
    result = graphql_sync(_SCHEMA, query, root_value=_Root(zones), variable_values=dict(variables))
    errors = [{"message": each.message, "path": each.path} for each in result.errors or []]
    return {"data": None if errors else result.data, "errors": errors or None}


@dataclass
class _Root:
    known: Mapping[str, SampledTraffic]

    def viewer(self, _: Any) -> "_Root":
        return self

    def zones(self, _: Any, filter: Mapping[str, str]) -> "list[_Zone]":  # noqa: A002  (the API's own word)
        found = self.known.get(filter["zoneTag"])
        return [_Zone(found)] if found else []


@dataclass
class _Zone:
    traffic: SampledTraffic

    def settings(self, _: Any) -> dict[str, Any]:
        return {
            name: {
                "enabled": each.enabled,
                "maxDuration": int(each.longest.total_seconds()),
                "maxPageSize": each.page,
                "notOlderThan": int(each.oldest.total_seconds()),
            }
            for name, each in (
                ("httpRequestsAdaptiveGroups", self.traffic.of_requests),
                ("firewallEventsAdaptiveGroups", self.traffic.of_events),
            )
        }

    def httpRequestsAdaptiveGroups(self, info: Any, limit: int, filter: Mapping[str, Any]) -> list[Any]:  # noqa: A002, N802
        allowed = self.traffic.of_requests
        kept = [each for index, each in enumerate(self.traffic.requests) if index % self.traffic.every == 0]
        found = [
            each
            for each in self._visible(kept, allowed, filter, limit)
            if filter.get("requestSource") in (None, each.source)
            and filter.get("clientRequestHTTPHost") in (None, each.host)
        ]
        return self._grouped(
            info,
            found,
            {
                "datetimeFiveMinutes": lambda each: _five(each.at),
                "clientRequestHTTPHost": lambda each: each.host,
                "cacheStatus": lambda each: each.cache_status,
                "edgeResponseStatus": lambda each: each.status,
            },
            limit,
            weight=self.traffic.every,
        )

    def firewallEventsAdaptiveGroups(self, info: Any, limit: int, filter: Mapping[str, Any]) -> list[Any]:  # noqa: A002, N802
        return self._grouped(
            info,
            self._visible(self.traffic.events, self.traffic.of_events, filter, limit),
            {
                "datetimeFiveMinutes": lambda each: _five(each.at),
                "action": lambda each: each.action,
                "source": lambda each: each.rule_source,
            },
            limit,
            weight=1,
        )

    def _visible(self, kept: Iterable[Any], allowed: Dataset, asked: Mapping[str, Any], limit: int) -> list[Any]:
        begin, end = (datetime.strptime(asked[name], _FORMAT).replace(tzinfo=UTC) for name in _RANGE)
        now = self.traffic.now()
        if not allowed.enabled:
            raise GraphQLError("zone does not have access to the path")
        if end - begin > allowed.longest:
            raise GraphQLError(f"cannot request a time range wider than {allowed.longest}")
        if begin < now - allowed.oldest:
            raise GraphQLError(f"cannot request data older than {allowed.oldest}")
        if limit > allowed.page:
            raise GraphQLError(f"limit must be positive number and not greater than {allowed.page}")
        hosts: Sequence[str] | None = asked.get("clientRequestHTTPHost_in")
        return [
            each
            for each in kept
            if begin <= each.at < end and each.at + each.late <= now and (hosts is None or each.host in hosts)
        ]

    @staticmethod
    def _grouped(info: Any, rows: Sequence[Any], known: Mapping[str, Any], limit: int, *, weight: int) -> list[Any]:
        """Rows grouped by the dimensions in the query."""
        (node,) = info.field_nodes
        asked = [
            field_.name.value
            for selection in node.selection_set.selections
            if selection.name.value == "dimensions"
            for field_ in selection.selection_set.selections
        ]
        groups: defaultdict[tuple[Any, ...], list[Any]] = defaultdict(list)
        for each in rows:
            groups[tuple(known[name](each) for name in asked)].append(each)
        return [
            {
                "count": len(found) * weight,
                "avg": {"sampleInterval": float(weight)},
                "sum": {"edgeResponseBytes": sum(getattr(each, "size", 0) for each in found) * weight},
                "dimensions": dict(zip(asked, key, strict=True)),
            }
            for key, found in list(groups.items())[:limit]
        ]


_RANGE = ("datetime_geq", "datetime_lt")


def _five(at: datetime) -> str:
    return (at - timedelta(minutes=at.minute % 5, seconds=at.second, microseconds=at.microsecond)).strftime(_FORMAT)
