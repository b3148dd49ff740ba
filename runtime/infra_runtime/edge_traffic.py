"""Scheduled: publishes Cloudflare's analytics in CloudWatch, each closed window once.

CloudWatch adds up data that is published twice. So a window is claimed in the ledger's table before it is published,
and completed afterwards; an invocation that finds an incomplete claim asks CloudWatch whether the data is there.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from infra_runtime.aws import client
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.analytics import WINDOW, Analytics, Bridge, Window, closed
from infra_runtime.cloudflare.credentials import api_from
from infra_runtime.contract.metrics import EDGE, TrafficMetric, unit_of
from infra_runtime.contract.secret_values import Secrets, deadline_of
from infra_runtime.reporting import reported

_KEY = {"service": {"S": "edge-traffic"}, "id": {"S": "cursor"}}
# Longer than any run: the run with a claim of this age has died, and CloudWatch shows what it has published.
_DEAD = timedelta(minutes=10)
# CloudWatch accepts data of the last two weeks.
_OLDEST = timedelta(days=13)
# At most this much in one run, after an outage: a run has no time for more.
_LONGEST_CATCH_UP = timedelta(hours=3)
_BATCH = 500


class AlreadyUnderway(Exception):
    """Another run has claimed the window."""


@dataclass(frozen=True)
class Cursor:
    """The end of the last published window, and the claim on the next: an item of the ledger's table."""

    dynamodb: Any
    table: str

    def read(self) -> tuple[datetime | None, datetime | None]:
        """(published until, since when the next window is claimed by a run); None: never, by none."""
        found = self.dynamodb.get_item(TableName=self.table, Key=_KEY, ConsistentRead=True).get("Item", {})
        return tuple(
            datetime.fromisoformat(found[name]["S"]) if name in found else None for name in ("until", "claimed")
        )  # type: ignore[return-value]

    def begin(self, at: datetime) -> None:
        """Creates the item, at the very first run."""
        self._put({"until": {"S": at.isoformat()}}, "attribute_not_exists(id)", {})

    def claim(self, until: datetime, *, now: datetime, dead: datetime | None) -> None:
        """`dead` is the claim to take over. Raises `AlreadyUnderway`."""
        condition = "#until = :until AND " + ("claimed = :dead" if dead else "attribute_not_exists(claimed)")
        values = {":until": {"S": until.isoformat()}} | ({":dead": {"S": dead.isoformat()}} if dead else {})
        self._put({"until": {"S": until.isoformat()}, "claimed": {"S": now.isoformat()}}, condition, values)

    def advance(self, to: datetime, *, claimed: datetime) -> None:
        """Raises `AlreadyUnderway` when the claim was taken over meanwhile."""
        self._put({"until": {"S": to.isoformat()}}, "claimed = :mine", {":mine": {"S": claimed.isoformat()}})

    def _put(self, item: Mapping[str, Any], condition: str, values: Mapping[str, Any]) -> None:
        given: dict[str, Any] = {"ConditionExpression": condition}
        if values:
            given["ExpressionAttributeValues"] = values
        if "#until" in condition:
            given["ExpressionAttributeNames"] = {"#until": "until"}
        try:
            self.dynamodb.put_item(TableName=self.table, Item={**_KEY, **item}, **given)
        except self.dynamodb.exceptions.ConditionalCheckFailedException as error:
            raise AlreadyUnderway from error


