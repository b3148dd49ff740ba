"""`infra maintenance`: what visitors, our checks and the alarms get, and how it ends."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import typer

from config import load, services
from infra_runtime import edge_drift
from infra_runtime.contract.check_targets import PASS_HEADER
from infra_runtime.contract.secret_values import Secrets
from ops.console import Console
from ops.edge import commands as edge_commands
from ops.edge.zone import EdgeOf
from ops.errors import InputError, OperatorError
from ops.maintenance import commands, mute
from ops.maintenance.state import KEY
from rehearsal.state_store import InMemoryStateStore
from simulators.cloudflare import worker
from simulators.http_server import send, serving
from tests.ops.account import NAME, ROLE, Account
from tests.runtime.conftest import Edge, FakeSecretsManager, new_edge

ENVIRONMENT = load([NAME])[NAME]
HOSTS = sorted(services.hosts(ENVIRONMENT).values())
SCRIPT = f"{NAME}-daadaar-com-maintenance"
STORAGE = "WARNING: The disk fills up. Threshold: below 10 GiB. Runbook: docs/runbooks/database-storage.md"
NOW = datetime(2026, 11, 26, 12, 0, 20, tzinfo=UTC)


class Memory(InMemoryStateStore):
    def all(self, key: str) -> dict[str, Any]:
        return {KEY.removeprefix(f"{key}/"): self.get(KEY)}


class CloudWatch(Account):
    """An account with alarms, CloudWatch's mute rules and a caller."""

    def __init__(self) -> None:
        super().__init__()
        self.rules: dict[str, dict[str, Any]] = {}
        self.status = "SCHEDULED"
        self.resources["platform"] = [("AWS::SecretsManager::Secret", "CheckPassSecret0123ABCD", "check-pass")]
        self.rings("daadaar-production-data-Storage", STORAGE)
        self.rings("daadaar-production-api-TargetTracking", "Hands off")
        self.rings("daadaar-production-observability-Users", STORAGE, is_composite=True)

    class exceptions(Account.exceptions):  # noqa: N801  (boto3's name)
        class ResourceNotFoundException(Exception):
            pass

    def get_caller_identity(self) -> dict[str, str]:
        return {"Arn": ROLE}

    def put_alarm_mute_rule(self, **rule: Any) -> None:
        assert len(rule["MuteTargets"]["AlarmNames"]) <= 100
        self.rules[rule["Name"]] = rule

    def get_alarm_mute_rule(self, *, AlarmMuteRuleName: str) -> dict[str, str]:  # noqa: N803
        if AlarmMuteRuleName not in self.rules:
            raise self.exceptions.ResourceNotFoundException(AlarmMuteRuleName)
        return {"Status": self.status}

    def delete_alarm_mute_rule(self, *, AlarmMuteRuleName: str) -> None:  # noqa: N803
        self.rules.pop(AlarmMuteRuleName, None)


class Operator:
    def __init__(self, edge: Edge) -> None:
        edge.zone.name, edge.store = ENVIRONMENT.domains.zone, Memory()
        self.edge, self.aws, self.now = edge, CloudWatch(), NOW
        self.before = edge.foreign()

    @property
    def at(self) -> EdgeOf:
        """Reads the state again, as each command does."""
        secrets = Secrets(FakeSecretsManager({"check-pass": "let-me-through"}))
        parts: Any = (self.aws, self.edge.api(), secrets, self.edge.store)
        return EdgeOf(NAME, ENVIRONMENT, *parts)

    def on(self, until: str = "1h", reason: str | None = "a larger disk") -> str:
        ends = commands.end(until, now=self.now)
        return printed(lambda console: commands.on(self.at, ends, reason, console, now=lambda: self.now))

    def off(self) -> str:
        return printed(lambda console: commands.off(self.at, console))

    def show(self) -> tuple[str, int]:
        code = 0

        def run(console: Console) -> None:
            nonlocal code
            try:
                commands.show(self.at, console, as_json=False, now=lambda: self.now)
            except typer.Exit as ended:
                code = ended.exit_code

        return printed(run), code

    @property
    def patterns(self) -> set[str]:
        return {each["pattern"] for each in self.edge.zone.routes.values() if each["script"] == SCRIPT}


