"""What an operator sees of an environment: each service, what moves in it, and what fires."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from typer.testing import CliRunner

from config import load
from config.model import Environment
from ops import __main__ as infra
from ops import alarms, status
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.releases import commands
from ops.releases.status import ServiceStatus
from ops.releases.target import ReleaseTarget
from tests.ops.account import NAME, PRODUCT, ROLE, Account
from tests.runtime.release.aws import IMAGE, OLD

ERRORS = (
    "CRITICAL: More than one request in twenty fails. Threshold: above 5 %. Runbook: docs/runbooks/service-errors.md"
)
DISK = (
    "WARNING: The disk fills up. Threshold: below 10 GiB. Runbook: docs/runbooks/database-storage.md See: https://a.b"
)


@pytest.fixture
def account() -> Account:
    return Account()


@pytest.fixture
def environment() -> Environment:
    """Its second service has an image of its own and no host."""
    found = load([NAME])[NAME]
    worker = found.services["api"].model_copy(update={"host": None, "port": None, "release_check": None})
    return found.model_copy(update={"services": {"api": found.services["api"], "worker": worker}})


def read(environment: Environment, account: Account) -> status.EnvironmentStatus:
    return status.environment_status(NAME, environment, account, services=["api", "worker"])


def shown(found: status.EnvironmentStatus) -> str:
    out = io.StringIO()
    status.show(NAME, found, Console(file=out, width=220), as_json=False)
    return out.getvalue()


def test_status_tells_of_each_service_what_moves_since_when_and_by_whom(
    environment: Environment, account: Account
) -> None:
    account.released(note="a new start page")
    account.deploys(stage="BAKE_TIME", minutes=12)
    found = shown(read(environment, account))
    assert "api in production" in found
    assert "worker in production" in found
    began = f"{account.deployments['api'][0]['createdAt']:%Y-%m-%d %H:%M:%S}"
    assert f"BAKE_TIME, IN_PROGRESS since {began} UTC (12 minutes), from api@{'b' * 12} to api@{'a' * 12}" in found
    assert "running by zara" in found
    assert "a new start page" in found
    assert "infra follow production api" in found
    assert "infra rollback production --service api" in found


def test_a_service_without_a_load_balancer_has_a_status(environment: Environment, account: Account) -> None:
    found = read(environment, account).services["worker"]
    assert isinstance(found, ServiceStatus)
    assert (found.traffic, found.alarms, found.tasks.running) == ({}, {}, 3)


def test_status_keeps_the_reason_of_the_last_failure(environment: Environment, account: Account) -> None:
    release = account.released()
    reason = "migration: the command ended with 1; PostgreSQL: syntax error"
    account.ledger.end("api", release.id, outcome="failed", when=datetime.now(UTC).isoformat(), reason=reason)
    assert reason in shown(read(environment, account))


def test_status_lists_every_firing_alarm_of_the_environment_with_its_runbook(
    environment: Environment, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alarms, "available", lambda: (NAME, "production-eu"))
    account.rings("daadaar-production-data-Storage", DISK, minutes=90)
    account.rings("daadaar-production-api-release-errors", ERRORS, minutes=3)
    account.rings("daadaar-production-observability-Users", ERRORS, minutes=2, is_composite=True)
    account.rings("daadaar-staging-api-release-errors", ERRORS)
    account.rings("daadaar-production-eu-api-release-errors", ERRORS)
    account.rings("daadaar-production-of-somebody-else", "Hands off")
    account.rings("daadaar-production-without-a-description", None)
    account.rings("daadaar-production-observability-AvailabilityFastLong", ERRORS, tells=())
    found = alarms.firing(account, PRODUCT, NAME)
    assert [(each.severity, each.alarm.rpartition("-")[2], each.runbook) for each in found] == [
        ("critical", "errors", "docs/runbooks/service-errors.md"),
        ("critical", "Users", "docs/runbooks/service-errors.md"),
        ("warning", "Storage", "docs/runbooks/database-storage.md"),
    ]
    assert found[2].means == "The disk fills up. Threshold: below 10 GiB."
    reported = shown(read(environment, account))
    assert "docs/runbooks/database-storage.md" in reported
    assert "no alarm fires" not in reported


def test_maintenance_is_printed_first_and_warns_when_its_time_is_over(
    environment: Environment, account: Account
) -> None:
    account.maintenance = {
        "by": ROLE, "since": "2026-11-26T12:00:20+00:00", "until": "9999-01-01T00:00:00+00:00",
        "reason": "a larger disk", "patterns": ["daadaar.com/*"], "mute_rules": ["one"],
    }  # fmt: skip
    first, *_ = shown(read(environment, account)).splitlines()
    assert first.startswith(
        "MAINTENANCE since 2026-11-26 12:00:20 until 9999-01-01 00:00:00 UTC, by zara (a larger disk)"
    )
    assert "infra maintenance off production" in first
    account.maintenance |= {"until": "2026-11-26T13:00:00+00:00"}
    first, *_ = shown(read(environment, account)).splitlines()
    assert first.startswith("MAINTENANCE ENDED BY ITSELF at 2026-11-26 13:00:00 UTC")
    assert "infra maintenance off production" in first


def test_the_json_of_status_has_one_form(
    environment: Environment, account: Account, capsys: pytest.CaptureFixture[str]
) -> None:
    account.released()
    account.deploys(stage="SCALE_UP")
    status.show(NAME, read(environment, account), Console(), as_json=True)
    printed = json.loads(capsys.readouterr().out)
    assert (printed["alarms"], printed["maintenance"]) == ([], None)
    api = printed["services"]["api"]
    assert api["deployment"]["stage"] == "SCALE_UP"
    assert (api["deployment"]["from_image"], api["deployment"]["to_image"]) == (OLD, IMAGE)
    assert api["release"]["who"] == ROLE
    assert api["tasks"] == {"running": 3, "desired": 3}
    assert printed["services"]["worker"]["deployment"] is None


def test_watch_looks_again_until_it_is_interrupted(environment: Environment, account: Account) -> None:
    out = io.StringIO()
    stages = ["SCALE_UP", "BAKE_TIME"]

    def waits(_: float) -> None:
        if not stages:
            raise KeyboardInterrupt
        account.deploys(stage=stages.pop(0))

    status.watch(NAME, lambda: read(environment, account), Console(file=out, width=200), sleep=waits)
    assert [stage in out.getvalue() for stage in ("SCALE_UP", "BAKE_TIME")] == [True, True]


# -- follow


def place(environment: Environment, account: Account, *steps: object) -> ReleaseTarget:
    """A target that runs one of these steps at each wait."""
    left = list(steps)

    def waits(_: float) -> None:
        step = left.pop(0)
        if isinstance(step, BaseException):
            raise step
        step()  # type: ignore[operator]

    return replace(ReleaseTarget(NAME, environment, "api", account), sleep=waits)


def followed(where: ReleaseTarget) -> str:
    out = io.StringIO()
    commands.follow(where, Console(file=out, width=200))
    return out.getvalue()


def ends(account: Account, release: str, outcome: str, reason: str | None = None) -> object:
    def ended() -> None:
        account.stacks["api"] = "UPDATE_COMPLETE" if outcome == "succeeded" else "UPDATE_ROLLBACK_COMPLETE"
        account.ledger.end("api", release, outcome=outcome, when=datetime.now(UTC).isoformat(), reason=reason)  # type: ignore[arg-type]

    return ended


def test_a_release_of_another_person_is_followed_to_its_end(environment: Environment, account: Account) -> None:
    release = account.released()
    account.stacks["api"] = "UPDATE_IN_PROGRESS"
    account.deploys(stage="BAKE_TIME")
    output = followed(place(environment, account, ends(account, release.id, "succeeded")))
    assert "BAKE_TIME" in output
    assert f"{release.id} succeeded" in output


def test_a_release_that_fails_ends_follow_with_its_reason(environment: Environment, account: Account) -> None:
    release = account.released()
    account.stacks["api"] = "UPDATE_IN_PROGRESS"
    with pytest.raises(OperatorError, match=r"exit code 7\n.*serves"):
        followed(place(environment, account, ends(account, release.id, "failed", "exit code 7")))


def test_after_ctrl_c_the_command_that_follows_the_release_again_is_printed(
    environment: Environment, account: Account
) -> None:
    release = account.released()
    account.stacks["api"] = "UPDATE_IN_PROGRESS"
    with pytest.raises(OperatorError) as raised:
        followed(place(environment, account, KeyboardInterrupt()))
    assert "infra follow production api" in str(raised.value)
    # The printed command resumes following the release.
    assert "succeeded" in followed(place(environment, account, ends(account, release.id, "succeeded")))


def test_a_release_that_has_ended_meanwhile_is_reported_as_it_ended(environment: Environment, account: Account) -> None:
    release = account.released()
    ends(account, release.id, "failed", "an alarm")()  # type: ignore[operator]
    with pytest.raises(OperatorError, match="failed: an alarm"):
        followed(place(environment, account))


def test_follow_finds_the_service_whose_release_is_under_way(
    environment: Environment, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infra, "_environment", lambda _: environment)
    monkeypatch.setattr(infra, "session_of", lambda *_: account)
    none = CliRunner().invoke(infra.app, ["follow", NAME])
    assert isinstance(none.exception, InputError)
    assert "expected one of api, worker; releases under way: none" in str(none.exception)
    release = account.released("worker")
    account.ledger.end("worker", release.id, outcome="succeeded", when="2026-11-26T08:00:00+00:00", reason=None)
    account.released("worker")
    followed_: list[str] = []
    monkeypatch.setattr(commands, "follow", lambda found, _: followed_.append(found.service))
    assert CliRunner().invoke(infra.app, ["follow", NAME]).exit_code == 0
    assert followed_ == ["worker"]


def test_an_alarm_that_fires_is_exit_code_3(
    environment: Environment, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(infra, "_environment", lambda _: environment)
    monkeypatch.setattr(infra, "session_of", lambda *_: account)
    assert CliRunner().invoke(infra.app, ["alarms", NAME]).exit_code == 0
    account.rings("daadaar-production-data-Storage", DISK)
    done = CliRunner().invoke(infra.app, ["alarms", NAME, "--json"])
    assert done.exit_code == 3
    assert json.loads(done.output)[0]["runbook"] == "docs/runbooks/database-storage.md"


def test_descriptions_are_read_as_they_are_written(templates: dict[str, dict[str, Any]]) -> None:
    """The constructs write them; an alarm whose description is not understood would be missing from the list."""
    kinds = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
    every = [each for template in templates.values() for each in template["Resources"].values()]
    described = [each["Properties"].get("AlarmDescription") for each in every if each["Type"] in kinds]
    assert described
    unread = [each for each in described if not (isinstance(each, str) and alarms.DESCRIPTION.match(each))]
    assert unread == []
