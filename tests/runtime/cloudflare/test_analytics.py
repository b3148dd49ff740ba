"""Cloudflare's analytics in CloudWatch: each window is published once and completely, also after a run that fails."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from infra_runtime.cloudflare.analytics import LAG, WINDOW, Analytics, Bridge, TooManyGroups
from infra_runtime.edge_traffic import Cursor, Publisher, carry
from infra_runtime.vendor_api import Clock, Pace, Refused, Unavailable
from simulators.cloudflare.analytics import Event, SampledRequest, SampledTraffic
from simulators.cloudflare.server import in_process
from simulators.cloudflare.simulator import CloudflareSimulator
from simulators.cloudflare.world import World, Zone
from tests.runtime.conftest import TOKEN
from tests.runtime.release.aws import Dynamo

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SITE, MEDIA = "example.com", "media.example.com"
MINUTE = timedelta(minutes=1)
Key = tuple[str, frozenset[tuple[str, str]], datetime]


class Killed(Exception):
    """Simulates a run that is killed halfway."""


@dataclass
class CloudWatch:
    """Adds up values that are published twice, as CloudWatch does."""

    points: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    dies: str | None = None
    """`before` or `after`: raises before or after it stores the next data."""

    def put_metric_data(self, *, Namespace: str, MetricData: list[dict[str, Any]]) -> None:  # noqa: N803
        assert Namespace == "Infra/Edge"
        assert len(MetricData) <= 1000
        dies, self.dies = self.dies, None
        if dies == "before":
            raise Killed
        for each in MetricData:
            dimensions = frozenset((of["Name"], of["Value"]) for of in each["Dimensions"])
            self.points[each["MetricName"], dimensions, each["Timestamp"]].append(each["Value"])
        if dies == "after":
            raise Killed

    def get_metric_statistics(
        self,
        *,
        MetricName: str,  # noqa: N803
        Dimensions: list[dict[str, str]],  # noqa: N803
        StartTime: datetime,  # noqa: N803
        **_: Any,
    ) -> dict[str, Any]:
        dimensions = frozenset((of["Name"], of["Value"]) for of in Dimensions)
        found = self.points.get((MetricName, dimensions, StartTime), [])
        return {"Datapoints": [{"SampleCount": float(len(found))}] if found else []}

    def sum(self, name: str, **dimensions: str) -> float:
        wanted = frozenset({"Environment": "test", **dimensions}.items())
        return sum(sum(found) for (of, at, _), found in self.points.items() if (of, at) == (name, wanted))

    @property
    def windows(self) -> list[datetime]:
        """Published windows; one that was published twice appears twice."""
        return [at for (name, _, at), found in self.points.items() if name == "Windows" for _ in found]


@dataclass
class Harness:
    traffic: SampledTraffic
    bridge: Bridge
    cursor: Cursor
    cloudwatch: CloudWatch
    passed: timedelta = timedelta(0)
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        return START + self.passed

    def run(self, *, at: timedelta | None = None, seconds: float = 600) -> int:
        if at is not None:
            self.passed = at
        publisher = Publisher(self.cloudwatch, "test", [SITE, MEDIA], MEDIA)
        return carry(self.bridge, publisher, self.cursor, now=self.now, deadline=self.now().timestamp() + seconds)

    def run_every(self, step: timedelta, until: timedelta) -> None:
        while self.passed < until:
            self.run()
            self.passed += step


Fault = Callable[[httpx.Request], httpx.Response | None]


def new_harness(fault: Fault | None = None) -> Harness:
    traffic = SampledTraffic()
    zone = Zone(SITE, traffic=traffic)
    real = in_process(CloudflareSimulator(World([zone], tokens={TOKEN: "active"})))

    def respond(request: httpx.Request) -> httpx.Response:
        answer = fault(request) if fault else None
        if answer is not None:
            return answer
        return real.request(request.method, request.url, headers=request.headers, content=request.content)

    made = Harness(traffic, None, Cursor(Dynamo(), "table"), CloudWatch())  # type: ignore[arg-type]

    def sleep(seconds: float) -> None:
        made.slept.append(seconds)
        made.passed += timedelta(seconds=seconds)

    clock = Clock(lambda: made.now().timestamp(), sleep)
    analytics = Analytics(
        token=TOKEN,
        deadline=START.timestamp() + 10**9,
        base_url="https://api.test/client/v4",
        clock=clock,
        pace=Pace(clock, rate=100, burst=100),
        http=httpx.Client(transport=httpx.MockTransport(respond)),
        redact=lambda text: text.replace(TOKEN, "********"),
    )
    made.bridge = Bridge(analytics, zone.id, [SITE, MEDIA])
    traffic.now = made.now
    return made


@pytest.fixture
def harness() -> Iterator[Harness]:
    yield new_harness()


def random_requests(count: int, seed: int = 1, *, within: timedelta = timedelta(hours=1)) -> list[SampledRequest]:
    """Random requests, beginning at START."""
    rolled = random.Random(seed)
    return [
        SampledRequest(
            at=START + rolled.random() * within,
            host=rolled.choice([SITE, MEDIA, "other.example.com"]),
            cache_status=rolled.choice(["hit", "miss", "dynamic", "revalidated", "expired"]),
            size=rolled.randrange(100, 100_000),
            status=rolled.choice([200, 200, 206, 304, 404, 503]),
            source=rolled.choice(["eyeball", "eyeball", "edgeWorkerFetch"]),
        )
        for _ in range(count)
    ]


def of_users(found: list[SampledRequest], *hosts: str) -> list[SampledRequest]:
    return [each for each in found if each.host in hosts and each.source == "eyeball"]


HIT = {"hit", "revalidated", "stale", "updating"}


def assert_exact(harness: Harness, since: datetime = START) -> None:
    """Asserts that every total equals the edge's, and that no window is repeated or missing."""
    assert sorted(harness.cloudwatch.windows) == sorted(set(harness.cloudwatch.windows))
    first, last = min(harness.cloudwatch.windows), max(harness.cloudwatch.windows)
    assert len(harness.cloudwatch.windows) == (last - first) // WINDOW + 1
    assert first <= since
    seen = [each for each in harness.traffic.requests if first <= each.at < last + WINDOW]
    for host in (SITE, MEDIA):
        own = of_users(seen, host)
        assert harness.cloudwatch.sum("Requests", Host=host) == len(own)
        assert harness.cloudwatch.sum("EdgeBytes", Host=host) == sum(each.size for each in own)
        assert harness.cloudwatch.sum("CachedRequests", Host=host) == sum(each.cache_status in HIT for each in own)
        assert harness.cloudwatch.sum("ServerErrors", Host=host) == sum(each.status >= 500 for each in own)
        for status in {each.cache_status for each in own}:
            counted = sum(each.cache_status == status for each in own)
            assert harness.cloudwatch.sum("Requests", Host=host, CacheStatus=status) == counted
    served = [each for each in of_users(seen, MEDIA) if each.status in (200, 206)]
    assert harness.cloudwatch.sum("ServedMediaRequests") == len(served)
    assert harness.cloudwatch.sum("ServedMediaBytes") == sum(each.size for each in served)


