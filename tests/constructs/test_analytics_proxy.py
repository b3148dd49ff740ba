"""The Worker's code, run by Node.js, in front of two servers that simulate PostHog."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from infra_constructs.cloudflare import analytics_proxy
from infra_constructs.cloudflare.analytics_proxy import ANALYTICS_PATH
from simulators.cloudflare import worker
from simulators.http_server import send, serving

SCRIPT = Path(analytics_proxy.__file__).with_name("analytics_proxy.mjs")


@dataclass
class Seen:
    host: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class World:
    url: str = ""
    seen: list[Seen] = field(default_factory=list)

    def ask(self, method: str, path: str, **given: object) -> httpx.Response:
        return httpx.request(method, f"{self.url}{ANALYTICS_PATH}{path}", timeout=10, **given)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def running() -> Iterator[World]:
    world = World()

    def posthog(name: str) -> object:
        def respond(handler: BaseHTTPRequestHandler, content: bytes) -> None:
            headers = {key.lower(): value for key, value in handler.headers.items()}
            world.seen.append(Seen(name, handler.command, handler.path, headers, content))
            status = 302 if "redirect" in handler.path else 200
            more = {"Set-Cookie": "ph=1", "X-Own": "kept", **({"Location": "/elsewhere"} if status == 302 else {})}
            send(handler, status, json.dumps({"from": name}).encode(), **more)

        return respond

    with ExitStack() as stack:
        events = stack.enter_context(serving(posthog("events")))  # type: ignore[arg-type]
        assets = stack.enter_context(serving(posthog("assets")))  # type: ignore[arg-type]
        bindings = {"PREFIX": ANALYTICS_PATH, "EVENTS": events, "ASSETS": assets}
        world.url = stack.enter_context(worker.running(SCRIPT, env=bindings))
        yield world


@pytest.fixture
def world(running: World) -> World:
    running.seen.clear()
    return running


def test_events_are_forwarded_unchanged(world: World) -> None:
    body = bytes(range(256)) * 100
    answer = world.ask("POST", "/e/?ip=1&ver=1.2", content=body, headers={"Content-Type": "application/octet-stream"})
    (seen,) = world.seen
    assert (seen.host, seen.method, seen.path, seen.body) == ("events", "POST", "/e/?ip=1&ver=1.2", body)
    assert seen.headers["content-type"] == "application/octet-stream"
    assert (answer.status_code, answer.json()) == (200, {"from": "events"})


@pytest.mark.parametrize(("path", "host"), [("/static/array.js", "assets"), ("/array/phc_x/config.js", "assets"),
                                            ("/decide/", "events"), ("/statics", "events")])  # fmt: skip
def test_scripts_are_fetched_from_the_assets_host(world: World, path: str, host: str) -> None:
    assert world.ask("GET", path).json() == {"from": host}
    assert world.seen[0].path == path


def test_cookies_and_credentials_of_the_site_are_not_forwarded(world: World) -> None:
    private = {"Cookie": "session=1", "Authorization": "Bearer x", "CF-Connecting-IP": "192.0.2.7", "CF-Ray": "1"}
    answer = world.ask("POST", "/e/", headers={**private, "X-Forwarded-For": "10.0.0.1", "User-Agent": "browser"})
    (seen,) = world.seen
    assert not {"cookie", "authorization", "cf-connecting-ip", "cf-ray"} & set(seen.headers)
    assert seen.headers["x-forwarded-for"] == "192.0.2.7"
    assert seen.headers["user-agent"] == "browser"
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-own"] == "kept"


def test_a_redirect_is_passed_on_and_not_followed(world: World) -> None:
    answer = world.ask("GET", "/redirect")
    assert (answer.status_code, answer.headers["location"]) == (302, "/elsewhere")
    assert len(world.seen) == 1


def test_the_path_prefix_alone_is_the_root(world: World) -> None:
    world.ask("GET", "")
    assert world.seen[0].path == "/"
