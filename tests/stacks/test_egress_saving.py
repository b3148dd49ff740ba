"""The reported egress saving of the cache, for days as the simulated edge and S3 count them."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from infra_constructs.alarms.egress import EgressSaving
from infra_runtime.cloudflare.analytics import Analytics, Bridge
from infra_runtime.edge_traffic import Publisher
from infra_runtime.vendor_api import Clock, Pace
from simulators.aws.cloudwatch.alarms import MetricQuery, alarms_of, in_alarm
from simulators.aws.cloudwatch.metric_math import Series, evaluate
from simulators.cloudflare.analytics import SampledRequest, SampledTraffic
from simulators.cloudflare.server import in_process
from simulators.cloudflare.simulator import CloudflareSimulator
from simulators.cloudflare.world import World, Zone
from tests.runtime.conftest import TOKEN

Templates = dict[str, dict[str, Any]]
DAY = datetime(2026, 11, 23, tzinfo=UTC)
SITE, MEDIA = "example.com", "media.example.com"
GIB = 2**30
# Requests of users for media: 4 GiB in all, of which S3 sends 1.
MEDIA_FOR_USERS = [SampledRequest(DAY, MEDIA, "hit", GIB)] * 3 + [SampledRequest(DAY, MEDIA, "miss", GIB)]
S3 = {"BytesDownloaded": 1.0 * GIB, "GetRequests": 1.0, "AllRequests": 2.0}


@dataclass
class CloudWatch:
    """Sums of the published metrics whose only dimension is the environment."""

    sums: Counter[str] = field(default_factory=Counter)

    def put_metric_data(self, *, Namespace: str, MetricData: Iterable[Mapping[str, Any]]) -> None:  # noqa: N803
        for each in MetricData:
            if [of["Name"] for of in each["Dimensions"]] == ["Environment"]:
                self.sums[each["MetricName"]] += each["Value"]


def published(requests: Sequence[SampledRequest]) -> Mapping[str, float]:
    """Metrics of one day, as the deployed function carries them from Cloudflare's analytics into CloudWatch."""
    zone = Zone(SITE, traffic=SampledTraffic(list(requests), now=lambda: DAY + timedelta(days=2)))
    clock = Clock(lambda: 0.0, lambda _: None)
    api = Analytics(
        token=TOKEN,
        deadline=10**9,
        clock=clock,
        pace=Pace(clock, rate=100, burst=100),
        http=in_process(CloudflareSimulator(World([zone], tokens={TOKEN: "active"}))),
        redact=str,
    )
    bridge = Bridge(api, zone.id, [SITE, MEDIA])
    cloudwatch = CloudWatch()
    publisher = Publisher(cloudwatch, "production", [SITE, MEDIA], MEDIA)
    for window in bridge.windows(DAY, DAY + timedelta(days=1), bridge.limits()):
        publisher.publish(window)
    return cloudwatch.sums


def saving(
    templates: Templates,
    *,
    edge: Sequence[SampledRequest],
    s3: Mapping[str, float],
    static: Mapping[str, float] | None = None,
) -> float | None:
    """The saving in per cent that production's alarm gets for such a day; None: no value."""
    (alarm,) = [each for each in alarms_of(templates, "production") if "EgressSaving" in each.where]
    (expression,) = [each["Expression"] for each in alarm.properties["Metrics"] if "Expression" in each]
    counted = {"": published(edge), "EntireBucket": s3, "StaticFiles": static or {}}
    known = {}
    for each in alarm.properties["Metrics"]:
        if "MetricStat" in each:
            metric = each["MetricStat"]["Metric"]
            (of,) = [of["Value"] for of in metric["Dimensions"] if of["Name"] == "FilterId"] or [""]
            known[each["Id"]] = counted[of].get(metric["MetricName"])
    return _evaluated(expression, known)


def _evaluated(expression: str, known: Mapping[str, float | None]) -> float | None:
    (found,) = evaluate(expression, {id_: np.array([value], dtype=float) for id_, value in known.items()})
    return None if np.isnan(found) else float(found)


def test_it_is_the_share_of_media_that_s3_did_not_send(templates: Templates) -> None:
    assert saving(templates, edge=MEDIA_FOR_USERS, s3=S3) == pytest.approx(75, abs=0.1)


