"""`infra verify --live` in a deployed environment: every check holds; a vendor who answers otherwise refutes it."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra_runtime.vendor_api import Clock
from ops.console import Console
from ops.edge.zone import open_edge
from ops.errors import InputError
from ops.verify.checks import CHECKS
from ops.verify.commands import VerifiedAssumption, chosen, explain, verify
from ops.verify.live import Live
from rehearsal.account import TOKEN, Account
from rehearsal.checks.redis import stopped
from rehearsal.evidence import EVIDENCE, differences
from rehearsal.visitor import SimulatedVisitor
from simulators.cloudflare import dns
from simulators.cloudflare.foreign import inventory
from tests.ops.every_command import conforms

NAMES = [each.name for each in CHECKS]
Verify = Callable[..., list[VerifiedAssumption]]


class Hurried:
    """Ten minutes pass in a tenth of a second: what has not come by then does not come."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds * 100


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "evidence"


@pytest.fixture
def run(production: Account, into: Path, monkeypatch: pytest.MonkeyPatch) -> Verify:
    variables = {"AWS_ENDPOINT_URL": production.cdk.endpoint or "", "CLOUDFLARE_BASE_URL": production.cloudflare_url}
    for name, value in (production.cdk.credentials | variables).items():
        monkeypatch.setenv(name, value)

    def verified(*only: str, clock: Clock | None = None) -> list[VerifiedAssumption]:
        edge = open_edge("production", production.environment)
        output = Console(file=io.StringIO())
        try:
            return verify(
                edge, output, checks=chosen(only), into=into, visitor=SimulatedVisitor(production), clock=clock
            )
        finally:
            edge.api.http.event_hooks["response"].clear()

    return verified


def test_planned_checks_are_printed_as_documented(capsys: pytest.CaptureFixture[str]) -> None:
    explain(chosen(["weights"]), Console(file=io.StringIO()), as_json=True)
    (found,) = conforms("verify", capsys.readouterr().out)
    assert (found["check"], found["verdict"], found["seen"]) == ("weights", None, None)


def test_everything_holds_and_nothing_is_left(production: Account, run: Verify, into: Path) -> None:
    before = inventory(production.cloudflare.world), _made_by_checks(production)
    outcomes = {each.check: each for each in run()}
    assert list(outcomes) == NAMES
    assert {each.check: each.seen for each in outcomes.values() if each.verdict == "refuted"} == {}
    assert (inventory(production.cloudflare.world), _made_by_checks(production)) == before
    (file,) = into.iterdir()
    document = json.loads(file.read_text())
    assert [each["check"] for each in document["checks"]] == NAMES
    assert all(each["answers"] for each in document["checks"])
    for private in (TOKEN, production.environment.aws.account, production.environment.domains.zone):
        assert private not in file.read_text()
    # Recordings of live accounts are binding for the simulators.
    for recorded in sorted(EVIDENCE.glob("*.json")):
        assert list(differences(json.loads(recorded.read_text()), document)) == [], recorded.name


def _made_by_checks(account: Account) -> dict[str, list[str]]:
    queues = account.client("sqs").list_queues().get("QueueUrls", [])
    listed = account.client("events").get_paginator("list_rules").paginate().build_full_result()["Rules"]
    rules = [each["Name"] for each in listed if "verify" in each["Name"]]
    alarms = account.client("cloudwatch").describe_alarms(AlarmNamePrefix="verify")["MetricAlarms"]
    return {"queues": queues, "rules": rules, "alarms": [each["AlarmName"] for each in alarms]}


# -- Vendors that behave differently


@contextmanager
def another_user_agent(account: Account, _: pytest.MonkeyPatch) -> Iterator[None]:
    (rule,) = [
        each
        for each in account.zone.rulesets["http_request_late_transform"]["rules"]
        if each["ref"] == "production.media-user-agent"
    ]
    header = rule["action_parameters"]["headers"]["User-Agent"]
    before, header["value"] = header["value"], "what Cloud Connector sends instead"
    yield
    header["value"] = before