def test_every_window_of_an_hour_is_published_exactly(harness: Harness) -> None:
    harness.traffic.requests = random_requests(500)
    harness.run(at=LAG + WINDOW)
    harness.run_every(WINDOW, timedelta(hours=1) + 2 * LAG)
    assert_exact(harness)
    assert len(harness.cloudwatch.windows) >= 12


def test_security_events_are_counted_by_action_and_source(harness: Harness) -> None:
    kinds = [("block", "firewallManaged"), ("managed_challenge", "bic"), ("block", "l7ddos"), ("block", "l7ddos")]
    harness.traffic.events = [Event(START + MINUTE, SITE, action, source) for action, source in kinds]
    harness.traffic.events.append(Event(START + MINUTE, "other.example.com", "block", "l7ddos"))
    harness.run(at=LAG + WINDOW)
    assert harness.cloudwatch.sum("SecurityEvents") == 4
    assert harness.cloudwatch.sum("SecurityEvents", Action="block", Source="l7ddos") == 2
    assert harness.cloudwatch.sum("SecurityEvents", Action="managed_challenge", Source="bic") == 1
    assert harness.cloudwatch.sum("DdosEvents") == 2


def test_skipped_and_logged_requests_are_not_security_events(harness: Harness) -> None:
    kinds = ["skip"] * 6000 + ["log", "allow", "challengeSolved", "managedChallengeBypassed"]
    harness.traffic.events = [Event(START + MINUTE, SITE, action, "firewallCustom") for action in kinds]
    harness.traffic.events.append(Event(START + MINUTE, SITE, "jschallenge", "firewallCustom"))
    harness.run(at=LAG + WINDOW)
    assert harness.cloudwatch.sum("SecurityEvents") == 1
    assert harness.cloudwatch.sum("SecurityEvents", Action="skip", Source="firewallCustom") == 6000


def test_a_window_without_traffic_is_published_as_zero(harness: Harness) -> None:
    harness.run(at=LAG + WINDOW)
    assert harness.cloudwatch.windows == [START]
    assert harness.cloudwatch.sum("Requests", Host=SITE) == 0
    assert not any(name.endswith("Percent") for name, _, _ in harness.cloudwatch.points), (
        "no percentage without requests"
    )