@dataclass(frozen=True)
class Publisher:
    cloudwatch: Any
    environment: str
    hosts: Sequence[str]
    media: str
    """Host of the media bucket."""

    def publish(self, window: Window) -> None:
        data = list(self._data(window))
        for first in range(0, len(data), _BATCH):
            self.cloudwatch.put_metric_data(Namespace=EDGE, MetricData=data[first : first + _BATCH])

    def has(self, start: datetime) -> bool:
        """Whether CloudWatch has the whole window: `WINDOWS` is published last."""
        found = self.cloudwatch.get_metric_statistics(
            Namespace=EDGE,
            MetricName=TrafficMetric.WINDOWS.value,
            Dimensions=[{"Name": "Environment", "Value": self.environment}],
            StartTime=start,
            EndTime=start + WINDOW,
            Period=int(WINDOW.total_seconds()),
            Statistics=["SampleCount"],
        )["Datapoints"]
        return any(each["SampleCount"] > 0 for each in found)

    def _data(self, window: Window) -> Iterator[dict[str, Any]]:
        for host in self.hosts:
            requests, sent = window.total(window.requests, host), window.total(window.sent, host)
            hits, hit_bytes = window.hits(host)
            values = {
                TrafficMetric.REQUESTS: requests,
                TrafficMetric.BYTES: sent,
                TrafficMetric.HITS: hits,
                TrafficMetric.HIT_BYTES: hit_bytes,
                TrafficMetric.SERVER_ERRORS: window.server_errors[host],
                **({TrafficMetric.REQUEST_HIT_RATIO: 100 * hits / requests} if requests else {}),
                **({TrafficMetric.BYTE_HIT_RATIO: 100 * hit_bytes / sent} if sent else {}),
            }
            for name, value in values.items():
                yield self._datum(window, name, value, Host=host)
        for (host, status), count in window.requests.items():
            yield self._datum(window, TrafficMetric.REQUESTS, count, Host=host, CacheStatus=status)
        for (action, source), count in window.events.items():
            yield self._datum(window, TrafficMetric.SECURITY_EVENTS, count, Action=action, Source=source)
        yield self._datum(window, TrafficMetric.SECURITY_EVENTS, window.mitigated)
        yield self._datum(window, TrafficMetric.DDOS_EVENTS, window.ddos)
        yield self._datum(window, TrafficMetric.MEDIA_REQUESTS, window.served[self.media])
        yield self._datum(window, TrafficMetric.MEDIA_BYTES, window.served_bytes[self.media])
        yield self._datum(window, TrafficMetric.SAMPLE_INTERVAL, window.sample_interval)
        yield self._datum(window, TrafficMetric.WINDOWS, 1)

    def _datum(self, window: Window, name: TrafficMetric, value: float, **dimensions: str) -> dict[str, Any]:
        named = {"Environment": self.environment, **dimensions}
        return {
            "MetricName": name.value,
            "Dimensions": [{"Name": key, "Value": of} for key, of in named.items()],
            "Timestamp": window.start,
            "Value": float(value),
            "Unit": unit_of(name.value),
        }


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    """Publishes every window that is closed and not yet published, oldest first."""
    declared = json.loads(os.environ["DECLARED"])
    secrets = Secrets(client("secretsmanager"))
    deadline = deadline_of(context)
    api = api_from(secrets, os.environ["TOKEN_SECRET"], deadline=deadline)
    analytics = Analytics(
        token=api.token, deadline=deadline, base_url=api.base_url, pace=api.pace, redact=secrets.redact
    )
    hosts = declared["hosts"]
    carry(
        Bridge(analytics, zones.find(api, declared["zone"]).id, hosts),
        Publisher(client("cloudwatch"), os.environ["ENVIRONMENT"], hosts, declared["media"]),
        Cursor(client("dynamodb"), os.environ["LEDGER"]),
        now=lambda: datetime.now(UTC),
        deadline=deadline,
    )


def carry(bridge: Bridge, publisher: Publisher, cursor: Cursor, *, now: Callable[[], datetime], deadline: float) -> int:
    """How many windows were published. `now` tells the time, in UTC; `deadline` is in seconds since 1970."""
    published = 0
    try:
        for _ in _carried(bridge, publisher, cursor, now=now, deadline=deadline):
            published += 1
    except AlreadyUnderway:
        print(json.dumps({"ended": "another run is at it"}))  # noqa: T201
    return published


def _carried(
    bridge: Bridge, publisher: Publisher, cursor: Cursor, *, now: Callable[[], datetime], deadline: float
) -> Iterator[datetime]:
    """Each window that was published. Raises `AlreadyUnderway`."""
    end = closed(now())
    until, dead = cursor.read()
    if until is None:
        until = end - WINDOW
        cursor.begin(until)
    if dead is not None:
        if now() - dead < _DEAD:
            raise AlreadyUnderway
        if publisher.has(until):
            cursor.advance(until + WINDOW, claimed=dead)
            until, dead = until + WINDOW, None
    limits = bridge.limits()
    oldest = now() - min([_OLDEST, *(each.oldest for each in limits.values() if each.enabled)]) + WINDOW
    if until < oldest:
        skipped = oldest - (oldest - until) % WINDOW
        print(json.dumps({"skipped": "too old to be asked for", "from": str(until), "until": str(skipped)}))  # noqa: T201
        claimed = now()
        cursor.claim(until, now=claimed, dead=dead)
        cursor.advance(skipped, claimed=claimed)
        until, dead = skipped, None
    while until < end and now().timestamp() < deadline:
        for window in bridge.windows(until, min(end, until + _LONGEST_CATCH_UP), limits):
            claimed = now()
            cursor.claim(window.start, now=claimed, dead=dead)
            dead = None
            publisher.publish(window)
            until = window.start + WINDOW
            cursor.advance(until, claimed=claimed)
            yield window.start
