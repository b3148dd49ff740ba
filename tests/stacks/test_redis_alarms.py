"""How many messages an outage of Redis is worth: one when it begins, one when it is over, none in between."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from config import available
from infra_runtime.contract.metrics import RedisMetric
from infra_runtime.redis.failure_reasons import EXPLANATIONS, Reason
from infra_runtime.redis.probe import HIGH_LATENCY_MS
from simulators.aws.cloudwatch.alarms import MetricQuery, alarms_of, in_alarm, messages_of, severity_of
from simulators.aws.cloudwatch.metric_math import Series

Templates = dict[str, dict[str, Any]]
RUNBOOKS = Path(__file__).resolve().parents[2] / "docs" / "runbooks"
GOOD, BAD = [0.0] * 30, 1.0


def messages(templates: Templates, name: str, metric: str, minutes: Sequence[float | None]) -> list[str]:
    """What CloudWatch would send of the alarms about one metric, minute after minute. None is a minute without data."""
    values = np.array([np.nan if each is None else each for each in minutes])
    quiet = np.zeros(len(values))

    def trace(asked: MetricQuery) -> Series:
        return values if asked.name == metric else quiet

    found = [
        message
        for alarm in alarms_of(templates, name)
        if alarm.where.startswith(f"{name}/Redis") and alarm.properties.get("MetricName") == metric
        for message in messages_of(alarm, in_alarm(alarm, trace, minutes=len(values)))
    ]
    return [each.severity for each in found]


# The end goes where the beginning went, so that PagerDuty resolves its incident, and to info.
ONCE = ["critical", "critical", "info"]
OUTAGES: dict[str, tuple[list[float | None], list[str]]] = {
    "nothing happens": ([0.0], []),
    "one round fails, as during a failover": ([BAD], []),
    "two minutes": ([BAD, BAD], ONCE),
    "an hour": ([BAD] * 60, ONCE),
    "it comes and goes by the minute": ([BAD, 0.0] * 20, ONCE),
    "it comes and goes, mostly well": ([BAD, 0.0, 0.0, 0.0] * 10, ONCE),
    "it comes and goes, mostly not": ([BAD, BAD, BAD, 0.0] * 10, ONCE),
    "the probe does not run": ([None] * 10, ONCE),
    "the probe does not run, then Redis is down": ([None, BAD, None, BAD, BAD], ONCE),
    "two of them, an hour apart": ([*[BAD] * 5, *[0.0] * 60, *[BAD] * 5], ONCE * 2),
}


@pytest.mark.parametrize("what", OUTAGES)
@pytest.mark.parametrize("name", available())
def test_an_outage_begins_once_and_ends_once(name: str, what: str, templates: Templates) -> None:
    minutes, expected = OUTAGES[what]
    assert messages(templates, name, "Unusable", [*GOOD, *minutes, *GOOD]) == expected


@pytest.mark.parametrize(("ping", "expected"), [(99.0, []), (100.0, []), (101.0, ["warning", "warning", "info"])])
def test_latency_is_a_warning_above_a_hundred_milliseconds(
    ping: float, expected: list[str], templates: Templates
) -> None:
    assert HIGH_LATENCY_MS == 100
    assert messages(templates, "production", RedisMetric.PING, [*GOOD, *[ping] * 10, *GOOD]) == expected
    # The other alarm covers an unreachable service.
    assert messages(templates, "production", RedisMetric.PING, [*GOOD, *[None] * 10, *GOOD]) == []


@pytest.mark.parametrize("name", available())
def test_only_the_connection_is_critical(name: str, templates: Templates) -> None:
    critical = [
        each["Properties"].get("MetricName")
        for each in templates[f"{name}/Redis"]["Resources"].values()
        if each["Type"] == "AWS::CloudWatch::Alarm" and severity_of(each["Properties"]["AlarmActions"]) == "critical"
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
    assert set(EXPLANATIONS) == set(Reason)
