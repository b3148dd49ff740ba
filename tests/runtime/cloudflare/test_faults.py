"""Each way in which network, Cloudflare or a colleague can go wrong, on real HTTP: one answer, no token, no damage."""

import functools
import json
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import httpx
import pytest

from infra_runtime.custom_resource import serve
from simulators.cloudflare import dns
from simulators.cloudflare.protocol import ApiCall
from simulators.cloudflare.server import served
from simulators.cloudflare.world import Zone
from simulators.http_server import send
from tests.runtime.cloudflare.test_ownership import CACHE, cache_rule, connector, ours, policy, records, rules
from tests.runtime.conftest import TOKEN, Edge, new_edge

Http = BaseHTTPRequestHandler
Spoil = Callable[["Line", Http, ApiCall], None]


class Line:
    """The network to Cloudflare. `spoiled` lists which request of a kind fails, and how; entries may repeat."""

    def __init__(self) -> None:
        self.spoiled: list[tuple[str, Spoil]] = []
        self.edge: Edge | None = None
        self.base_url = ""

    def intercept(self, handler: Http, call: ApiCall) -> bool:
        if self.spoiled and f"{call.method} {call.path}".startswith(self.spoiled[0][0]):
            _, spoil = self.spoiled.pop(0)
            spoil(self, handler, call)
            return True
        return False

    def carry_out(self, call: ApiCall) -> bytes:
        assert self.edge is not None
        return json.dumps(self.edge.simulator.answer(call).body).encode()


@dataclass
class Answer:
    status: str
    reason: str
    physical_id: str
    body: bytes


@dataclass
class Stage:
    edge: Edge
    line: Line
    answers_url: str
    answers: list[bytes]

    def ask(self, kind: str, document: dict[str, Any], physical_id: str | None = None) -> Answer:
        """Delivers one event. Asserts that exactly one answer arrives, small enough and without the token."""
        self.answers.clear()
        event = {
            "RequestType": kind, "RequestId": "r", "StackId": "s", "LogicalResourceId": "Thing",
            "ResponseURL": self.answers_url, "ResourceProperties": {"Document": json.dumps(document)},
        }  # fmt: skip
        event |= {"PhysicalResourceId": physical_id} if physical_id else {}
        serve(
            event,
            lambda request: self.edge.ask(request.kind, json.loads(request.properties["Document"]), physical_id),
            redact=lambda text: text.replace(TOKEN, "********"),
        )
        (body,) = self.answers
        assert len(body) <= 4096
        assert TOKEN.encode() not in body
        decoded = json.loads(body)
        return Answer(decoded["Status"], decoded.get("Reason", ""), decoded["PhysicalResourceId"], body)


@contextmanager
def collecting() -> Iterator[tuple[str, list[bytes]]]:
    """Serves the URL at which CloudFormation waits for the answer."""
    bodies: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
            send(self, 200, b"")

        def log_message(self, *_: Any) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/answer", bodies
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=0.4, verify=False) as client:  # noqa: S501  (there is no TLS on this line)
        yield client


@pytest.fixture
def stage(http: httpx.Client) -> Iterator[Stage]:
    line = Line()
    edge = new_edge(lambda _: http)
    line.edge = edge
    with served(edge.simulator, intercept=line.intercept) as base_url, collecting() as (url, answers):
        edge.base_url = base_url
        yield Stage(edge, line, url, answers)
    assert edge.simulator.violations == []


def _hang_up(line: Line, handler: Http, call: ApiCall) -> None:
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def _silence(line: Line, handler: Http, call: ApiCall) -> None:
    time.sleep(0.6)
    _hang_up(line, handler, call)


def _status(status: int, text: str = "<html>Bad gateway</html>", **headers: str) -> Spoil:
    return lambda line, handler, call: send(handler, status, text.encode(), **headers)


def _then(spoil: Spoil) -> Spoil:
    """The request succeeds; only its answer is broken."""

    def committed(line: Line, handler: Http, call: ApiCall) -> None:
        line.carry_out(call)
        spoil(line, handler, call)

    return committed


