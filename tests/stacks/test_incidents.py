"""Notifications of recorded outages: one page for an incident, one for its end, and none in a noisy week."""

from typing import Any

import numpy as np
import pytest

from config import load
from config.instances import connections
from simulators.aws.cloudwatch.alarms import Message, alarms_of, messages
from simulators.aws.cloudwatch.metric_math import Series
from simulators.aws.cloudwatch.traces import BEGINS, ENDS, MINUTES, OUTAGES, recorded, trace

Templates = dict[str, dict[str, Any]]
NAME = "production"
# Minutes after its beginning within which an outage pages.
SOON = 6
# Quiet minutes before and after, so that alarms can return to OK.
CALM = 45
PAGED = {"service-gone", "database-gone", "connections-leak", "table-locked", "redis-gone"}


def heard(templates: Templates, changed: dict[str, Series], minutes: int) -> list[Message]:
    return messages(templates, NAME, trace(minutes, changed), minutes=minutes)


def test_every_alarm_with_a_name_of_ours_is_found_by_the_stacks_name(templates: Templates) -> None:
    """`infra alarms` and `infra maintenance` look for them by PRODUCT-ENV-."""
    named = {
        name
        for kind in ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
        for alarm in alarms_of(templates, NAME, kind)
        if (name := alarm.properties.get("AlarmName")) is not None
    }
    assert any("Incident" in name for name in named)
    assert [name for name in named if not name.startswith(f"daadaar-{NAME}-")] == []


def outage(name: str) -> tuple[dict[str, Series], int]:
    """The recorded outage with quiet minutes around it: repeats its first, quiet minutes."""
    series = recorded(name, connections=connections(load([NAME])[NAME].database.instance))
    calm = {key: np.resize(values[: BEGINS - 2], CALM) for key, values in series.items()}
    return {key: np.concatenate([calm[key], values, calm[key]]) for key, values in series.items()}, MINUTES + 2 * CALM


def pages(found: list[Message]) -> list[Message]:
    return [each for each in found if each.severity == "critical" and not each.is_over]


@pytest.mark.parametrize("name", sorted(PAGED))
def test_an_outage_pages_once_and_soon_and_its_end_is_notified(name: str, templates: Templates) -> None:
    found = heard(templates, *outage(name))
    (page,) = pages(found)
    assert 0 <= page.minute - CALM - BEGINS <= (SOON if name != "connections-leak" else ENDS - BEGINS), page
    ends = [each for each in found if each.is_over and each.alarm == page.alarm]
    # Redis tells its end to two topics: where it began, and info.
    messages = {each.minute for each in ends}
    assert [each > CALM + ENDS for each in messages] == [True], "once, and after it was over"
    # Every alarm of the incident is listed, in the order in which they fired.
    took_part = {each.alarm for each in found if each.severity == "info"}
    assert took_part or name == "redis-gone", "the alarms behind the page notify as info"
    assert all(_is_over(each, found) for each in found), "everything that began has ended"


def _is_over(message: Message, found: list[Message]) -> bool:
    same = [each for each in found if each.alarm == message.alarm]
    return same[-1].is_over


def test_faults_that_users_do_not_notice_page_no_one(templates: Templates) -> None:
    for name in ("nothing", "one-task-dies"):
        assert pages(heard(templates, *outage(name))) == [], name


def test_tasks_that_crash_again_and_again_raise_a_warning(templates: Templates) -> None:
    found = heard(templates, *outage("crash-loop"))
    messages = [(each.severity, each.is_over) for each in found if "CrashedTasks" in each.alarm]
    assert messages == [("warning", False), ("warning", True)]


def test_every_scenario_is_recorded_and_looked_at() -> None:
    assert {path.stem for path in OUTAGES.glob("*.json")} == PAGED | {"nothing", "one-task-dies", "crash-loop"}


def test_a_noisy_week_is_silent(templates: Templates) -> None:
    """Traffic with its days and nights, single errors, missing data points, slow minutes, quick failovers, and a
    deployment each day: none of these may notify."""
    minutes = 7 * 24 * 60
    random = np.random.default_rng(20261123)
    day = 1 + 0.8 * np.sin(np.arange(minutes) / 1440 * 2 * np.pi)
    requests = random.poisson(300 * day).astype(float)
    quiet_nights = random.poisson(4 * day).astype(float)
    errors = random.binomial(requests.astype(int), 0.002).astype(float)
    # At night one error of three requests is a third; it is still one error.
    night_errors = random.binomial(quiet_nights.astype(int), 0.03).astype(float)

    def now_and_then(share: float, value: float, base: float = 0.0) -> Series:
        """Single minutes, never two of them within a quarter of an hour."""
        series = np.full(minutes, base)
        at = 0
        while (at := at + 15 + int(random.exponential(1 / share))) < minutes:
            series[at] = value
        return series

    running = np.full(minutes, 3.0)
    for start in range(600, minutes, 1440):
        running[start : start + 6] = 2.0  # a deployment, or autoscaling: tasks come and go
    changed: dict[str, Series] = {
        "RequestCount api": requests,
        "RequestCount frontend": quiet_nights,
        "HTTPCode_Target_5XX_Count api": errors,
        "HTTPCode_Target_5XX_Count frontend": night_errors,
        "HTTPCode_ELB_5XX_Count": random.poisson(0.5, minutes).astype(float),
        "TargetResponseTime": np.exp(random.normal(np.log(0.3), 0.5, minutes)),
        "CheckFailed frontend": now_and_then(0.002, 1.0),
        "CheckFailed api": now_and_then(0.002, 1.0),
        "CheckMilliseconds": np.exp(random.normal(np.log(400), 0.6, minutes)),
        "Unusable": now_and_then(0.0005, 1.0),
        "PingMilliseconds": np.exp(random.normal(np.log(1.5), 0.8, minutes)),
        "CPUUtilization": 45 + 15 * np.sin(np.arange(minutes) / 90) + random.normal(0, 8, minutes),
        "RunningTaskCount": running,
        "DatabaseConnections": random.poisson(60 * day).astype(float),
        "MatchedEvents": now_and_then(0.001, 1.0),
        "4xxErrors": random.poisson(12, minutes).astype(float),
    }
    assert heard(templates, changed, minutes) == []