def printed(run: Any) -> str:
    out = io.StringIO()
    run(Console(file=out, width=400))
    return out.getvalue()


@pytest.fixture
def operator() -> Iterator[Operator]:
    edge = new_edge()
    yield Operator(edge)
    assert edge.simulator.violations == []


def test_the_hosts_of_site_and_api_get_a_worker_and_all_our_alarms_are_muted(operator: Operator) -> None:
    output = operator.on()
    assert operator.patterns == {f"{host}/*" for host in HOSTS}
    (rule,) = operator.aws.rules.values()
    assert rule["MuteTargets"]["AlarmNames"] == [
        "daadaar-production-data-Storage",
        "daadaar-production-observability-Users",
    ], "autoscaling goes on"
    assert rule["Rule"]["Schedule"] == {"Expression": "at(2026-11-26T12:01)", "Duration": "PT60M"}
    assert rule["ExpireDate"] == datetime(2026, 11, 26, 13, 1, tzinfo=UTC), "never for ever"
    assert "503 until 2026-11-26 13:01:00 UTC" in output
    shown, code = operator.show()
    assert code == 0
    assert "since 2026-11-26 12:00:20 until 2026-11-26 13:01:00 UTC, by zara (a larger disk)" in shown


def test_off_leaves_nothing_behind_and_says_what_notifies_now(operator: Operator) -> None:
    operator.on()
    output = operator.off()
    assert (operator.patterns, operator.aws.rules, operator.edge.store.get(KEY)) == (set(), {}, None)
    assert SCRIPT not in operator.edge.world.scripts
    assert operator.edge.foreign() == operator.before
    assert "fires, and notifies now: daadaar-production-data-Storage: docs/runbooks/database-storage.md" in output
    assert "no maintenance is on" in operator.off()


def test_off_removes_the_page_also_when_its_record_is_lost(operator: Operator) -> None:
    operator.on()
    operator.edge.store.put(KEY, None)
    operator.off()
    assert (operator.patterns, SCRIPT in operator.edge.world.scripts) == (set(), False)


def test_on_again_prolongs_it_without_a_gap_and_keeps_its_beginning(operator: Operator) -> None:
    operator.on("1h")
    operator.now += timedelta(minutes=30)
    operator.on("2h", reason=None)
    first, second = operator.aws.rules.values()
    assert first["ExpireDate"] > operator.now, "the first rule mutes until the second begins"
    assert second["Rule"]["Schedule"]["Expression"] == "at(2026-11-26T12:31)"
    document = operator.edge.store.get(KEY)
    assert (document["since"], document["reason"]) == ("2026-11-26T12:00:20+00:00", "a larger disk")
    assert document["variables"]["UNTIL"] == "2026-11-26T14:31Z"
    with pytest.raises(InputError, match="infra maintenance off production"):
        operator.on("10m")
    operator.off()
    assert operator.aws.rules == {}


def test_a_foreign_worker_on_a_host_stops_it_before_anything_is_written(operator: Operator) -> None:
    route = {"id": "theirs", "pattern": f"{HOSTS[0]}/*", "script": "theirs"}
    operator.edge.world.scripts["theirs"] = {"tags": [], "source": ""}
    operator.edge.zone.routes["theirs"] = dict(route)
    with pytest.raises(OperatorError, match="it leads to theirs"):
        operator.on()
    assert operator.edge.zone.routes["theirs"] == route
    assert (operator.edge.store.get(KEY), operator.aws.rules) == (None, {})


def test_a_missing_part_is_reported_with_the_command_that_repairs_it(operator: Operator) -> None:
    operator.on()
    operator.edge.zone.routes.clear()
    operator.aws.rules.clear()
    shown, code = operator.show()
    assert code == 3
    assert "infra edge apply production" in shown
    assert "no alarm is muted" in shown


