"""A composite alarm refers to one to a hundred alarms of these templates; only alarms about users suppress it."""

import re
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import COMPOSITE


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
        )
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(COMPOSITE):
        rule = each.text(each.get("AlarmRule", ""))
        asked = re.findall(r'ALARM\("?(.*?)"?\)', rule)
        if not 1 <= len(asked) <= 100:
            yield each.violation("AlarmRule", f"refers to {len(asked)} alarms, must refer to 1 to 100")
        for name in asked:
            place = name[1:-1].removesuffix(".Arn").partition("/") if name.startswith("{") else None
            if place is not None and (place[0], place[2]) not in graph.resources:
                yield each.violation("AlarmRule", f"refers to {name}, which does not exist")
        if each.get("ActionsSuppressor") is not None:
            by = each.target("ActionsSuppressor")
            if by is None or by.type != COMPOSITE or "Users" not in by.logical_id:
                yield each.violation("ActionsSuppressor", "must be the composite alarm about users")
            yield from each.expect_between("ActionsSuppressorWaitPeriod", 60, 600)
            yield from each.expect_between("ActionsSuppressorExtensionPeriod", 60, 1800)
        elif any(name in each.logical_id for name in ("Looming", "Delayed")):
            yield each.violation("ActionsSuppressor", "is missing: one incident would be two pages")
