"""How many messages an outage of Redis is worth: one when it begins, one when it is over, none in between."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from config import available
from infra_runtime.redis.probe import HIGH_LATENCY_MS
from infra_runtime.redis.reasons import TOLD, Reason

Templates = dict[str, dict[str, Any]]
RUNBOOKS = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
_SILENCE = object()
GOOD, BAD = [0.0] * 30, 1.0


def alarm_of(templates: Templates, name: str, metric: str) -> dict[str, Any]:
    (found,) = [
        each["Properties"]
        for each in templates[f"{name}/Redis"]["Resources"].values()
        if each["Type"] == "AWS::CloudWatch::Alarm" and each["Properties"].get("MetricName") == metric
    ]
    properties: dict[str, Any] = found
    return properties


def messages(alarm: dict[str, Any], minutes: Sequence[float | None]) -> list[str]:
    """What CloudWatch would send, minute after minute: M of the last N ("Configuring how CloudWatch alarms treat
    missing data"; read 2026-11). None is a minute without data."""
    assert alarm["Period"] == 60
    assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
    treated = {"breaching": True, "notBreaching": False}[alarm["TreatMissingData"]]
    bad = [treated if each is None else each > alarm["Threshold"] for each in minutes]
    state, sent = "OK", []
    for end in range(alarm["EvaluationPeriods"], len(bad) + 1):
        window = bad[end - alarm["EvaluationPeriods"] : end]
        now = "ALARM" if sum(window) >= alarm["DatapointsToAlarm"] else "OK"
        if now != state:
            (topic,) = alarm["AlarmActions" if now == "ALARM" else "OKActions"]
            sent.append(_severity(topic))
        state = now
    return sent


def _severity(topic: Any) -> str:
    return next(each for each in ("critical", "warning", "info") if each.capitalize() in json.dumps(topic))


ONCE = ["critical", "info"]
OUTAGES: dict[str, tuple[list[float | None], list[str]]] = {
    "nothing happens": ([0.0], []),
    "one round fails, as during a failover": ([BAD], []),
    "two minutes": ([BAD, BAD], ONCE),
    "an hour": ([BAD] * 60, ONCE),
    "it comes and goes by the minute": ([BAD, 0.0] * 20, ONCE),
    "it comes and goes, mostly well": ([BAD, 0.0, 0.0, 0.0] * 10, ONCE),
    "it comes and goes, mostly not": ([BAD, BAD, BAD, 0.0] * 10, ONCE),
    "nobody looks": ([None] * 10, ONCE),
    "nobody looks, then it is down": ([None, BAD, None, BAD, BAD], ONCE),
    "two of them, an hour apart": ([*[BAD] * 5, *[0.0] * 60, *[BAD] * 5], ONCE * 2),
}


@pytest.mark.parametrize("what", OUTAGES)
@pytest.mark.parametrize("name", available())
def test_an_outage_is_one_critical_message_and_one_info(name: str, what: str, templates: Templates) -> None:
    minutes, expected = OUTAGES[what]
    assert messages(alarm_of(templates, name, "Unusable"), [*GOOD, *minutes, *GOOD]) == expected


@pytest.mark.parametrize(("ping", "expected"), [(99.0, []), (100.0, []), (101.0, ["warning", "info"])])
def test_latency_is_a_warning_above_a_hundred_milliseconds(
    ping: float, expected: list[str], templates: Templates
) -> None:
    alarm = alarm_of(templates, "production", "PingMilliseconds")
    assert alarm["Threshold"] == HIGH_LATENCY_MS
    assert messages(alarm, [*GOOD, *[ping] * 10, *GOOD]) == expected
    # Not reached at all is the other alarm's.
    assert messages(alarm, [*GOOD, *[None] * 10, *GOOD]) == []


@pytest.mark.parametrize("name", available())
def test_only_the_connection_is_critical(name: str, templates: Templates) -> None:
    critical = [
        each["Properties"].get("MetricName")
        for each in templates[f"{name}/Redis"]["Resources"].values()
        if each["Type"] == "AWS::CloudWatch::Alarm" and _severity(each["Properties"]["AlarmActions"]) == "critical"
    ]
    assert critical == ["Unusable"]


def test_every_reason_is_in_the_runbook_and_in_words() -> None:
    text = (RUNBOOKS / "redis-connection-failure.md").read_text()
    rows = {
        reason
        for line in text.splitlines()
        if line.startswith("| `")
        for reason in re.findall(r"`([a-z-]+)`", line.split("|")[1])
    }
    assert rows == {reason.value for reason in Reason}
    assert set(TOLD) == set(Reason)
