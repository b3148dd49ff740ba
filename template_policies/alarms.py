"""Alarms and composites of an environment, and which of them asks for which."""

import re
from collections.abc import Iterator
from typing import Any

from template_policies.graph import Graph, Resource

ALARM = "AWS::CloudWatch::Alarm"
COMPOSITE = "AWS::CloudWatch::CompositeAlarm"
TOPIC = "AWS::SNS::Topic"
RUNBOOK = re.compile(r"Runbook: https://github\.com/[\w.-]+/[\w.-]+/blob/HEAD/docs/runbooks/([a-z-]+)\.md")
SEVERITIES = ("critical", "warning", "info")
METRICS = ("MetricName", "Namespace", "Dimensions", "Period", "Statistic", "ExtendedStatistic", "Metrics")
"""Properties that `metrics` reads."""


def severity(alarm: Resource) -> str:
    """The severity with which the alarm's description begins."""
    return str(alarm.get("AlarmDescription")).partition(":")[0].lower()


def topics(alarm: Resource, path: str) -> list[str]:
    """Severities of the topics that it notifies."""
    return [_severity_of(each) for each in alarm.targets(path) if each.type == TOPIC]


def _severity_of(topic: Resource) -> str:
    name = str(topic.get("DisplayName"))
    return name.partition(" ")[0] if name.endswith(" alarms") else topic.where


def alarms_in_composites(graph: Graph) -> set[str]:
    """Stack/LogicalId of each alarm in a composite alarm's rule."""
    found: set[str] | None = graph.memo.get("asked")
    if found is None:
        found = set()
        rules = [each.text(each.get("AlarmRule")) for each in graph.of(COMPOSITE)]
        names = {each.text(each.get("AlarmName")): each.where for each in graph.of(ALARM) if each.get("AlarmName")}
        for rule in rules:
            for name in re.findall(r'ALARM\("?(.*?)"?\)', rule):
                if name.startswith("{"):
                    found.add(name[1:-1].removesuffix(".Arn"))
                elif (plain := name.rpartition(":alarm:")[2] or name) in names:
                    found.add(names[plain])
        graph.memo["asked"] = found
    graph.reads.update({(COMPOSITE, "AlarmRule"), (COMPOSITE, "Type"), (ALARM, "AlarmName"), (ALARM, "Type")})
    return found


def metrics(alarm: Resource) -> Iterator[dict[str, Any]]:
    """(namespace, name, dimensions …) of each metric that the alarm evaluates, as in `MetricStat`."""
    if alarm.get("MetricName") is not None:
        yield {
            "Namespace": alarm.get("Namespace"),
            "MetricName": alarm.get("MetricName"),
            "Dimensions": alarm.items("Dimensions"),
            "Period": alarm.get("Period"),
            "Stat": alarm.get("Statistic") or alarm.get("ExtendedStatistic"),
        }
    for each in alarm.items("Metrics"):
        if "MetricStat" in each:
            stat = each["MetricStat"]
            yield {**stat.get("Metric", {}), "Period": stat.get("Period"), "Stat": stat.get("Stat")}
