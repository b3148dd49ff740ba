"""Budget overruns and daily cost anomalies notify, by the tag of this environment's stacks."""

import json
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import number, short

BUDGET = "AWS::Budgets::Budget"
MONITOR = "AWS::CE::AnomalyMonitor"
ANOMALY = "AWS::CE::AnomalySubscription"


@policy(
    reason="A loop that writes logs, or a stolen key, is seen on the bill first. Cost Anomaly takes the plain tag, "
    "Budgets user: "
    "before it.",
    failure=Failure.COST_RUNS_AWAY,
    reads={
        BUDGET: ("Budget", "NotificationsWithSubscribers"),
        MONITOR: ("MonitorSpecification", "MonitorType"),
        ANOMALY: ("MonitorArnList", "Subscribers", "Frequency", "ThresholdExpression"),
        "AWS::SNS::Topic": (),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for kind in (BUDGET, MONITOR, ANOMALY):
        if len(graph.of(kind)) != 1:
            yield graph.missing(kind, f"there are {len(graph.of(kind))}, must be one", stack="Observability")
    for each in graph.of(BUDGET):
        if number(each.get("Budget.BudgetLimit.Amount")) != graph.environment.costs.monthly_usd:
            yield each.violation("Budget.BudgetLimit.Amount", f"must be {graph.environment.costs.monthly_usd}")
        yield from each.expect("Budget.BudgetLimit.Unit", "USD")
        yield from each.expect("Budget.TimeUnit", "MONTHLY")
        yield from each.expect("Budget.BudgetType", "COST")
        yield from each.expect("Budget.CostFilters", {"TagKeyValue": [f"user:environment${graph.name}"]})
        notifications = {}
        for one in each.items("NotificationsWithSubscribers"):
            notification = one.get("Notification", {})
            notifications[notification.get("NotificationType")] = notification
            for subscriber in one.get("Subscribers", [{}]):
                topic = graph.target(each.stack, subscriber.get("Address"))
                if subscriber.get("SubscriptionType") != "SNS" or topic is None or topic.type != "AWS::SNS::Topic":
                    yield each.violation("NotificationsWithSubscribers", "must notify an alarm topic")
        for kind in ("FORECASTED", "ACTUAL"):
            found = notifications.get(kind, {})
            wanted = {"ComparisonOperator": "GREATER_THAN", "Threshold": 100, "ThresholdType": "PERCENTAGE"}
            if {key: found.get(key) for key in wanted} != wanted:
                yield each.violation("NotificationsWithSubscribers", f"has {kind} {short(found)}, must be above 100 %")
    for each in graph.of(MONITOR):
        yield from each.expect("MonitorType", "CUSTOM")
        wanted_tags = {"Tags": {"Key": "environment", "Values": [graph.name]}}
        if json.loads(each.get("MonitorSpecification") or "null") != wanted_tags:
            yield each.violation("MonitorSpecification", f"must be {short(wanted_tags)}")
    for each in graph.of(ANOMALY):
        yield from each.expect("Frequency", "IMMEDIATE")
        monitors = [graph.target(each.stack, one) for one in each.items("MonitorArnList")]
        if [one.type if one else None for one in monitors] != [MONITOR]:
            yield each.violation("MonitorArnList", "must be the environment's monitor")
        for subscriber in each.items("Subscribers") or [{}]:
            topic = graph.target(each.stack, subscriber.get("Address"))
            if topic is None or topic.type != "AWS::SNS::Topic":
                yield each.violation("Subscribers", "must notify an alarm topic")
        expression = json.loads(each.get("ThresholdExpression") or "{}").get("Dimensions", {})
        values = expression.get("Values") or ["0"]
        about = (expression.get("Key"), expression.get("MatchOptions"))
        if about != ("ANOMALY_TOTAL_IMPACT_ABSOLUTE", ["GREATER_THAN_OR_EQUAL"]):
            yield each.violation("ThresholdExpression", f"is {short(expression)}, must use the absolute impact")
        if not 0.01 <= float(values[0]) / graph.environment.costs.monthly_usd <= 0.2:
            yield each.violation("ThresholdExpression", f"is {values}, must be a small part of a month's budget")