def test_hit_ratios_are_published_by_host(harness: Harness) -> None:
    harness.traffic.requests = [
        SampledRequest(START, MEDIA, "hit", 300),
        SampledRequest(START, MEDIA, "miss", 100),
        SampledRequest(START, SITE, "dynamic", 50),
    ]
    harness.run(at=LAG + WINDOW)
    assert harness.cloudwatch.sum("RequestHitPercent", Host=MEDIA) == 50
    assert harness.cloudwatch.sum("ByteHitPercent", Host=MEDIA) == 75
    assert harness.cloudwatch.sum("ByteHitPercent", Host=SITE) == 0


def test_late_data_is_included(harness: Harness) -> None:
    """Data may be late by up to LAG; no window is requested earlier."""
    late = LAG - timedelta(seconds=1)
    harness.traffic.requests = [SampledRequest(START + WINDOW - timedelta(seconds=1), SITE, late=late)] * 3
    harness.passed = timedelta(0)
    harness.run_every(MINUTE, timedelta(minutes=20))
    assert_exact(harness)
    assert harness.cloudwatch.sum("Requests", Host=SITE) == 3


def test_sampled_numbers_are_not_scaled_a_second_time(harness: Harness) -> None:
    harness.traffic.requests = [
        SampledRequest(START + each * timedelta(seconds=0.1), SITE, "hit", 10) for each in range(1000)
    ]
    harness.traffic.every = 10
    harness.run(at=LAG + WINDOW)
    assert harness.cloudwatch.sum("Requests", Host=SITE) == 1000, "Cloudflare has scaled them already"
    assert harness.cloudwatch.sum("EdgeBytes", Host=SITE) == 10_000
    assert harness.cloudwatch.sum("SampleInterval") == 10


def test_missed_runs_are_caught_up(harness: Harness) -> None:
    """No run took place for five hours."""
    harness.traffic.requests = random_requests(800, within=timedelta(hours=5))
    harness.run(at=LAG + WINDOW)
    harness.run(at=timedelta(hours=5, minutes=11))
    assert_exact(harness)
    assert len(harness.cloudwatch.windows) == 61


def test_windows_beyond_the_plans_retention_are_skipped_and_later_ones_published(
    harness: Harness, capsys: pytest.CaptureFixture[str]
) -> None:
    harness.run(at=LAG + WINDOW)
    harness.traffic.of_requests.oldest = harness.traffic.of_events.oldest = timedelta(hours=2)
    harness.traffic.requests = random_requests(300, within=timedelta(hours=10))
    harness.run(at=timedelta(hours=10))
    assert "too old" in capsys.readouterr().out
    recent = [at for at in harness.cloudwatch.windows if at > START]
    assert timedelta(hours=1, minutes=50) <= START + timedelta(hours=10) - min(recent) <= timedelta(hours=2)
    assert len(recent) == len(set(recent)) == (max(recent) - min(recent)) // WINDOW + 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_killed_run_neither_skips_nor_repeats_a_window(harness: Harness, when: str) -> None:
    harness.traffic.requests = random_requests(400)
    harness.run(at=LAG + WINDOW)
    harness.cloudwatch.dies = when
    harness.passed = timedelta(minutes=25)
    with pytest.raises(Killed):
        harness.run()
    harness.passed += MINUTE
    assert harness.run() == 0, "the claim may belong to a run that is still working"
    harness.run_every(WINDOW, timedelta(hours=1, minutes=15))
    assert_exact(harness)


def test_a_second_run_at_the_same_time_publishes_nothing(harness: Harness) -> None:
    """EventBridge delivers a schedule at least once."""
    harness.traffic.requests = random_requests(400)
    harness.run(at=LAG + WINDOW)
    harness.passed = timedelta(minutes=40)
    claim = harness.cursor.claim
    others: list[int] = []

    def claimed(until: datetime, *, now: datetime, dead: datetime | None) -> None:
        claim(until, now=now, dead=dead)
        if not others:
            others.append(harness.run())

    object.__setattr__(harness.cursor, "claim", claimed)
    harness.run()
    assert others == [0]
    assert_exact(harness)


def test_a_run_overtaken_by_another_publishes_nothing(harness: Harness) -> None:
    harness.run(at=LAG + WINDOW)
    harness.passed = timedelta(minutes=30)
    windows = harness.bridge.windows
    others: list[int] = []

    def slow(*given: Any) -> Any:
        if not others:
            others.append(-1)
            others.append(harness.run())
        return windows(*given)

    object.__setattr__(harness.bridge, "windows", slow)
    assert harness.run() == 0
    assert others[1] > 0
    assert_exact(harness)


