"""CloudWatch in real time: AWS's services publish metrics, and every alarm is evaluated each minute.

Off until the file that `LIVE` names exists: a rehearsal sets alarms off itself, and a deployment that lasts seconds has
no minutes. Metrics of the services are measured at the processes behind them (`measured`).
"""

import json
import logging
import math
import re
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from ministack.core import responses
from ministack.services import cloudwatch, cloudwatch_logs

from simulators.aws.clock import is_live
from simulators.aws.cloudwatch import measured
from simulators.aws.cloudwatch.alarms import FURTHER, Alarm, MetricQuery, in_alarm
from simulators.aws.cloudwatch.metric_math import Series
from simulators.aws.cloudwatch.suppression import Suppression

logger = logging.getLogger("cloudwatch")
# After the end of a minute, until its last data points have arrived.
_SETTLED_SECONDS = 4.0
_POLL_SECONDS = 0.5
_RANK = re.compile(r"PR\((?P<above>[\d.]*):(?P<to>[\d.]*)\)")
_own_stat_value = cloudwatch._stat_value
_ONE_METRIC = ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period", "Dimensions")


def install() -> None:
    """Replaces MiniStack's evaluation of alarms, and starts ours."""
    # MiniStack's own evaluation adds up all dimensions, whenever anything is published.
    cloudwatch._evaluate_all_alarms = lambda: None
    cloudwatch._evaluate_alarm = lambda alarm: None
    cloudwatch._stat_value = stat_value
    own = cloudwatch_logs._append_log_events

    def append(stream: dict[str, Any], events: list[dict[str, Any]]) -> None:
        own(stream, events)
        for each in events:
            extract(each["message"])

    cloudwatch_logs._append_log_events = append
    suppression = Suppression(cloudwatch._dispatch_alarm_actions)
    cloudwatch._dispatch_alarm_actions = suppression.dispatch
    threading.Thread(target=_run, args=(suppression,), daemon=True).start()


def stat_value(stats: Mapping[str, float], name: str, points: list[dict[str, Any]] | None = None) -> float | None:
    """MiniStack's, and percentile ranks: the percentage of values above the first bound and up to the second.

    CloudWatch user guide, "CloudWatch statistics definitions".
    """
    if (bounds := _RANK.fullmatch(name)) is None:
        found: float | None = _own_stat_value(stats, name, points)
        return found
    samples = cloudwatch._percentile_samples(points or [])
    if not samples:
        return None
    above, to = float(bounds["above"] or "-inf"), float(bounds["to"] or "inf")
    within = sum(weight for value, weight in samples if above < value <= to)
    return float(100 * within / sum(weight for _, weight in samples))


def extract(message: str) -> None:
    """Data points of a log event (CloudWatch user guide, "Specification: Embedded metric format")."""
    if not message.startswith("{") or '"_aws"' not in message:
        return
    try:
        document = json.loads(message)
        for directive in document["_aws"]["CloudWatchMetrics"]:
            for names in directive["Dimensions"]:
                dimensions = {name: str(document[name]) for name in names}
                for metric in directive["Metrics"]:
                    value, unit = float(document[metric["Name"]]), metric.get("Unit", "None")
                    cloudwatch.record_metric(directive["Namespace"], metric["Name"], value, unit, dimensions)
    except (ValueError, KeyError, TypeError):
        return  # CloudWatch takes no metric from a document that does not keep to the specification.


def _run(suppression: Suppression) -> None:
    while not is_live():
        time.sleep(_POLL_SECONDS)
    began = time.time()
    # The first evaluation also includes the minute that has just begun.
    end = began + 60
    while True:
        for account, region in sorted({key[:2] for key in list(cloudwatch._alarms._data)}):
            responses.set_request_account_id(account)
            responses.set_request_region(region)
            try:
                measured.publish()
                evaluate(end=end, began=began)
                suppression.step(end)
            except Exception:  # Only this minute is lost; the log has the reason.
                logger.exception("metrics and alarms of %s, %s", account, region)
        time.sleep(60 - time.time() % 60 + _SETTLED_SECONDS)
        end = time.time()


