"""Alarms of synthesized templates, evaluated minute by minute over recorded metrics: which notifications go out when.

States follow AWS' documentation ("Configuring how CloudWatch alarms treat missing data", "Alarm evaluation", "Composite
alarm actions suppression"; read 2026-11): M of the last N periods, windows that slide with each minute, what is missing
filled in only as far as no older data is there.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from simulators.aws.cloudwatch.metric_math import Series, evaluate

Templates = Mapping[str, Mapping[str, Any]]
Trace = Callable[["MetricQuery"], Series | None]
"""Values of the requested metric, one a minute; None if the metric has no data at all."""
States = NDArray[np.bool_]
"""Whether the alarm is in ALARM at the end of each minute."""

# CloudWatch reads a little further back than the evaluated periods, to replace missing data.
FURTHER = 2
_COMPARE: dict[str, Callable[[Series, float], NDArray[np.bool_]]] = {
    "GreaterThanThreshold": np.greater,
    "GreaterThanOrEqualToThreshold": np.greater_equal,
    "LessThanThreshold": np.less,
    "LessThanOrEqualToThreshold": np.less_equal,
}


@dataclass(frozen=True)
class MetricQuery:
    """One metric, as an alarm of the template requests it."""

    namespace: str
    name: str
    statistic: str
    dimensions: str
    """The dimensions in the template's text, with names of other stacks and of resources."""
    where: str
    """The alarm that requests it: stack/logical id."""


@dataclass(frozen=True)
class Message:
    minute: int
    alarm: str
    """The alarm as stack/logical id."""
    is_over: bool
    severity: str


@dataclass(frozen=True)
class Alarm:
    where: str
    properties: Mapping[str, Any]

    @property
    def names(self) -> set[str]:
        """Names by which composite alarms refer to it."""
        name = self.properties.get("AlarmName")
        return {self.where.rpartition("/")[2], *([name] if name else [])}


def alarms_of(templates: Templates, environment: str, kind: str = "AWS::CloudWatch::Alarm") -> Iterator[Alarm]:
    for stack, template in templates.items():
        if stack.startswith(f"{environment}/"):
            for logical_id, resource in template["Resources"].items():
                if resource["Type"] == kind:
                    yield Alarm(f"{stack}/{logical_id}", resource["Properties"])


def messages(templates: Templates, environment: str, trace: Trace, *, minutes: int) -> list[Message]:
    """All notifications, in order. All alarms are OK before the first minute."""
    plain = list(alarms_of(templates, environment))
    states = {alarm.where: in_alarm(alarm, trace, minutes=minutes) for alarm in plain}
    found = [message for alarm in plain for message in messages_of(alarm, states[alarm.where])]
    known = {name: states[alarm.where] for alarm in plain for name in alarm.names}
    composites = list(alarms_of(templates, environment, "AWS::CloudWatch::CompositeAlarm"))
    while composites:
        ready = [each for each in composites if _children(each.properties) <= set(known)]
        if not ready:
            raise LookupError(f"{composites[0].where} asks for alarms that are not there, or for itself")
        for composite in ready:
            composites.remove(composite)
            state = _rule(text_of(composite.properties["AlarmRule"]), known)
            known |= dict.fromkeys(composite.names, state)
            found += messages_of(composite, _unsuppressed(composite.properties, state, known))
    return sorted(found, key=lambda each: (each.minute, each.alarm))


def in_alarm(alarm: Alarm, trace: Trace, *, minutes: int) -> States:
    """States of one metric alarm, minute by minute."""
    properties = alarm.properties
    length, needed = int(properties["EvaluationPeriods"]), int(properties["DatapointsToAlarm"])
    period, values = _measured(alarm, trace, minutes)
    beyond = _COMPARE[properties["ComparisonOperator"]](values, float(properties["Threshold"]))
    missing = np.isnan(values)
    existing: NDArray[np.int_] = np.zeros(minutes, dtype=np.int_)
    breaching: NDArray[np.int_] = np.zeros(minutes, dtype=np.int_)
    for back in range(length + FURTHER):
        there = ~_earlier(missing, back * period, fill=True) & (existing < length)
        existing += there
        breaching += there & _earlier(beyond, back * period, fill=False)
    surely: States = np.asarray(breaching >= needed)
    perhaps: States = np.asarray(breaching + length - existing >= needed)
    match properties["TreatMissingData"]:
        case "breaching":
            return perhaps
        case "notBreaching":
            return surely
        case "ignore":
            return _kept(surely, undecided=perhaps & ~surely)
        case treatment:
            raise NotImplementedError(f"missing data is {treatment}")


def _measured(alarm: Alarm, trace: Trace, minutes: int) -> tuple[int, Series]:
    """Minutes of a period, and at each minute the value of the period that ends with it."""
    properties = alarm.properties
    if "MetricName" in properties:
        return read(properties, alarm.where, trace, minutes)
    known: dict[str, Series] = {}
    periods = set()
    expressions = [each for each in properties["Metrics"] if "Expression" in each]
    for each in properties["Metrics"]:
        if "MetricStat" in each:
            stat = each["MetricStat"]
            given = {**stat["Metric"], "Period": stat["Period"], "Statistic": stat["Stat"]}
            period, known[each["Id"]] = read(given, alarm.where, trace, minutes)
            periods.add(period)
    (expression,) = expressions
    (period,) = periods
    return period, evaluate(expression["Expression"], known)


