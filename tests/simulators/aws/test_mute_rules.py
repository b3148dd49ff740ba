"""Muted alarms, as the CloudWatch user guide's scenarios ("How alarm mute rules work") have them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from ministack.core import responses
from ministack.services import cloudwatch

from simulators.aws.cloudwatch.mute_rules import MuteRuleRefused, MuteRules

BEGIN = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


class Account:
    """Two alarms, and their changes of state."""

    def __init__(self) -> None:
        self.now = BEGIN - timedelta(seconds=30)
        self.changes: list[tuple[str, str]] = []
        self.states = {"one": "OK", "all": "OK"}
        self.rules = MuteRules(
            lambda alarm, old, new, reason: self.changes.append((alarm["AlarmName"], new)), now=lambda: self.now
        )

    def mutes(self, name: str = "rule", begin: datetime = BEGIN, minutes: int = 60, **changes: Any) -> None:
        schedule = {"Expression": f"at({begin:%Y-%m-%dT%H:%M})", "Duration": f"PT{minutes}M"}
        request = {"Name": name, "Rule": {"Schedule": schedule}, "MuteTargets": {"AlarmNames": list(self.states)}}
        self.rules.put({**request, **changes})

    def becomes(self, state: str, alarm: str = "one") -> None:
        self.rules.dispatch({"AlarmName": alarm}, self.states[alarm], state, "because")
        self.states[alarm] = state

    def passes(self, minutes: float) -> None:
        self.now += timedelta(minutes=minutes)
        self.rules.release()


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    monkeypatch.setattr(cloudwatch, "_alarms", {"one": {}})
    monkeypatch.setattr(cloudwatch, "_composite_alarms", {"all": {}})
    responses.set_request_account_id("111122223333")
    responses.set_request_region("eu-central-1")
    yield Account()


def test_an_alarm_that_begins_and_ends_within_the_rule_notifies_no_one(account: Account) -> None:
    account.mutes()
    account.becomes("ALARM", "all")
    account.becomes("OK", "all")
    assert account.changes == [("all", "ALARM"), ("all", "OK")], "it is only scheduled"
    account.passes(1)
    account.becomes("ALARM")
    account.becomes("OK")
    account.passes(120)
    assert account.changes[2:] == []


def test_an_alarm_that_still_fires_at_the_rules_end_notifies_then(account: Account) -> None:
    account.mutes()
    account.passes(1)
    account.becomes("ALARM")
    account.passes(30)
    assert account.changes == []
    account.passes(30)
    assert account.changes == [("one", "ALARM")]


def test_a_deleted_rule_mutes_no_longer_and_one_that_overlaps_does(account: Account) -> None:
    account.mutes("first")
    account.mutes("second", begin=BEGIN + timedelta(minutes=30))
    account.passes(31)
    account.becomes("ALARM")
    account.rules.delete({"AlarmMuteRuleName": "first"})
    account.passes(0)
    assert account.changes == []
    account.rules.delete({"AlarmMuteRuleName": "second"})
    account.rules.delete({"AlarmMuteRuleName": "second"})
    account.passes(0)
    assert account.changes == [("one", "ALARM")]


def test_it_ends_when_it_expires(account: Account) -> None:
    account.mutes(ExpireDate=(BEGIN + timedelta(minutes=10)).timestamp())
    states = []
    for minutes in (0, 5, 10):
        account.passes(minutes)
        states.append(account.rules.get({"AlarmMuteRuleName": "rule"})["Status"])
    assert states == ["SCHEDULED", "ACTIVE", "EXPIRED"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"minutes": 0}, "PT1M"),
        ({"minutes": 15 * 24 * 60 + 1}, "P15D"),
        ({"begin": BEGIN - timedelta(minutes=2)}, "is over"),
        ({"MuteTargets": {"AlarmNames": ["nobody"]}}, "do not exist: nobody"),
        ({"MuteTargets": {"AlarmNames": ["one"] * 101}}, "more than 100"),
        ({"Rule": {"Schedule": {"Expression": "now", "Duration": "PT1M"}}}, "not understood"),
    ],
)
def test_invalid_mute_rules_are_refused(account: Account, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(MuteRuleRefused, match=message):
        account.mutes(**changes)
