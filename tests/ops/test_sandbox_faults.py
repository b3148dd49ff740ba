"""The sandbox's parts, in the account of the other tests: the edge, the page's sections, faults and repairs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from config import services
from ops.sandbox import FAULTS
from rehearsal.account import Account
from rehearsal.checks.redis import is_used
from rehearsal.sandbox.edge import SandboxEdge
from rehearsal.sandbox.faults import CannotBreak, Faults, master
from rehearsal.sandbox.state import State
from simulators.cloudflare.expressions import EdgeRequest
from simulators.redis.authority import Authority


@pytest.fixture
def edge(production: Account, tmp_path: Path) -> SandboxEdge:
    return SandboxEdge(Authority(), tmp_path, account=production)


@pytest.fixture
def faults(production: Account) -> Iterator[Faults]:
    made = Faults(production)
    yield made
    made.repair()


def status(edge: SandboxEdge, host: str, path: str = "/", method: str = "GET") -> int:
    return edge.answer(EdgeRequest(method, host, path, "", "203.0.113.7", {"user-agent": "Mozilla/5.0"}), b"").status


def host_of_main(account: Account) -> str:
    return services.hosts(account.environment)[account.main]


def test_visitors_meet_the_zones_rules_and_the_load_balancer(edge: SandboxEdge, production: Account) -> None:
    host = host_of_main(production)
    assert status(edge, host) == 200
    assert status(edge, host, "/wp-admin") == 403
    assert status(edge, production.environment.domains.media, method="PUT") == 403
    assert status(edge, f"nobody.{production.environment.domains.zone}") == 530
    seen = [200, 403, 403, 530]
    assert [each["status"] for each in edge.recent] == seen
    assert [each.status for each in production.zone.traffic.requests[-4:]] == seen, "Cloudflare's analytics count them"


def test_every_section_of_the_page_can_be_read(edge: SandboxEdge, production: Account, faults: Faults) -> None:
    state = State(production, edge, faults, {})
    for name in ("alarms", "mailbox", "edge", "services", "ledger", "logs", "database", "redis", "metrics"):
        state.refresh(name)
        assert "error" not in state.sections[name], (name, state.sections[name])
    assert {each["severity"] for each in state.sections["alarms"]} >= {"critical", "warning"}
    assert all(each["runbook"] for each in state.sections["alarms"])
    assert state.sections["database"]["version"].startswith("PostgreSQL ")


def test_users_notice_an_edited_rule_and_a_load_balancer_that_hangs(
    edge: SandboxEdge, production: Account, faults: Faults
) -> None:
    host = host_of_main(production)
    for name, seen in (("edge-rule", 403), ("origin", 524), ("cloudflare-errors", 502)):
        assert FAULTS[name] in faults.cause(name)
        with pytest.raises(CannotBreak, match="broken already"):
            faults.cause(name)
        assert status(edge, host) == seen
        assert faults.repair() == f"repaired: {name}"
        assert status(edge, host) == 200
    assert faults.repair() == "nothing was broken"


@pytest.mark.parametrize(("fault", "service", "call", "error"), [
    ("s3-throttled", "s3", "list_buckets", "SlowDown"),
    ("secrets-throttled", "secretsmanager", "list_secrets", "ThrottlingException"),
])  # fmt: skip
def test_a_throttled_service_turns_every_call_away_until_it_is_repaired(
    fault: str, service: str, call: str, error: str, *, production: Account, faults: Faults
) -> None:
    faults.cause(fault)
    with pytest.raises(ClientError, match=error):
        getattr(production.client(service), call)()
    faults.repair()
    assert getattr(production.client(service), call)()


def test_redis_and_the_database_stop_answering_and_go_on(production: Account, faults: Faults) -> None:
    with master(production) as connection:
        faults.cause("database")
        faults.cause("redis")
        with pytest.raises(Exception, match=r"(?i)timeout"):
            master(production)
        faults.repair()
        assert connection.execute("select 1").fetchone() == (1,)
    assert "a write read back" in is_used(production)