def evaluate(*, end: float, began: float) -> None:
    """Every metric alarm of the account and region, by the data up to the last full minute before `end`; composites
    follow.

    Kinder than CloudWatch: before it `began`, everything was as it was first seen, and what is not seen is well until
    its window is over. So none goes off only because the account is seconds old.
    """
    for alarm in list(cloudwatch._alarms.values()):
        state, reason = _state(alarm, end=int(end // 60) * 60, began=began)
        if state != (old := alarm["StateValue"]):
            alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(time.time())}
            cloudwatch._record_history(alarm["AlarmName"], old, state, reason)
            cloudwatch._dispatch_alarm_actions(alarm, old, state, reason)
            cloudwatch._evaluate_parent_alarms(alarm)


def _state(alarm: Mapping[str, Any], *, end: int, began: float) -> tuple[str, str]:
    """(state, reason)."""
    properties = _properties(alarm)
    queries = [each["MetricStat"] for each in properties.get("Metrics", []) if "MetricStat" in each] or [properties]
    period, length = max(int(each["Period"]) for each in queries), int(properties["EvaluationPeriods"])
    minutes, last = (length + FURTHER) * period // 60, list[float]()

    def trace(asked: MetricQuery) -> Series | None:
        series = _series(asked, end=end, minutes=minutes)
        if series is not None:
            last.append(float(series[~np.isnan(series)][-1]))
            _fill_before(series, life=minutes - math.ceil((end - began) / 60))
        return series

    is_ringing = in_alarm(Alarm(alarm["AlarmName"], properties), trace, minutes=minutes)[-1]
    if not last and end - began < length * period:
        return "OK", "No data yet"
    if not is_ringing:
        return "OK", "Threshold not crossed"
    return "ALARM", (
        f"Threshold Crossed: {properties['DatapointsToAlarm']} of {length} periods are "
        f"{properties['ComparisonOperator']} {properties['Threshold']:g}; the last data points: "
        f"{', '.join(f'{value:g}' for value in last) or 'none'}"
    )


def _fill_before(series: Series, *, life: int) -> None:
    """Fills the minutes up to `life`, where the evaluation began, with the first value, at the metric's own period."""
    known, minutes = np.flatnonzero(~np.isnan(series)), np.arange(len(series))
    every = int(np.diff(known).min()) if len(known) > 1 else 1
    is_due = (minutes - known[0]) % every == 0
    series[(minutes <= life) & is_due & np.isnan(series)] = series[known[0]]


def _properties(alarm: Mapping[str, Any]) -> dict[str, Any]:
    """The alarm's properties as in a template, without unset ones."""
    found = {
        key: value
        for key, value in alarm.items()
        if not (key in _ONE_METRIC and "Metrics" in alarm) and value not in (None, "")
    }
    if found.get("ExtendedStatistic"):
        found.pop("Statistic", None)
    return {
        **found,
        "DatapointsToAlarm": alarm.get("DatapointsToAlarm") or alarm["EvaluationPeriods"],
        "TreatMissingData": alarm.get("TreatMissingData") or "missing",
        "Threshold": float(alarm["Threshold"]),
    }


def _series(asked: MetricQuery, *, end: int, minutes: int) -> Series | None:
    """The metric in each of the minutes before `end`; None if there is no data point at all."""
    dimensions = {each["Name"]: each["Value"] for each in json.loads(asked.dimensions)}
    points = cloudwatch._metrics.get((asked.namespace, asked.name, cloudwatch._dims_key(dimensions))) or []
    begin, buckets = end - minutes * 60, dict[int, list[dict[str, Any]]]()
    for point in list(points):
        if begin <= point["Timestamp"] < end:
            buckets.setdefault(int((point["Timestamp"] - begin) // 60), []).append(point)
    series = np.full(minutes, np.nan)
    for minute, those in buckets.items():
        value = stat_value(cloudwatch._calc_stats(those), asked.statistic, those)
        series[minute] = np.nan if value is None else value
    return series if buckets else None