def test_repeated_runs_change_nothing(harness: Harness) -> None:
    harness.traffic.requests = random_requests(100)
    harness.run(at=timedelta(minutes=30))
    before = {key: list(found) for key, found in harness.cloudwatch.points.items()}
    for _ in range(5):
        assert harness.run() == 0
    assert before == harness.cloudwatch.points


def test_a_full_page_is_requested_again_in_smaller_ranges(harness: Harness) -> None:
    harness.traffic.requests = random_requests(400)
    harness.run(at=LAG + WINDOW)
    harness.traffic.of_requests.page = harness.traffic.of_events.page = 60
    harness.run(at=timedelta(hours=1, minutes=11))
    assert_exact(harness)


def test_more_groups_than_a_page_in_one_window_are_an_error(harness: Harness) -> None:
    harness.traffic.requests = [SampledRequest(START, SITE, "hit", status=200 + each) for each in range(20)]
    harness.traffic.of_requests.page = 10
    with pytest.raises(TooManyGroups, match="10 groups"):
        harness.run(at=LAG + WINDOW)
    assert harness.cloudwatch.windows == []


def test_a_plans_longest_query_range_is_respected(harness: Harness) -> None:
    harness.traffic.requests = random_requests(400)
    harness.run(at=LAG + WINDOW)
    harness.traffic.of_requests.longest = harness.traffic.of_events.longest = timedelta(minutes=10)
    harness.run(at=timedelta(hours=1, minutes=11))
    assert_exact(harness)


def test_without_security_events_in_the_plan_traffic_is_published(harness: Harness) -> None:
    harness.traffic.requests = random_requests(100)
    harness.traffic.events = [Event(START, SITE)]
    harness.traffic.of_events.enabled = False
    harness.run(at=LAG + WINDOW)
    harness.run(at=timedelta(hours=1, minutes=11))
    assert_exact(harness)
    assert harness.cloudwatch.sum("SecurityEvents") == 0


def test_a_run_stops_at_its_deadline(harness: Harness) -> None:
    """The next run publishes the remaining windows."""
    harness.run(at=LAG + WINDOW)
    harness.passed = timedelta(hours=1)
    assert harness.run(seconds=0) == 0
    assert harness.run() > 0
    assert_exact(harness)


FAULTS: dict[str, httpx.Response | Exception] = {
    "HTTP 502": httpx.Response(502, text="<html>"),
    "too many requests": httpx.Response(429, json={"errors": [{"message": "slow down"}]}, headers={"Retry-After": "3"}),
    "half an answer": httpx.Response(200, text='{"data": {"view'),
    "nothing in it": httpx.Response(200, json={"data": None, "errors": None}),
    "cut off": httpx.ReadError("reset"),
    "no answer": httpx.ReadTimeout("timed out"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_network_faults_are_retried(fault: str, which: int) -> None:
    """A query changes nothing, so it is retried after any error."""
    asked: list[httpx.Request] = []

    def broken(request: httpx.Request) -> httpx.Response | None:
        asked.append(request)
        if len(asked) - 1 != which:
            return None
        if isinstance(found := FAULTS[fault], Exception):
            raise found
        return httpx.Response(found.status_code, content=found.content, headers=found.headers)

    harness = new_harness(broken)
    harness.traffic.requests = random_requests(200, within=timedelta(minutes=5))
    harness.run(at=LAG + WINDOW)
    assert len(asked) > which
    assert_exact(harness)
    assert harness.slept, "the retry waits"


def test_a_refusal_is_reported_without_the_token() -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        return httpx.Response(403, json={"errors": [{"message": f"not authorized: {TOKEN}"}]})

    harness = new_harness(broken)
    with pytest.raises(Refused, match="not authorized") as refused:
        harness.run(at=LAG + WINDOW)
    assert TOKEN not in str(refused.value)
    assert harness.cloudwatch.windows == []


def test_after_a_query_error_the_next_run_catches_up() -> None:
    answers = [httpx.Response(200, json={"data": None, "errors": [{"message": "rate limiter budget depleted"}]})]
    harness = new_harness(lambda _: answers.pop() if answers else None)
    with pytest.raises(Refused, match="budget depleted"):
        harness.run(at=LAG + WINDOW)
    harness.traffic.requests = random_requests(50)
    harness.run_every(WINDOW, timedelta(minutes=30))
    assert_exact(harness)


def test_an_unavailable_cloudflare_ends_the_run_in_time() -> None:
    harness = new_harness(lambda _: httpx.Response(503, text="away"))
    with pytest.raises(Unavailable):
        harness.run(at=LAG + WINDOW)
    assert harness.cloudwatch.windows == []


def test_a_missing_permission_of_the_token_is_named(harness: Harness) -> None:
    other_zone = Bridge(harness.bridge.api, "0" * 32, [SITE])
    with pytest.raises(Refused, match="Zone Analytics Read"):
        other_zone.limits()
