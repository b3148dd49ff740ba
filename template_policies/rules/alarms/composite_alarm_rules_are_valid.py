"""A composite alarm refers to as many alarms of these templates as fit; only alarms about users suppress it."""

import re
from collections.abc import Iterator

from infra_runtime.contract.names import stack_name
from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import ALARM, COMPOSITE

_MOST_ALARMS, _MOST_CHARACTERS = 100, 10240
# What CloudFormation appends to a name that it chooses, a hyphen included.
_SUFFIX = 14


@policy(
    reason="CloudWatch refuses more (PutCompositeAlarm); a cause that silences a symptom hides an outage "
    "(docs/adr/0016).",
    failure=Failure.REFUSED,
    reads={
        COMPOSITE: (
            "AlarmRule",
            "ActionsSuppressor",
            "ActionsSuppressorWaitPeriod",
            "ActionsSuppressorExtensionPeriod",
            "AlarmName",
        ),
        ALARM: ("AlarmName",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    region, account = graph.environment.aws.region, graph.environment.aws.account
    for each in graph.of(COMPOSITE):
        rule = each.text(each.get("AlarmRule", ""))
        asked = re.findall(r'ALARM\("?(.*?)"?\)', rule)
        if not 1 <= len(asked) <= _MOST_ALARMS:
            yield each.violation("AlarmRule", f"refers to {len(asked)} alarms, must refer to 1 to {_MOST_ALARMS}")
        characters = len(rule)
        for name in asked:
            if not name.startswith("{"):
                continue
            stack, _, logical_id = name[1:-1].removesuffix(".Arn").partition("/")
            alarm = graph.resources.get((stack, logical_id))
            if alarm is None:
                yield each.violation("AlarmRule", f"refers to {name}, which does not exist")
                continue
            chosen = stack_name(graph.environment.product, graph.name, stack)
            own = alarm.get("AlarmName") or f"{chosen}-{logical_id}{'x' * _SUFFIX}"
            characters += len(f"arn:aws:cloudwatch:{region}:{account}:alarm:{own}") - len(name)
        if characters > _MOST_CHARACTERS:
            yield each.violation("AlarmRule", f"has {characters} characters, must have {_MOST_CHARACTERS} at most")
        if each.get("ActionsSuppressor") is not None:
            by = each.target("ActionsSuppressor")
            if by is None or by.type != COMPOSITE or "Users" not in by.logical_id:
                yield each.violation("ActionsSuppressor", "must be the composite alarm about users")
            yield from each.expect_between("ActionsSuppressorWaitPeriod", 60, 600)
            yield from each.expect_between("ActionsSuppressorExtensionPeriod", 60, 1800)
        elif any(name in each.logical_id for name in ("Looming", "Delayed")):
            yield each.violation("ActionsSuppressor", "is missing: one incident would be two pages")