NEVER_FROM_S3 = {
    "an attack that is blocked": [SampledRequest(DAY, MEDIA, "none", GIB // 1000, 403)] * 1000,
    "errors of the origin": [SampledRequest(DAY, MEDIA, "miss", 5 * GIB, 502)],
    "what is not there": [SampledRequest(DAY, MEDIA, "miss", GIB, 404)] * 5,
    "pages and static files of the site": [SampledRequest(DAY, SITE, "hit", 9 * GIB)],
    "a Worker's own requests": [SampledRequest(DAY, MEDIA, "miss", 4 * GIB, source="edgeWorkerFetch")],
}


@pytest.mark.parametrize("what", NEVER_FROM_S3)
def test_only_responses_that_s3_would_have_sent_count_as_saved(what: str, templates: Templates) -> None:
    found = saving(templates, edge=[*MEDIA_FOR_USERS, *NEVER_FROM_S3[what]], s3=S3)
    assert found == pytest.approx(75, abs=0.1)


def test_static_files_that_s3_sends_cost_no_saving_of_media(templates: Templates) -> None:
    """A release: every edge location fetches them."""
    static = {"BytesDownloaded": 2.0 * GIB, "GetRequests": 300.0}
    both = {name: S3[name] + static.get(name, 0) for name in S3}
    assert saving(templates, edge=MEDIA_FOR_USERS, s3=both, static=static) == pytest.approx(75, abs=0.1)


def test_a_day_with_little_traffic_has_no_value(templates: Templates) -> None:
    edge = [SampledRequest(DAY, MEDIA, "miss", GIB // 2)]
    assert saving(templates, edge=edge, s3={**S3, "BytesDownloaded": GIB / 2}) is None
    assert saving(templates, edge=[], s3={}) is None


def test_a_day_without_numbers_of_s3_has_no_value(templates: Templates) -> None:
    assert saving(templates, edge=MEDIA_FOR_USERS, s3={}) is None


def test_a_day_on_which_s3_only_confirms_what_the_edge_has_is_saved_whole(templates: Templates) -> None:
    """Answers of 304 have no body, so that S3 reports no bytes at all."""
    assert saving(templates, edge=MEDIA_FOR_USERS, s3={"GetRequests": 4.0, "AllRequests": 4.0}) == 100


@pytest.mark.parametrize(
    ("days", "is_notified"),
    [
        ("bad bad bad bad bad quiet quiet", True),
        ("quiet bad bad good bad bad quiet", True),
        ("bad bad bad quiet quiet quiet quiet", False),
        ("good good good good good good good", False),
        ("quiet quiet quiet quiet quiet quiet quiet", False),
    ],
)
def test_four_bad_days_of_a_week_raise_a_warning(days: str, is_notified: bool, templates: Templates) -> None:
    """Weekends without traffic neither hide them nor count as one."""
    gib = {"bad": (2.0, 1.0), "good": (2.0, 0.1), "quiet": (0.1, 0.1)}
    # CloudWatch looks a little further back where days have no value.
    numbers = [gib[day] for day in ("good", "good", *days.split())]
    served, sent = (np.repeat([each[at] for each in numbers], 1440) * GIB / 1440 for at in (0, 1))
    series = {"ServedMediaBytes": served, "BytesDownloaded": sent, "GetRequests": np.full(len(served), 10.0)}

    def trace(asked: MetricQuery) -> Series | None:
        return None if "StaticFiles" in asked.dimensions else series[asked.name]

    (alarm,) = [each for each in alarms_of(templates, "production") if "EgressSaving" in each.where]
    assert bool(in_alarm(alarm, trace, minutes=len(served))[-1]) is is_notified


def test_the_saving_counts_transfer_and_requests() -> None:
    """A million requests for 1000 GiB, at 0.09 USD a GiB and 0.43 a million: 90.43 without a cache, of which S3 still
    costs 22 %."""
    saved = EgressSaving(environment="production", bucket="b", has_static_files=False).usd()
    counted = {"edge": 1000.0 * GIB, "sent": 220.0 * GIB, "asked": 1e6, "gets": 0.22e6}
    assert _evaluated(saved.expression, counted) == pytest.approx(0.78 * 90.43)