@contextmanager
def an_open_balancer(account: Account, _: pytest.MonkeyPatch) -> Iterator[None]:
    balancer = account.client("elbv2").describe_load_balancers()["LoadBalancers"][0]
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    where = {"GroupId": balancer["SecurityGroups"][0], "IpPermissions": [rule]}
    account.client("ec2").authorize_security_group_ingress(**where)
    yield
    account.client("ec2").revoke_security_group_ingress(**where)


@contextmanager
def names_as_they_were_written(_: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(dns, "_host", str)
        yield


@contextmanager
def a_value_of_its_own(account: Account, _: pytest.MonkeyPatch) -> Iterator[None]:
    (rule,) = [
        each
        for each in account.zone.rulesets["http_request_cache_settings"]["rules"]
        if each["ref"] == "production.media-cache"
    ]
    before, rule["expression"] = rule["expression"], "true"
    yield
    rule["expression"] = before


@contextmanager
def a_token_that_does_not_reach(account: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    own = account.cloudflare.answer

    def answer(call: Any) -> Any:
        if call.method == "GET" and call.path.endswith("/bot_management"):
            call = type(call)(call.method, call.path, call.query, call.body, "a token without it", call.files)
        return own(call)

    with monkeypatch.context() as patched:
        patched.setattr(account.cloudflare, "answer", answer)
        yield


@contextmanager
def no_redis(account: Account, _: pytest.MonkeyPatch) -> Iterator[None]:
    with stopped(account):
        yield


def answering(service: str, operation: str, change: Callable[[Any], Any]) -> Any:
    """A service that answers one operation differently. `change` gets the request and calls the real service."""

    class Otherwise:
        def __init__(self, client: Any) -> None:
            self._client = client

        def __getattr__(self, name: str) -> Any:
            own = getattr(self._client, name)
            return (lambda **request: change(lambda: own(**request))) if name == operation else own

    @contextmanager
    def otherwise(_: Account, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        own = Live.client
        with monkeypatch.context() as patched:
            patched.setattr(
                Live,
                "client",
                lambda live, name: Otherwise(own(live, name)) if name == service else own(live, name),
            )
            yield

    return otherwise


def weights_of_the_template(ask: Callable[[], Any]) -> Any:
    answer = ask()
    for group in answer["Rules"][0]["Actions"][0]["ForwardConfig"]["TargetGroups"]:
        group["Weight"] = 100 - group["Weight"]
    return answer


OTHERWISE = {
    "media-origin": (another_user_agent, "answers 403"),
    "origin-closed": (an_open_balancer, "accepts a connection"),
    "host-names": (names_as_they_were_written, "is kept as"),
    "declarations": (a_value_of_its_own, "a second deployment would write"),
    "token": (a_token_that_does_not_reach, "bot_management"),
    "weights": (answering("elbv2", "describe_rules", weights_of_the_template), "has targets"),
    "revision": (
        answering("ecs", "describe_service_revisions", lambda _: {"serviceRevisions": [{"taskDefinition": "t"}]}),
        "no networkConfiguration",
    ),
    "events": (answering("events", "put_events", lambda _: {}), "EventBridge's event"),
    "alarms": (answering("cloudwatch", "set_alarm_state", lambda _: {}), "CloudWatch's alarm"),
    "redis": (no_redis, "the probe in the VPC says critical"),
    "rotation": (answering("secretsmanager", "rotate_secret", lambda _: {}), "the rotation: not within"),
}


def test_every_check_has_a_vendor_who_refutes_it() -> None:
    assert set(OTHERWISE) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_vendor_that_behaves_differently_is_detected(
    name: str, production: Account, run: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    vendor, seen = OTHERWISE[name]
    hurried = Hurried()
    with vendor(production, monkeypatch):
        (outcome,) = run(name, clock=Clock(lambda: hurried.seconds, hurried.sleep))
    assert (outcome.verdict, seen in str(outcome.seen)) == ("refuted", True), outcome


def test_an_unknown_check_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="--only 'x': expected one of media-origin"):
        chosen(["x"])