@pytest.mark.parametrize("metric", ["CheckFailed frontend", "CheckFailed api", "CheckFailed media"])
def test_a_check_that_does_not_run_pages_like_one_that_fails(metric: str, templates: Templates) -> None:
    minutes = 120
    series = np.zeros(minutes)
    series[60:80] = np.nan
    assert len(pages(heard(templates, {metric: series}, minutes))) == 1


@pytest.mark.parametrize("lasts", [2, 4, 6, 10, 30])
def test_an_outage_that_is_over_before_cloudflares_numbers_come_is_one_page(lasts: int, templates: Templates) -> None:
    """Cloudflare's metrics arrive ten minutes later, when the checks have already seen the end."""
    minutes, late = 240, 10
    checks, errors = np.zeros(minutes), np.full(minutes, 2.0)
    checks[60 : 60 + lasts], errors[60 + late : 60 + late + lasts] = 1.0, 3000.0
    found = heard(templates, {"CheckFailed frontend": checks, "ServerErrors": errors}, minutes)
    assert [each.minute for each in pages(found)] == [61]


def test_two_incidents_are_two_pages(templates: Templates) -> None:
    minutes = 240
    site, media = np.zeros(minutes), np.zeros(minutes)
    site[60:90], media[150:180] = 1.0, 1.0
    found = heard(templates, {"CheckFailed frontend": site, "CheckFailed media": media}, minutes)
    assert [each.minute for each in pages(found)] == [61, 151]


def test_a_looming_cause_pages_before_users_notice(templates: Templates) -> None:
    minutes = 240
    storage = np.full(minutes, 60.0 * 2**30)
    storage[60:120] = 2.0**30
    (page,) = pages(heard(templates, {"FreeStorageSpace": storage}, minutes))
    assert "Looming" in page.alarm


def test_an_outage_pages_even_while_a_cause_lasts(templates: Templates) -> None:
    """The reason why causes never silence symptoms: a nearly full disk may be nearly full for days."""
    minutes = 400
    storage, site = np.full(minutes, 2.0**30), np.zeros(minutes)
    storage[:30] = 60.0 * 2**30
    site[200:230] = 1.0
    found = pages(heard(templates, {"FreeStorageSpace": storage, "CheckFailed frontend": site}, minutes))
    assert ["Looming" in each.alarm for each in found] == [True, False]


def test_every_alarm_of_every_environment_can_be_evaluated(templates: Templates) -> None:
    for name in load():
        assert len(list(alarms_of(templates, name))) > 30
        assert messages(templates, name, trace(60), minutes=60) == []


MONTH_SHARE = {"a tenth of a per cent, the budget itself": (0.1, []), "half a per cent": (0.5, ["warning"])}


@pytest.mark.parametrize("what", MONTH_SHARE)
def test_a_budget_that_burns_slowly_raises_a_warning(what: str, templates: Templates) -> None:
    share, expected = MONTH_SHARE[what]
    minutes = 3 * 1440
    errors = np.full(minutes, 3000 * 0.0001)
    errors[1440:] = 3000 * share / 100
    found = heard(templates, {"ServerErrors": errors}, minutes)
    assert {each.severity for each in found} == set(expected)
    assert all("Objective" in each.alarm for each in found)


def test_a_budget_that_burns_fast_pages_once(templates: Templates) -> None:
    """Two per cent of the requests: too few for the alarm about errors, and the month's budget in a day and a half."""
    minutes = 600
    errors = np.full(minutes, 0.3)
    errors[200:400] = 60.0
    found = heard(templates, {"ServerErrors": errors}, minutes)
    (page,) = pages(found)
    assert 200 < page.minute < 260
    (end,) = [each for each in found if each.is_over and each.alarm == page.alarm]
    # The short window ends it, long before the long one has forgotten.
    assert 400 <= end.minute < 410


def test_slowness_burns_a_budget_too(templates: Templates) -> None:
    minutes = 600
    fast = np.full(minutes, 99.8)
    fast[200:400] = 70.0
    assert len(pages(heard(templates, {"Fast": fast}, minutes))) == 1