def test_missing_parts_are_drift_while_it_is_on_and_leftovers_are_drift_afterwards(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator.on("1h")
    for module in (edge_drift, edge_commands):
        monkeypatch.setattr(module, "datetime", SimpleNamespace(now=lambda _: operator.now))

    def drift() -> tuple[int, int]:
        at = operator.at
        (scheduled,) = edge_drift.compare(at.api, at.secrets, at.store)
        (asked,) = edge_commands.drifts(at)
        assert len(asked.changes) == scheduled.drifted + scheduled.missing
        return scheduled.drifted, scheduled.missing

    assert drift() == (0, 0)
    kept = dict(operator.edge.zone.routes)
    operator.edge.zone.routes.clear()
    assert drift() == (0, len(HOSTS))
    operator.edge.zone.routes.update(kept)
    operator.now += timedelta(hours=2)
    assert drift() == (1 + len(HOSTS), 0)
    assert "ENDED BY ITSELF" in operator.show()[0]
    assert operator.show()[1] == 3


@pytest.mark.parametrize("text", ["", "1", "4m", "25h", "for ever", "2026-11-26T12:03Z", "2026-11-27T13:00Z", "12:30"])
def test_an_end_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--until .* expected 45m, 2h, or a time like"):
        commands.end(text, now=NOW)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InputError, match="no zone"):
        commands.end("2026-11-26T13:00", now=NOW)
    assert commands.end("2026-11-26T14:00+01:00", now=NOW) == datetime(2026, 11, 26, 13, 0, tzinfo=UTC)


def test_more_alarms_than_a_rule_takes_are_shared_among_several() -> None:
    aws, names = CloudWatch(), [f"alarm-{number:03}" for number in range(201)]
    made = mute.mute(aws, "p", names, until=NOW + timedelta(hours=1), about="", now=NOW)
    assert [len(aws.rules[name]["MuteTargets"]["AlarmNames"]) for name in made] == [100, 100, 1]


@contextmanager
def page(until: datetime, asked: list[tuple[str, str, bytes]]) -> Iterator[str]:
    """The Worker in front of an origin that records its requests."""

    def origin(handler: Any, content: bytes) -> None:
        asked.append((handler.command, handler.path, content))
        send(handler, 200, b"the origin")

    with serving(origin) as url:
        env = {"UNTIL": f"{until:%Y-%m-%dT%H:%MZ}", "PASS_HEADER": PASS_HEADER, "CHECK_PASS": "let-me-through"}
        with worker.running(commands.PAGE, env=env, upstreams={"https://site.example.com": url}) as before:
            yield before


def test_visitors_get_503_with_the_time_until_the_end_and_our_checks_get_the_origin() -> None:
    asked: list[tuple[str, str, bytes]] = []
    with page(datetime.now(UTC) + timedelta(minutes=30), asked) as url:
        browser = httpx.get(url, headers={"Accept": "text/html,*/*"})
        program = httpx.post(f"{url}/graphql", content=b"{}")
        assert (browser.status_code, program.status_code) == (503, 503)
        assert 0 < int(browser.headers["retry-after"]) <= 1800
        assert browser.headers["cache-control"] == "no-store"
        assert "We will be back soon" in browser.text
        assert json.loads(program.text)["error"] == "maintenance"
        assert httpx.get(url, headers={PASS_HEADER: "wrong"}).status_code == 503
        assert asked == []
        check = httpx.post(f"{url}/health?a=1", content=b"body", headers={PASS_HEADER: "let-me-through"})
        assert (check.status_code, check.text, asked) == (200, "the origin", [("POST", "/health?a=1", b"body")])


def test_after_the_end_everybody_gets_the_origin_without_anybody_doing_anything() -> None:
    with page(datetime.now(UTC) - timedelta(minutes=1), []) as url:
        assert httpx.get(url).text == "the origin"
