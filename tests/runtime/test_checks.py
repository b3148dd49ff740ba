"""Checks from outside, against real HTTP servers."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra_runtime import checks
from infra_runtime.checks import check
from infra_runtime.contract.check_targets import PASS_HEADER, CheckTarget
from simulators.http_server import send, serving
from simulators.ports import free_port

PASS = "what-stands-for-the-secret"
WEEK = 604800
KEPT = {"Cache-Control": f"public, max-age={WEEK}", "Cf-Cache-Status": "HIT"}


@dataclass
class Site:
    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[BaseHTTPRequestHandler] = field(default_factory=list)
    fails: int = 0
    """How many requests for each path get 503 before the first success."""
    health: bytes = b"{}"
    """Answer of /health."""

    def target(self, path: str = "/", **more: Any) -> CheckTarget:
        return CheckTarget("site", f"{self.url}{path}", **more)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site()
    monkeypatch.setattr(checks, "_AGAIN_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(checks, "_SECONDS", 2.0)
    checks._pass.cache_clear()
    checks._put_the_object.cache_clear()

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        made.asked.append(handler)
        if handler.path == "/moved":
            send(handler, 307, b"", Location="/")
        elif handler.path == "/away":
            send(handler, 302, b"", Location="http://127.0.0.1:9/")
        elif handler.path == "/round":
            send(handler, 302, b"", Location="/round")
        elif sum(each.path == handler.path for each in made.asked) <= made.fails:
            send(handler, 503, b"")
        elif handler.path == "/health":
            send(handler, made.status, made.health)
        else:
            send(handler, made.status, b"page", **made.headers)

    with serving(respond) as url:
        made.url = url
        yield made
    checks._pass.cache_clear()
    checks._put_the_object.cache_clear()


def test_the_time_of_an_answer_is_measured(site: Site) -> None:
    answer = check(site.target())
    assert (answer.trouble, answer.status) == (None, 200)
    assert 0 < answer.milliseconds < 500


@pytest.mark.parametrize("status", [204, 404, 500, 503, 526])
def test_any_status_but_200_is_a_failure(site: Site, status: int) -> None:
    site.status = status
    assert check(site.target()).trouble == f"HTTP {status}"


def test_a_challenge_is_reported_as_one(site: Site) -> None:
    site.status, site.headers = 403, {"Cf-Mitigated": "challenge"}
    assert check(site.target()).trouble == "HTTP 403 (a challenge)"


def test_redirects_within_the_site_are_followed_and_others_are_not(site: Site) -> None:
    assert check(site.target("/moved")).trouble is None
    assert check(site.target("/away")).trouble == "HTTP 302"
    assert check(site.target("/round")).trouble == "HTTP 302"


def test_a_refused_connection_is_a_failure(site: Site) -> None:
    assert "ConnectError" in str(check(CheckTarget("site", f"http://127.0.0.1:{free_port()}/")).trouble)


def test_the_pass_is_sent_only_to_targets_that_need_it(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = SimpleNamespace(get_secret_value=lambda SecretId: {"SecretString": PASS})  # noqa: N803
    monkeypatch.setattr(checks, "client", lambda service, *, seconds: manager)
    monkeypatch.setenv("PASS_SECRET", "s")
    check(site.target(needs_pass=True))
    check(site.target())
    assert [each.headers.get(PASS_HEADER) for each in site.asked] == [PASS, None]


MEDIA: dict[str, tuple[dict[str, str], str | None]] = {
    "as it should be": (KEPT, None),
    "not cached yet": (KEPT | {"Cf-Cache-Status": "MISS"}, None),
    "not cached": (KEPT | {"Cf-Cache-Status": "DYNAMIC"}, "cf-cache-status is DYNAMIC"),
    "not by Cloudflare": ({"Cache-Control": KEPT["Cache-Control"]}, "cf-cache-status is None"),
    "for a day": (KEPT | {"Cache-Control": "max-age=86400"}, "without max-age=604800"),
    "for ten times as long": (KEPT | {"Cache-Control": f"max-age={WEEK}0"}, "without max-age=604800"),
    "without the header": ({"Cf-Cache-Status": "HIT"}, "cache-control is ''"),
}


@pytest.mark.parametrize("what", MEDIA)
def test_media_must_be_cached_by_cloudflare_and_for_a_week_in_browsers(site: Site, what: str) -> None:
    site.headers, expected = MEDIA[what]
    found = check(site.target(browser_seconds=WEEK)).trouble
    assert found is None if expected is None else expected in str(found)


@dataclass
class Bucket:
    puts: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200
    exceptions: Any = field(default_factory=lambda: SimpleNamespace(ClientError=ClientError))

    def put_object(self, **given: Any) -> None:
        self.puts.append(given)
        if self.status != 200:
            answer = {"Error": {"Code": "No"}, "ResponseMetadata": {"HTTPStatusCode": self.status}}
            raise ClientError(answer, "PutObject")


Run = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


@pytest.fixture
def run(site: Site, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    targets = [{"name": "site", "url": f"{site.url}/"}, {"name": "api", "url": f"{site.url}/api"}]
    given = {"TARGETS": json.dumps(targets), "ENVIRONMENT": "test", "MEDIA_BUCKET": "b", "MEDIA_KEY": "infra/check"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(checks, "client", lambda service, *, seconds: bucket)

    def once() -> list[dict[str, Any]]:
        checks.handler({}, None)
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return once


def test_metrics_of_each_target_are_published(site: Site, run: Run) -> None:
    found = {each["Check"]: each for each in run()}
    assert set(found) == {"site", "api"}
    assert all(each["CheckFailed"] == 0 and each["CheckMilliseconds"] > 0 for each in found.values())
    site.status = 500
    assert all(each["CheckFailed"] == 1 and each["trouble"] == "HTTP 500" for each in run())


def test_a_failed_request_is_repeated_once_before_it_counts(site: Site, run: Run) -> None:
    site.fails = 1
    assert [each["CheckFailed"] for each in run()] == [0, 0]
    assert len(site.asked) == 4


@pytest.mark.parametrize("status", [200, 412])
def test_the_media_object_is_put_once_and_never_overwritten(bucket: Bucket, run: Run, status: int) -> None:
    bucket.status = status
    assert [each.get("CheckFailed") for each in run()] == [0, 0]
    run()
    (put,) = bucket.puts
    assert (put["Key"], put["IfNoneMatch"]) == ("infra/check", "*")


def test_a_bucket_that_refuses_the_object_is_reported_and_the_checks_run(bucket: Bucket, run: Run) -> None:
    bucket.status = 403
    refused, *found = run()
    assert "cannot be put" in refused["trouble"]
    assert len(found) == 2


WELL = {"services": {"redis": "connected", "database": "connected"}}
LOST = {"services": {"redis": "lost", "database": "connected"}}
REPORTS: dict[str, tuple[int, bytes, int | None]] = {
    "both are well": (200, json.dumps(WELL).encode(), 0),
    "one is lost, and it answers 200": (200, json.dumps(LOST).encode(), 1),
    "one is lost, and it answers 503": (503, json.dumps(LOST).encode(), 1),
    "it answers something else": (200, b'{"status": "ok"}', None),
    "no JSON": (502, b"<html>", None),
    "a list": (200, b"[]", None),
}


@pytest.mark.parametrize("what", REPORTS)
def test_a_dependency_counts_as_lost_only_if_the_service_reports_it(
    what: str, site: Site, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer without a report is no lost dependency: new tasks would not help."""
    site.status, site.health, expected = REPORTS[what]
    wanted = {"services.redis": "connected", "services.database": "connected"}
    target = {"name": "api", "url": f"{site.url}/health", "dependencies": wanted}
    monkeypatch.setenv("DEPENDENCIES", json.dumps([target]))
    found = [each for each in run() if "LostDependency" in each]
    assert [each["LostDependency"] for each in found] == ([] if expected is None else [expected])
    assert all(each["Check"] == "api" and each["lost"] == (["services.redis"] if expected else []) for each in found)


def test_an_unreachable_service_has_no_lost_dependency(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    target = {"name": "api", "url": f"http://127.0.0.1:{free_port()}/health", "dependencies": {"redis": "ok"}}
    monkeypatch.setenv("DEPENDENCIES", json.dumps([target]))
    assert [each for each in run() if "LostDependency" in each] == []