def _cut_off(line: Line, handler: Http, call: ApiCall) -> None:
    body = line.carry_out(call)
    send(handler, 200, body[: len(body) // 2])


_LIMITED = '{"success": false, "errors": [{"code": 971, "message": "Please wait and consider throttling"}]}'
_NO_RESULT = '{"success": true, "errors": [], "messages": [], "result": null}'
GET, POST = "GET /zones", "POST /zones"

# The fault, its requests, and the least number of seconds before the next request.
SURVIVED: dict[str, tuple[list[tuple[str, Spoil]], float]] = {
    "the connection is cut": ([(GET, _hang_up)], 0.2),
    "silence on a read": ([(GET, _silence)], 0.2),
    "silence on a create that was not done": ([(POST, _silence)], 0.2),
    "silence on a create that was done": ([(POST, _then(_silence))], 0.2),
    "429 with 1": ([(POST, _status(429, _LIMITED, Retry_After="1"))], 1),
    "429 with 300": ([(POST, _status(429, _LIMITED, Retry_After="300"))], 300),
    "429 with a date": ([(GET, _status(429, _LIMITED, Retry_After=formatdate(1_800_000_040, usegmt=True)))], 39),
    "429 with garbage": ([(POST, _status(429, _LIMITED, Retry_After="later, please"))], 0.2),
    "429 without": ([(POST, _status(429, _LIMITED))], 0.2),
    "429 three times": ([(POST, _status(429, _LIMITED, Retry_After="20"))] * 3, 60),
    "500 once on GET": ([(GET, _status(500, "{}"))], 0.2),
    "500 once on POST, not done": ([(POST, _status(500, "{}"))], 0.2),
    "500 once on POST, done": ([(POST, _then(_status(500, "{}")))], 0.2),
    "a page with 502": ([(GET, _status(502)), (POST, _status(502))], 0.4),
    "a page with 520, done": ([(POST, _then(_status(520)))], 0.2),
    "the answer to a create is lost": ([(POST, _then(_hang_up))], 0.2),
    "the answer to a create is cut off": ([(POST, _cut_off)], 0.2),
    "the answer to a read is cut off": ([(GET, _cut_off)], 0.2),
    "not JSON at all": ([(GET, _status(200, "OK"))], 0.2),
    "a read without a result": ([(GET, _status(200, _NO_RESULT))], 0.2),
    "a create without a result": ([(POST, _then(_status(200, _NO_RESULT)))], 0),
    "a partial batch, then 429": ([(POST, _then(_status(200, _NO_RESULT))), (POST, _status(429, _LIMITED))], 0),
}


@pytest.mark.parametrize("document", [rules(cache_rule("a"), cache_rule("b")), records(api="x.net", www="y.net"),
                                      policy("a@example.com")], ids=["rules", "records", "notification"])  # fmt: skip
@pytest.mark.parametrize("fault", SURVIVED)
def test_transient_faults_are_retried(fault: str, document: dict[str, Any], stage: Stage) -> None:
    spoiled, seconds = SURVIVED[fault]
    if document["kind"] == "notifications":
        spoiled = [(where.replace("/zones", "/accounts"), spoil) for where, spoil in spoiled]
    before, started = stage.edge.foreign(), stage.edge.time.seconds
    stage.line.spoiled = list(spoiled)
    answer = stage.ask("Create", document)
    assert answer.status == "SUCCESS", answer.reason
    assert stage.line.spoiled == [] or "partial" in fault
    assert stage.edge.time.seconds - started >= seconds
    assert stage.edge.foreign() == before
    # Nothing is duplicated or missing: deploying the same again changes nothing.
    assert stage.edge.writes(lambda: stage.ask("Update", document, answer.physical_id)) == []
    done = [call for call in stage.edge.simulator.calls if call.is_write]
    assert len(done) <= len(document.get("rules") or document.get("records") or document["policies"])


def _refuse(code: int, message: str, status: int = 400) -> Spoil:
    body = {"success": False, "errors": [{"code": code, "message": message, "source": {"pointer": "/rules/0"}}]}
    return _status(status, json.dumps(body))


REFUSED: dict[str, tuple[list[tuple[str, Spoil]], str]] = {
    "an error of the plan": ([(POST, _refuse(20120, "not entitled"))] * 2, "20120: not entitled (at /rules/0)"),
    "success false with 200": ([(POST, _refuse(1234, "no", 200))] * 2, "1234: no"),
    "an error that quotes the token": ([(POST, _refuse(1, f"bad {TOKEN}"))] * 2, "bad ********"),
    "a very long error": ([(POST, _refuse(1, "é" * 9000))] * 2, "1: éé"),
    "500 for ever": ([(GET, _status(500, "{}"))] * 9, "HTTP 500"),
    "429 longer than there is time": (
        [(POST, _status(429, _LIMITED, Retry_After="3600"))], "a wait of 3600 s is due and 6",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_a_permanent_failure_is_reported_and_leaves_nothing(fault: str, stage: Stage) -> None:
    before = stage.edge.foreign()
    stage.line.spoiled, value = list(REFUSED[fault][0]), REFUSED[fault][1]
    answer = stage.ask("Create", rules(cache_rule("a")))
    assert answer.status == "FAILED"
    assert value in answer.reason
    stage.line.spoiled = []
    assert stage.ask("Delete", rules(cache_rule("a")), answer.physical_id).status == "SUCCESS"
    assert (ours(stage.edge), stage.edge.foreign()) == ([], before)


def test_a_batch_that_fails_half_way_is_cleaned_up_by_the_delete_that_follows(stage: Stage) -> None:
    before = stage.edge.foreign()
    stage.line.spoiled = [(POST, _then(_status(200, _NO_RESULT))), *[(POST, _refuse(9021, "no more"))] * 2]
    answer = stage.ask("Create", records(a="x.net", b="y.net", c="z.net"))
    assert answer.status == "FAILED"
    assert stage.edge.foreign() == before
    assert any(each["name"] == "a.example.com" for each in stage.edge.zone.records.values())
    stage.ask("Delete", records(a="x.net", b="y.net", c="z.net"), answer.physical_id)
    assert not any(each["name"] == "a.example.com" for each in stage.edge.zone.records.values())


def test_a_token_revoked_half_way_fails_with_a_hint_and_the_next_deployment_repairs(stage: Stage) -> None:
    def revoke(line: Line, handler: Http, call: ApiCall) -> None:
        body = line.carry_out(call)
        stage.edge.world.tokens[TOKEN] = "disabled"
        send(handler, 200, body)

    made = stage.ask("Create", records(a="x.net"))
    stage.line.spoiled = [(POST, revoke)]
    failed = stage.ask("Update", records(a="x.net", b="y.net", c="z.net"), made.physical_id)
    assert (failed.status, failed.physical_id) == ("FAILED", made.physical_id)
    assert "is the token still valid" in failed.reason
    stage.edge.world.tokens[TOKEN] = "active"
    assert stage.ask("Update", records(a="x.net"), made.physical_id).status == "SUCCESS"
    names = [each["name"] for each in stage.edge.zone.records.values() if each["comment"]]
    assert names == ["a.example.com"]


def test_pagination_that_fails_in_the_middle_deletes_nothing(stage: Stage) -> None:
    made = stage.ask("Create", records(a="x.net"))
    for at in range(600):
        dns.create(stage.edge.zone, {"type": "TXT", "name": f"t{at}.example.com", "content": "x"})
    records_path = f"GET /zones/{stage.edge.zone.id}/dns_records"

    def only_the_first(line: Line, handler: Http, call: ApiCall) -> None:
        stage.line.spoiled = [(records_path, _status(500, "{}"))] * 8
        send(handler, 200, line.carry_out(call))

    stage.line.spoiled = [(records_path, only_the_first)]
    answer = stage.ask("Update", records(a="x.net", b="y.net"), made.physical_id)
    assert (answer.status, "HTTP 500, not an answer" in answer.reason) == ("FAILED", True)
    assert len([each for each in stage.edge.zone.records.values() if each["comment"] == "production.dns.a"]) == 1


@pytest.mark.parametrize(("spoiled", "expected"), [
    (lambda world: world.zones.clear(), "no such zone that the token can see"),
    (lambda world: setattr(world.zones[0], "status", "pending"), "pending, not active; its name servers must be ada"),
    (lambda world: setattr(world.zones[0], "paused", True), "paused"),
    (lambda world: world.zones.append(Zone("example.com", account="b" * 32)), "2 zones of that name, in the accounts"),
])  # fmt: skip
def test_a_zone_that_is_not_exactly_one_working_zone(spoiled: Any, expected: str, stage: Stage) -> None:
    spoiled(stage.edge.world)
    answer = stage.ask("Create", rules(cache_rule("a")))
    assert (answer.status, expected in answer.reason) == ("FAILED", True)
    assert answer.physical_id.startswith("never-created:")
    assert not any(call.is_write for call in stage.edge.simulator.calls)


def test_a_delete_when_the_zone_is_gone_or_paused(stage: Stage) -> None:
    made = stage.ask("Create", rules(cache_rule("a")))
    stage.edge.zone.paused = True
    assert stage.ask("Delete", rules(), made.physical_id).status == "SUCCESS"
    assert ours(stage.edge) == []
    stage.edge.world.zones.clear()
    assert stage.ask("Delete", rules(), made.physical_id).status == "SUCCESS"


def test_a_delete_after_a_failed_create_touches_nothing(stage: Stage) -> None:
    assert stage.ask("Delete", rules(cache_rule("a")), "never-created:x").status == "SUCCESS"
    assert stage.edge.simulator.calls == []


def test_another_zone_is_a_replacement(stage: Stage) -> None:
    made = stage.ask("Create", rules(cache_rule("a")))
    other = Zone("example.org")
    stage.edge.world.zones.append(other)
    moved = rules(cache_rule("a") | {"expression": "true"}, zone="example.org")
    new = stage.ask("Update", moved, made.physical_id)
    assert new.physical_id == f"{other.id}/production/rules/{CACHE}"
    stage.ask("Delete", rules(cache_rule("a")), made.physical_id)
    assert ours(stage.edge) == []
    assert [each["ref"] for each in other.rulesets[CACHE]["rules"]] == ["production.a"]


def test_the_same_create_delivered_twice_at_the_same_time(stage: Stage, http: httpx.Client) -> None:
    """The second request completes before the first can write."""
    twin = new_edge(lambda _: http)
    twin.base_url, twin.time, twin.store = stage.edge.base_url, stage.edge.time, stage.edge.store

    for document in (rules(cache_rule("a"), cache_rule("b")), records(api="x.net"), connector("media")):

        def overtaken(line: Line, handler: Http, call: ApiCall, document: dict[str, Any] = document) -> None:
            twin.ask("Create", document)
            send(handler, 200, line.carry_out(call))

        path = {"rules": "POST", "records": "POST", "connector": "PUT"}[document["kind"]]
        stage.line.spoiled = [(path, overtaken)]
        answer = stage.ask("Create", document)
        assert answer.status == "SUCCESS", answer.reason
        again = functools.partial(stage.ask, "Update", document, answer.physical_id)
        assert stage.edge.writes(again) == []


def test_too_little_time_is_reported_before_it_runs_out(stage: Stage) -> None:
    stage.edge.lambda_seconds = 0
    answer = stage.ask("Create", rules(cache_rule("a")))
    assert (answer.status, "no time is left" in answer.reason) == ("FAILED", True)


def test_numbers_and_booleans_survive_cloudformations_strings(stage: Stage) -> None:
    """The document is one string, so its numbers and booleans arrive as what they are."""
    stage.ask("Create", rules(cache_rule("a")))
    (rule,) = [each for each in stage.edge.zone.rulesets[CACHE]["rules"] if each["ref"] == "production.a"]
    assert rule["action_parameters"] == {"cache": True, "edge_ttl": {"mode": "override_origin", "default": 2592000}}


def test_a_refused_connection_fails_after_its_retries(stage: Stage) -> None:
    stage.edge.base_url = "http://127.0.0.1:9/client/v4"
    answer = stage.ask("Create", rules(cache_rule("a")))
    assert (answer.status, "ConnectError, 8 times" in answer.reason) == ("FAILED", True)


def test_delivery_of_the_answer_is_retried(monkeypatch: pytest.MonkeyPatch, stage: Stage) -> None:
    from infra_runtime import custom_resource

    monkeypatch.setattr(custom_resource, "_ANSWER_WAITS", (0, 0))
    tried: list[str] = []
    honest = urllib.request.urlopen

    def stumbling(request: Any, timeout: float) -> Any:
        tried.append(request.full_url)
        if len(tried) < 3:
            raise ConnectionResetError
        return honest(request, timeout=timeout)

    monkeypatch.setattr(urllib.request, "urlopen", stumbling)
    assert stage.ask("Create", rules(cache_rule("a"))).status == "SUCCESS"
    assert len(tried) == 3


def test_no_more_than_four_requests_a_second_in_the_long_run(edge: Edge) -> None:
    edge.lambda_seconds = 10_000
    api, started = edge.api(), edge.time.seconds
    for _ in range(2000):
        api.get("/zones")
    # Cloudflare's own limit, which the simulator has, is never met.
    assert max(edge.time.slept) < 1
    assert 2000 / (edge.time.seconds - started) <= 4


def test_another_environment_writes_into_the_phase_at_the_same_time(stage: Stage, http: httpx.Client) -> None:
    """Between our read and our write, staging creates the phase's ruleset, or adds a rule that ours would follow."""
    staging = new_edge(lambda _: http)
    staging.base_url, staging.time = stage.edge.base_url, stage.edge.time
    phase = "http_ratelimit"
    limit = {
        "characteristics": ["ip.src", "cf.colo.id"],
        "period": 10,
        "requests_per_period": 5,
        "mitigation_timeout": 10,
    }
    rule = {"description": "", "action": "block", "ratelimit": limit}
    theirs = rules(rule | {"name": "theirs", "expression": 'http.host eq "s"'}, phase=phase, owner="staging")

    def overtaken(line: Line, handler: Http, call: ApiCall) -> None:
        staging.ask("Create", theirs)
        send(handler, 400, line.carry_out(call))

    stage.line.spoiled = [("POST", overtaken)]
    ours_too = rules(rule | {"name": "ours", "expression": 'http.host eq "p"'}, phase=phase)
    answer = stage.ask("Create", ours_too)
    assert answer.status == "SUCCESS", answer.reason
    assert [each["ref"] for each in stage.edge.zone.rulesets[phase]["rules"]] == ["staging.theirs", "production.ours"]


def test_a_delete_of_objects_that_were_changed_or_deleted_by_hand(stage: Stage) -> None:
    before = stage.edge.foreign()
    made = stage.ask("Create", rules(cache_rule("a"), cache_rule("b")))
    found = [each for each in stage.edge.zone.rulesets[CACHE]["rules"] if each["ref"].startswith("production.")]
    found[0]["expression"] = "true"
    stage.edge.zone.rulesets[CACHE]["rules"].remove(found[1])
    assert stage.ask("Delete", rules(cache_rule("a"), cache_rule("b")), made.physical_id).status == "SUCCESS"
    assert (ours(stage.edge), stage.edge.foreign()) == ([], before)


def test_a_throttled_caller_waits_as_long_as_cloudflare_says(edge: Edge) -> None:
    """Another client exhausts the rate limit of the same Cloudflare user."""
    for _ in range(1200):
        edge.simulator.answer(ApiCall("GET", "/zones", {}, None, TOKEN))
    started = edge.time.seconds
    edge.ask("Create", rules(cache_rule("a")))
    assert edge.time.seconds - started >= 300
    assert ours(edge) == ["production.a"]
