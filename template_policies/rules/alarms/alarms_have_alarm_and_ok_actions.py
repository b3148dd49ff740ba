"""Every alarm notifies its severity's topic when it fires and when it ends, or a composite alarm does so for it."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import ALARM, COMPOSITE, SEVERITIES, alarms_in_composites, severity, topics
from template_policies.graph import short

TELLS = ("AlarmActions", "OKActions", "InsufficientDataActions", "ActionsEnabled", "AlarmDescription")


@policy(
    reason="Half of the alarms in public examples have OkActions, a property that does not exist.",
    failure=Failure.UNOBSERVED,
    reads={
        ALARM: (*TELLS, "AlarmName"),
        COMPOSITE: (*TELLS, "AlarmRule"),
        "AWS::SNS::Topic": ("DisplayName",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    asked = alarms_in_composites(graph)
    for alarm in graph.of(ALARM, COMPOSITE):
        own = severity(alarm)
        if own not in SEVERITIES:
            yield alarm.violation("AlarmDescription", f"begins with {own}, must begin with one of {SEVERITIES}")
        if alarm.get("ActionsEnabled", True) is not True:
            yield alarm.violation("ActionsEnabled", "is off: the alarm would fire without a notification")
        if alarm.get("InsufficientDataActions"):
            yield alarm.violation("InsufficientDataActions", "is set: TreatMissingData decides what missing data means")
        begun, over = topics(alarm, "AlarmActions"), topics(alarm, "OKActions")
        if not alarm.items("AlarmActions"):
            if alarm.where not in asked:
                yield alarm.violation("AlarmActions", "is empty, and no composite uses the alarm")
            if alarm.items("OKActions"):
                yield alarm.violation("OKActions", "notifies the end of an alarm that did not notify")
            continue
        # The requirements want Redis' recovery as info, too.
        ends = [each for each in over if alarm.stack != "Redis" or each != "info"] if len(over) > len(begun) else over
        recovers = alarm.stack == "Redis" and ("ConnectionFailure" in alarm.logical_id or "Latency" in alarm.logical_id)
        if recovers and "info" not in over:
            yield alarm.violation("OKActions", f"notifies {short(over)}, must also notify info")
        if ends != begun:
            yield alarm.violation("OKActions", f"notifies {short(over)}, must notify {short(begun)}")
        if own not in begun and not ("info" in begun and own == "critical" and alarm.where in asked):
            # The composite pages; this one notifies as info.
            yield alarm.violation("AlarmActions", f"notifies {short(begun)}, must notify {own}")
