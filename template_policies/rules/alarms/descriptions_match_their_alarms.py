"""An alarm's description states its threshold, direction and periods, and links its runbook."""

import re
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import ALARM, COMPOSITE, RUNBOOK
from template_policies.graph import number, short

_SAYS = re.compile(r"Threshold: (above|below) ([\d.]+) (.*?) in (\d+) of (\d+) periods\.")
DIRECTIONS = {"above": "GreaterThanThreshold", "below": "LessThanThreshold"}
UNITS = {"GiB free": 2**30, "GiB behind": 2**30}


@policy(
    reason="The engineer on call relies on it. CloudWatch takes at most 1024 characters (API, PutMetricAlarm).",
    failure=Failure.UNOBSERVED,
    reads={
        ALARM: ("AlarmDescription", "Threshold", "ComparisonOperator", "DatapointsToAlarm", "EvaluationPeriods",
                "ThresholdMetricId", "EvaluateLowSampleCountPercentile"),
        COMPOSITE: ("AlarmDescription",),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    for alarm in graph.of(ALARM, COMPOSITE):
        text = alarm.text(alarm.get("AlarmDescription", ""))
        if not RUNBOOK.search(text):
            yield alarm.violation("AlarmDescription", "has no link to a runbook")
        if len(text) > 1024:
            yield alarm.violation("AlarmDescription", f"has {len(text)} characters, must be at most 1024")
    for alarm in graph.of(ALARM):
        said = _SAYS.search(alarm.text(alarm.get("AlarmDescription", "")))
        if said is None:
            yield alarm.violation("AlarmDescription", "states no threshold")
            continue
        yield from alarm.expect("ComparisonOperator", DIRECTIONS[said[1]])
        threshold = number(alarm.get("Threshold"))
        wanted = float(said[2]) * UNITS.get(said[3], 1)
        if threshold is None or abs(threshold - wanted) > 0.001 * max(wanted, 1):
            yield alarm.violation("Threshold", f"is {short(alarm.get('Threshold'))}, its description says {wanted:g}")
        yield from alarm.expect("DatapointsToAlarm", int(said[4]))
        yield from alarm.expect("EvaluationPeriods", int(said[5]))
