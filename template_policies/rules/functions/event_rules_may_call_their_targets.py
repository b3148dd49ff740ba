"""Every EventBridge rule is enabled, has a target that it may call, and needs no CloudTrail trail."""

import json
from collections.abc import Iterator

from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.graph import short
from template_policies.iam import resource_statements

RULE = "AWS::Events::Rule"
PERMISSION = "AWS::Lambda::Permission"


@policy(
    reason="A disabled schedule, or a function that EventBridge may not call, fails silently. Events via "
    "CloudTrail need a trail that logs, and no stack creates one (EventBridge guide).",
    failure=Failure.UNOBSERVED,
    reads={
        RULE: ("State", "Targets", "EventPattern", "ScheduleExpression", "EventBusName", "RoleArn"),
        PERMISSION: ("FunctionName", "SourceArn", "Principal"),
        "AWS::SQS::QueuePolicy": ("PolicyDocument", "Queues"),
        "AWS::Logs::LogGroup": ("LogGroupName",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    may = {
        (function.where, source.where)
        for each in graph.of(PERMISSION)
        if (function := each.target("FunctionName")) is not None and (source := each.target("SourceArn")) is not None
    }
    for rule in graph.of(RULE):
        if rule.get("State", "ENABLED") != "ENABLED":
            yield rule.violation("State", f"is {rule.get('State')}, must be ENABLED")
        if (rule.get("ScheduleExpression") is None) is (rule.get("EventPattern") is None):
            yield rule.violation("EventPattern", "or a schedule must be set, and not both")
        pattern = json.dumps(rule.get("EventPattern"))
        if rule.get("EventPattern") is not None:
            if "CloudTrail" in pattern or "eventName" in pattern:
                yield rule.violation("EventPattern", "matches CloudTrail events, and there is no trail")
            for key in ("source", "detail-type"):
                if not rule.get("EventPattern").get(key):
                    yield rule.violation("EventPattern", f"has no {key}: it matches every event")
        targets = rule.items("Targets")
        if not targets:
            yield rule.violation("Targets", "is empty")
        for target in targets:
            yield from _target(graph, rule, graph.target(rule.stack, target.get("Arn")), target, may)


def _target(
    graph: Graph, rule: Resource, to: Resource | None, target: dict[str, object], may: set[tuple[str, str]]
) -> Iterator[Violation]:
    if to is None:
        # EventBridge writes to log groups of one prefix, so they have names.
        groups = {f":log-group:{each.get('LogGroupName')}" for each in graph.of("AWS::Logs::LogGroup")}
        if not rule.text(target.get("Arn")).endswith(tuple(groups)):
            yield rule.violation("Targets", f"refers to {short(target.get('Arn'))}, must refer to a resource")
    elif to.type == "AWS::Lambda::Function" and (to.where, rule.where) not in may:
        yield rule.violation("Targets", f"refers to {to.where}, which it may not call")
    elif to.type == "AWS::SQS::Queue":
        let_in = [
            each
            for each in resource_statements(graph, "AWS::SQS::QueuePolicy")
            if each.allows
            and to in each.resource.targets("Queues")
            and "sqs:SendMessage" in each.actions
            and f"{{{rule.where}.Arn}}" in each.conditions.get(("ArnEquals", "aws:SourceArn"), [])
        ]
        if not let_in:
            yield rule.violation("Targets", f"refers to {to.where}, which does not allow it")