def read(given: Mapping[str, Any], where: str, trace: Trace, minutes: int) -> tuple[int, Series]:
    """(minutes of a period, the metric at each minute, over the period that ends with it); as an alarm asks for it."""
    statistic = given.get("Statistic") or given["ExtendedStatistic"]
    dimensions = json.dumps(given.get("Dimensions", []), sort_keys=True)
    values = trace(MetricQuery(given["Namespace"], given["MetricName"], statistic, dimensions, where))
    period = int(given["Period"]) // 60
    if values is None:
        return period, np.full(minutes, np.nan)
    # Before the first minute, the metric had the value of the first minute.
    before = np.full(period - 1, values[0])
    windows = sliding_window_view(np.concatenate([before, values]), period)
    nothing = np.all(np.isnan(windows), axis=1)
    match statistic:
        case "Sum":
            result = np.nansum(windows, axis=1)
        case "Minimum":
            result = np.fmin.reduce(windows, axis=1)
        case each if each == "Average" or each.startswith("PR("):
            count = np.maximum(np.sum(~np.isnan(windows), axis=1), 1)
            result = np.nansum(windows, axis=1) / count
        case _:  # For percentiles, too, the highest minute: a trace has no single requests.
            result = np.fmax.reduce(windows, axis=1)
    return period, np.where(nothing, np.nan, result)


def _earlier(what: NDArray[np.bool_], by: int, *, fill: bool) -> NDArray[np.bool_]:
    """The states shifted by `by` minutes; before the first minute, the first one's."""
    if by == 0:
        return what
    return np.concatenate([np.full(min(by, len(what)), what[0] if len(what) else fill), what[: max(len(what) - by, 0)]])


def _kept(states: States, *, undecided: NDArray[np.bool_]) -> States:
    """Keeps the previous state in the minutes that decide nothing."""
    found, last = states.copy(), False
    for minute in range(len(states)):
        found[minute] = last = last if undecided[minute] else bool(states[minute])
    return found


def messages_of(alarm: Alarm, state: States) -> Iterator[Message]:
    """Notifications of the alarm, which was OK before."""
    for minute in np.flatnonzero(np.diff(np.concatenate([[False], state]))):
        is_over = not state[minute]
        key = "OKActions" if is_over else "AlarmActions"
        for topic in alarm.properties.get(key, []):
            if "Function" in json.dumps(topic):
                continue  # Invoked, but no one is notified.
            yield Message(int(minute), alarm.where, is_over, severity_of(topic))


def severity_of(topic: Any) -> str:
    """Severity of an alarm's action in a template, by its topic."""
    return next(each for each in ("critical", "warning", "info") if each.capitalize() in json.dumps(topic))


def text_of(rule: Any) -> str:
    """A value of a template with logical ids and names in the place of ARNs and references."""
    if isinstance(rule, str):
        return re.sub(r"arn:[^\"]*?:alarm:", "", rule)
    if "Fn::Join" in rule:
        return re.sub(r"arn:[^\"]*?:alarm:", "", "".join(text_of(each) for each in rule["Fn::Join"][1]))
    if "Fn::GetAtt" in rule:
        return str(rule["Fn::GetAtt"][0])
    if "Ref" in rule:
        return str(rule["Ref"])
    # A reference into another stack, or a part of a value: returns every name in it.
    return " ".join(re.findall(r"[\w:./-]+", json.dumps(rule)))


def _children(properties: Mapping[str, Any]) -> set[str]:
    suppressor = {text_of(properties["ActionsSuppressor"])} if "ActionsSuppressor" in properties else set()
    return set(re.findall(r'ALARM\("([^"]+)"\)', text_of(properties["AlarmRule"]))) | suppressor


def _rule(rule: str, known: Mapping[str, States]) -> States:
    """ALARM("…") joined by OR, or by AND, in parentheses or without."""
    operators = set(re.findall(r"\b(?:AND|OR|NOT|OK|INSUFFICIENT_DATA)\b", re.sub(r'"[^"]*"', "", rule)))
    if len(operators - {"AND", "OR"}) or len(operators) > 1:
        raise NotImplementedError(rule)
    children = [known[name] for name in re.findall(r'ALARM\("([^"]+)"\)', rule)]
    return reduce(np.logical_and if operators == {"AND"} else np.logical_or, children)


def _unsuppressed(properties: Mapping[str, Any], state: States, known: Mapping[str, States]) -> States:
    """The state as far as its actions are taken: not while the suppressor is on, nor until it had its time to be."""
    if "ActionsSuppressor" not in properties:
        return state
    suppressor = known[text_of(properties["ActionsSuppressor"])]
    wait, extension = (int(properties[f"ActionsSuppressor{each}Period"]) // 60 for each in ("Wait", "Extension"))
    telling = np.zeros_like(state)
    began = ended = -(10**9)
    for minute in range(len(state)):
        if minute and suppressor[minute - 1] and not suppressor[minute]:
            ended = minute
        if state[minute] and not (minute and state[minute - 1]):
            began = minute
        is_on = telling[minute - 1] if minute else False
        free = not suppressor[minute] and minute - began >= wait and minute - ended >= extension
        telling[minute] = state[minute] and (is_on or free)
    return telling
