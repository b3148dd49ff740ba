"""A metric math expression uses exactly the alarm's metrics and returns the one value that is compared."""

import re
from collections.abc import Iterator

from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.alarms import ALARM

GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"


@policy(
    reason="CloudWatch refuses some errors. With the others the alarm would read only one of a service's two "
    "target groups.",
    failure=Failure.UNOBSERVED,
    reads={ALARM: ("Metrics", "MetricName"), GROUP: ()},
)
def check(graph: Graph) -> Iterator[Violation]:
    for alarm in graph.of(ALARM):
        found = alarm.items("Metrics")
        if not found:
            continue
        expressions = [each for each in found if "Expression" in each]
        if len(expressions) != 1 or [each for each in found if each.get("ReturnData") is True] != expressions:
            yield alarm.violation("Metrics", "must return one expression, and nothing else")
        if any(each.get("ReturnData") is None or ("MetricStat" in each) is ("Expression" in each) for each in found):
            yield alarm.violation("Metrics", "has an entry that is neither a metric nor an expression")
        names = {str(each.get("Id")) for each in found if "MetricStat" in each}
        used = {
            name
            for each in expressions
            for name in re.findall(r"\b[a-z][a-zA-Z0-9_]*\b", alarm.text(each.get("Expression")))
        }
        if names - used or used - names:
            yield alarm.violation("Metrics", f"uses {sorted(used)}, has {sorted(names)}")
        if any(not each.get("Label") for each in expressions):
            yield alarm.violation("Metrics", "has no label: the dashboard would show expr_1")
        yield from _both_groups(graph, alarm)


def _both_groups(graph: Graph, alarm: Resource) -> Iterator[Violation]:
    """An expression needs both target groups: after a release the other one serves."""
    read: dict[str, set[str]] = {}
    for each in alarm.items("Metrics"):
        metric = each.get("MetricStat", {}).get("Metric", {})
        for one in graph.referred(alarm.stack, metric.get("Dimensions")):
            if one.type == GROUP:
                read.setdefault(f"{one.stack} {metric.get('MetricName')}", set()).add(one.logical_id)
    for name, groups in read.items():
        if len(groups) != 2:
            yield alarm.violation("Metrics", f"reads {name} of {sorted(groups)}, must read both groups")
