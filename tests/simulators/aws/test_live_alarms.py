"""Alarms of a living account: evaluated from what was published, and notified to topics."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from ministack.core import responses
from ministack.services import cloudwatch

from simulators.aws.cloudwatch import live
from simulators.aws.cloudwatch.suppression import Suppression
from simulators.aws.conditions import Condition
from simulators.aws.deliveries import read
from simulators.aws.process import emulator
from simulators.aws.types.target_group import full_name
from simulators.redis.authority import Authority

KEYS = {"region_name": "eu-central-1", "aws_access_key_id": "111122223333", "aws_secret_access_key": "test"}
NOW = 1_800_000_000.0
METRIC = {"Namespace": "n", "MetricName": "m", "Dimensions": [{"Name": "Environment", "Value": "dev"}]}


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clears MiniStack's state in this process after each test."""
    responses.set_request_account_id("111122223333")
    responses.set_request_region("eu-central-1")
    for store in ("_metrics", "_alarms", "_composite_alarms", "_alarm_history", "_composite_triggers"):
        monkeypatch.setattr(cloudwatch, store, responses.AccountRegionScopedDict())
    yield


@pytest.fixture
def notified(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(alarm, new state) of each notification."""
    found: list[tuple[str, str]] = []
    dispatch = lambda alarm, old, new, reason: found.append((alarm["AlarmName"], new))  # noqa: E731
    monkeypatch.setattr(cloudwatch, "_dispatch_alarm_actions", dispatch)
    return found


def alarm(name: str = "one", **changes: Any) -> dict[str, Any]:
    made = {
        "AlarmName": name, "AlarmArn": f"arn:aws:cloudwatch:eu-central-1:111122223333:alarm:{name}", **METRIC,
        "Statistic": "Maximum", "ExtendedStatistic": None, "Period": 60, "Threshold": 0.0, "EvaluationPeriods": 3,
        "DatapointsToAlarm": 2, "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "breaching",
        "StateValue": "OK", "StateReason": "", "StateUpdatedTimestamp": 0, **changes,
    }  # fmt: skip
    cloudwatch._alarms[name] = made
    return made


def publish(*values: float, environment: str = "dev") -> None:
    """Publishes one value in each of the last full minutes."""
    for ago, value in enumerate(reversed(values), start=1):
        key = ("n", "m", f"Environment={environment}")
        point = {"Timestamp": NOW - 60 * ago + 5, "Value": value, "Unit": "Count", "Dimensions": {}}
        cloudwatch._metric_bucket(key).append(point)


def test_rings_when_enough_of_its_periods_are_beyond_the_threshold(notified: list[tuple[str, str]]) -> None:
    made = alarm()
    publish(0, 1, 0)
    live.evaluate(end=NOW, began=0)
    assert notified == []
    publish(1, 1, 0)
    live.evaluate(end=NOW, began=0)
    assert notified == [("one", "ALARM")]
    assert "2 of 3" in made["StateReason"]


def test_an_alarm_notifies_once_and_its_end_once(notified: list[tuple[str, str]]) -> None:
    alarm()
    publish(1, 1, 1)
    live.evaluate(end=NOW, began=0)
    live.evaluate(end=NOW + 1, began=0)
    cloudwatch._metrics.clear()
    publish(0, 0, 0)
    live.evaluate(end=NOW, began=0)
    assert notified == [("one", "ALARM"), ("one", "OK")]


def test_another_environments_numbers_are_not_its_own(notified: list[tuple[str, str]]) -> None:
    alarm()
    publish(0, 0, 0)
    publish(1, 1, 1, environment="staging")
    live.evaluate(end=NOW, began=0)
    assert notified == []


def test_missing_data_is_breaching_where_the_alarm_says_so(notified: list[tuple[str, str]]) -> None:
    alarm()
    alarm("other", TreatMissingData="notBreaching")
    live.evaluate(end=NOW, began=NOW - 3600)
    assert notified == [("one", "ALARM")]


def test_a_new_account_has_the_alarms_window_before_missing_data_counts(notified: list[tuple[str, str]]) -> None:
    alarm()
    live.evaluate(end=NOW, began=NOW - 170)
    assert notified == []
    live.evaluate(end=NOW, began=NOW - 190)
    assert notified == [("one", "ALARM")]


def test_the_time_before_the_start_gets_the_first_value(notified: list[tuple[str, str]]) -> None:
    alarm()
    publish(0)
    live.evaluate(end=NOW, began=NOW - 50)
    assert notified == []
    live.evaluate(end=NOW, began=NOW - 3600)
    assert notified == [("one", "ALARM")]


def test_history_before_the_start_has_the_metrics_own_period(notified: list[tuple[str, str]]) -> None:
    in_an_hour = {"Period": 3600, "EvaluationPeriods": 1, "DatapointsToAlarm": 1, "Statistic": "Sum"}
    alarm("less", **in_an_hour, Threshold=12 * 300.0, ComparisonOperator="LessThanThreshold")
    alarm("more", **in_an_hour, Threshold=12 * 300.0)
    for ago in (18, 13, 8, 3):
        point = {"Timestamp": NOW - 60 * ago, "Value": 300, "Unit": "Count", "Dimensions": {}}
        cloudwatch._metric_bucket(("n", "m", "Environment=dev")).append(point)
    live.evaluate(end=NOW, began=NOW - 20 * 60)
    assert notified == []


def test_metric_math_is_carried_out(notified: list[tuple[str, str]]) -> None:
    stat = {"Metric": METRIC, "Period": "60", "Stat": "Maximum"}
    metrics = [{"Id": "a", "MetricStat": stat, "ReturnData": False}, {"Id": "e", "Expression": "FILL(a, 0) - 1"}]
    alarm(Metrics=metrics, MetricName="metric-math", Namespace="metric-math")
    publish(2, 2, 2)
    live.evaluate(end=NOW, began=0)
    assert notified == [("one", "ALARM")]


def test_the_share_of_quick_requests_is_a_percentile_rank(notified: list[tuple[str, str]]) -> None:
    alarm(
        Statistic=None, ExtendedStatistic="PR(:0.5)", Threshold=99, ComparisonOperator="LessThanThreshold",
        EvaluationPeriods=1, DatapointsToAlarm=1,
    )  # fmt: skip
    publish(0.1)
    live.evaluate(end=NOW, began=0)
    assert notified == []
    publish(0.5)
    publish(0.6)
    live.evaluate(end=NOW, began=0)
    assert notified == [("one", "ALARM")]
    assert "last data points: 66.6667" in cloudwatch._alarms["one"]["StateReason"]


def test_a_composite_follows_its_parts(notified: list[tuple[str, str]]) -> None:
    child = alarm()
    parent = {"AlarmName": "all", "AlarmArn": child["AlarmArn"].replace("one", "all"), "StateValue": "OK"}
    cloudwatch._composite_alarms["all"] = parent | {"AlarmRule": f'ALARM("{child["AlarmArn"]}")'}
    publish(1, 1, 1)
    live.evaluate(end=NOW, began=0)
    assert notified == [("one", "ALARM"), ("all", "ALARM")]


def heard(users: str, late: str) -> list[tuple[int, str]]:
    """(minute, new state) of what a composite tells whose suppressor is in ALARM where `users` has an X. It waits for
    one minute, and for three after its suppressor."""
    found: list[tuple[int, str]] = []
    for name in ("users", "late"):
        cloudwatch._composite_alarms[name] = {"AlarmName": name, "StateValue": "OK", "StateReason": ""}
    composite = cloudwatch._composite_alarms["late"]
    composite |= {
        "ActionsSuppressor": "arn:aws:cloudwatch:eu-central-1:111122223333:alarm:users",
        "StateTransitionedTimestamp": 0, "ActionsSuppressorWaitPeriod": 60, "ActionsSuppressorExtensionPeriod": 180,
    }  # fmt: skip
    suppression = Suppression(lambda alarm, old, new, reason: found.append((minute, new)))
    for minute, (symptom, state) in enumerate(zip(users, late, strict=True)):
        cloudwatch._composite_alarms["users"]["StateValue"] = "ALARM" if symptom == "X" else "OK"
        new = "ALARM" if state == "X" else "OK"
        if new != composite["StateValue"]:
            composite |= {"StateValue": new, "StateTransitionedTimestamp": NOW + 60 * minute}
        suppression.step(NOW + 60 * minute)
    return found


def test_a_composite_alarm_waits_for_its_suppressor() -> None:
    assert heard("........", ".XXXX...") == [(2, "ALARM"), (5, "OK")]
    assert heard("..XX....", ".....XX.") == [], "the suppressor has ended minutes ago"
    assert heard("..XX.....", "...XXXXX.") == [(7, "ALARM"), (8, "OK")], "it is still on after the extension"
    assert heard("........", ".X......") == [], "it was over before the suppressor could have come"


def test_a_target_groups_name_is_the_one_that_its_metrics_have() -> None:
    arn = "arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/one/0123456789abcdef"
    assert full_name(arn) == "targetgroup/one/0123456789abcdef"


def test_metrics_are_taken_out_of_logs() -> None:
    directive = {"Namespace": "n", "Dimensions": [["Environment"]], "Metrics": [{"Name": "m", "Unit": "Count"}]}
    live.extract(json.dumps({"_aws": {"CloudWatchMetrics": [directive]}, "Environment": "dev", "m": 7}))
    live.extract('{"_aws": {"CloudWatchMetrics": [{"Namespace": "n"}]}}')
    live.extract('a line that speaks of "_aws"')
    ((key, (point,)),) = cloudwatch._metrics.items()
    assert (key, point["Value"]) == (("n", "m", "Environment=dev"), 7)


def test_an_account_that_is_made_to_live_tells_its_topics(tmp_path: Path) -> None:
    nowhere = "http://127.0.0.1:9"
    with emulator(
        tmp_path, cloudflare=nowhere, upstash=nowhere, authority=Authority(), without=tuple(Condition), internet=nowhere
    ) as found:
        sns, alarms = (boto3.client(each, endpoint_url=found.url, **KEYS) for each in ("sns", "cloudwatch"))
        topic = sns.create_topic(Name="t")["TopicArn"]
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="one@example.com")
        alarms.put_metric_alarm(
            AlarmName="one", **METRIC, Statistic="Maximum", Period=60, Threshold=0, EvaluationPeriods=1,
            DatapointsToAlarm=1, ComparisonOperator="GreaterThanThreshold", TreatMissingData="ignore",
            AlarmActions=[topic],
        )  # fmt: skip
        alarms.put_metric_data(
            Namespace="n", MetricData=[{"MetricName": "m", "Value": 1, "Dimensions": METRIC["Dimensions"]}]
        )
        (before,) = alarms.describe_alarms()["MetricAlarms"]
        found.live.touch()
        wait_until(lambda: any(each.subject.startswith("ALARM") for each in read(found.deliveries)))
        (after,) = alarms.describe_alarms()["MetricAlarms"]
        assert (before["StateValue"], after["StateValue"]) == ("INSUFFICIENT_DATA", "ALARM")


def wait_until(holds: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.1)
