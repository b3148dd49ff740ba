"""Reports to Sentry, compared with those of the vendor's own command line; and what happens when it does not listen."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from infra_runtime.release import control
from infra_runtime.release.ledger import Release
from infra_runtime.release.sentry import SentryApi, sentry_from, version_of
from infra_runtime.vendor_api import BadCredentials, Clock, Refused, VendorError
from simulators.http_server import Call, send, serving
from simulators.sentry.simulator import TOKEN, served
from simulators.sentry.simulator import SentrySimulator as Simulator
from tests.runtime.release.aws import IMAGE, REPOSITORY, Ecr

ROOT = Path(__file__).resolve().parents[3]
RELEASE = Release(
    service="api", id="r20261123-100000-abc", kind="release", image=IMAGE, previous="", who="somebody",
    began="2026-11-23T10:00:00+00:00", ended="2026-11-23T10:10:00+00:00", template="t", outcome="succeeded",
)  # fmt: skip
VERSION = "api@" + "a" * 64


@dataclass
class World:
    simulator: Simulator
    url: str

    def api(self, **changes: str) -> SentryApi:
        secret = json.dumps({"token": TOKEN, "url": self.url, **changes})
        return sentry_from(secret, organization="daadaar", deadline=time.time() + 5)


@pytest.fixture
def world() -> Iterator[World]:
    simulator = Simulator("daadaar")
    with served(simulator) as url:
        yield World(simulator, url)


def vendor(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "node_modules/.bin/sentry-cli", *words],
        env={"PATH": os.environ["PATH"], "SENTRY_URL": world.url, "SENTRY_AUTH_TOKEN": TOKEN,
             "SENTRY_ORG": "daadaar", "SENTRY_PROJECT": "daadaar-api"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


def test_every_request_of_ours_is_one_that_the_vendors_command_line_makes(world: World) -> None:
    for words in (
        ["releases", "new", VERSION],
        ["releases", "finalize", VERSION],
        ["deploys", "new", "--release", VERSION, "--env", "production", "--name", RELEASE.id,
         "--started", "1700000000", "--finished", "1700000100"],
    ):  # fmt: skip
        done = vendor(world, *words)
        assert done.returncode == 0, done.stderr
    theirs = [shape(call) for call in world.simulator.calls]
    world.simulator.calls.clear()
    world.api().deployed(RELEASE, version=VERSION, project="daadaar-api", environment="production")
    assert [shape(call) for call in world.simulator.calls] == theirs


def shape(call: Call) -> tuple[str, str, tuple[str, ...]]:
    return call.method, call.path, tuple(sorted(key for key, value in call.body.items() if value is not None))


def test_the_vendor_refuses_an_image_for_a_version_and_takes_ours(world: World) -> None:
    assert "Slashes" in vendor(world, "releases", "new", f"api@{IMAGE}").stderr
    assert version_of("api", IMAGE) == VERSION


def test_the_report_to_sentry_matches_the_release(world: World) -> None:
    for _ in range(2):
        world.api().deployed(RELEASE, version=VERSION, project="daadaar-api", environment="production")
    assert set(world.simulator.releases) == {VERSION}
    assert world.simulator.releases[VERSION]["dateReleased"] == RELEASE.ended
    assert world.simulator.deploys[-1] == {
        "version": VERSION, "environment": "production", "name": RELEASE.id,
        "dateStarted": RELEASE.began, "dateFinished": RELEASE.ended,
    }  # fmt: skip


@pytest.mark.parametrize("secret", ["", "sntrys_x", "[]", "{}", '{"url": "https://sentry.io"}'])
def test_a_malformed_secret_is_reported_without_its_value(secret: str) -> None:
    with pytest.raises(BadCredentials) as raised:
        sentry_from(secret, organization="daadaar", deadline=0)
    assert "docs/sentry.md" in str(raised.value)
    assert not secret or secret not in str(raised.value)


def test_a_token_without_permission_is_reported_and_not_shown(world: World) -> None:
    with pytest.raises(Refused, match="may the token release") as raised:
        world.api(token="not-the-token").deployed(RELEASE, version=VERSION, project="p", environment="e")
    assert "not-the-token" not in str(raised.value)


def test_a_failing_answer_that_quotes_the_token_does_not_show_it() -> None:
    def respond(handler: BaseHTTPRequestHandler, content: bytes) -> None:
        send(handler, 500, json.dumps({"detail": TOKEN}).encode())

    with serving(respond) as url, pytest.raises(VendorError) as raised:
        World(Simulator("daadaar"), url).api().deployed(RELEASE, version=VERSION, project="p", environment="e")
    assert TOKEN not in str(raised.value)


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Sends the function the event of a release's end; other tests cover the rest."""
    found: dict[str, Any] = {"release": RELEASE, "secret": "", "ecr": Ecr(IMAGE)}
    manager = SimpleNamespace(get_secret_value=lambda SecretId: {"SecretString": found["secret"]})  # noqa: N803
    monkeypatch.setattr(control.ReleaseControl, "settle", lambda self: found["release"])
    monkeypatch.setattr(control.ReleaseControl, "expect", lambda self, detail: None)
    monkeypatch.setattr(control, "aws", SimpleNamespace(client=lambda name: found.get(name, manager)))
    for name in ("SERVICE", "STACK", "PARAMETER", "PLATFORM", "LEDGER", "ENVIRONMENT"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("REPOSITORY", REPOSITORY)
    monkeypatch.setenv("SECRETS", "[]")
    configured(monkeypatch, named_by="digest")
    return found


def configured(monkeypatch: pytest.MonkeyPatch, *, named_by: str) -> None:
    found = {"organization": "daadaar", "project": "p", "environment": "production", "token_secret": "s"}
    monkeypatch.setenv("SENTRY", json.dumps({**found, "named_by": named_by}))


def news() -> None:
    control.handler({"detail": {}}, SimpleNamespace(get_remaining_time_in_millis=lambda: 20_000))


def test_only_successful_releases_are_reported_to_sentry(world: World, ended: dict[str, Any]) -> None:
    ended["secret"] = json.dumps({"token": TOKEN, "url": world.url})
    for release in (None, replace(RELEASE, outcome="failed")):
        ended["release"] = release
        news()
    assert world.simulator.calls == []
    ended["release"] = RELEASE
    news()
    assert [each["version"] for each in world.simulator.deploys] == [VERSION]


@pytest.mark.parametrize("run", ["", "-19472306157-2"])
def test_a_release_that_was_named_at_the_build_is_reported_by_the_tag_of_its_image(
    run: str, world: World, ended: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser's code cannot know the digest of the image that it is in."""
    ended["secret"] = json.dumps({"token": TOKEN, "url": world.url})
    commit = "0123456789abcdef0123456789abcdef01234567"
    tags = ended["ecr"].tags[IMAGE.partition("@")[2]]
    tags |= {f"release-{commit}{run}", f"released-{RELEASE.id}"}
    news()
    configured(monkeypatch, named_by="tag")
    news()
    tags.remove(f"release-{commit}{run}")
    news()
    assert [each["version"] for each in world.simulator.deploys] == [VERSION, f"api@{commit}", VERSION]


def test_an_error_of_sentry_fails_no_release(ended: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    for secret in ("none", json.dumps({"token": TOKEN, "url": "http://127.0.0.1:9"})):
        ended["secret"] = secret
        news()
    assert caplog.text.count("Sentry did not get the release r20261123-100000-abc") == 2
    assert TOKEN not in caplog.text


def test_sentry_calls_end_at_their_deadline() -> None:
    """Without a server, it gives up at its deadline."""
    api = sentry_from(json.dumps({"token": TOKEN, "url": "http://127.0.0.1:9"}), organization="o", deadline=100.0)
    now = [0.0]
    api.clock = Clock(now=lambda: now[0], sleep=lambda seconds: now.__setitem__(0, now[0] + seconds))
    with pytest.raises(VendorError):
        api.deployed(RELEASE, version=VERSION, project="p", environment="e")
    assert now[0] <= 100.0
