"""Every alarm tells the topic of its severity, that it is over as well, or is asked for by a composite that does."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import ALARM, COMPOSITE, SEVERITIES, asked_by_a_composite, severity, topics
from template_policies.graph import short

TELLS = ("AlarmActions", "OKActions", "InsufficientDataActions", "ActionsEnabled", "AlarmDescription")


@policy(
    reason="Half of the alarms of this field's examples have OkActions, which nothing reads.",
    failure=Failure.UNOBSERVED,
    reads={
        ALARM: (*TELLS, "AlarmName"),
        COMPOSITE: (*TELLS, "AlarmRule"),
        "AWS::SNS::Topic": ("DisplayName",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    asked = asked_by_a_composite(graph)
    for alarm in graph.of(ALARM, COMPOSITE):
        own = severity(alarm)
        if own not in SEVERITIES:
            yield alarm.violation("AlarmDescription", f"begins with {own}, must with one of {SEVERITIES}")
        if alarm.get("ActionsEnabled", True) is not True:
            yield alarm.violation("ActionsEnabled", "is off: it rings unheard")
        if alarm.get("InsufficientDataActions"):
            yield alarm.violation("InsufficientDataActions", "is set: TreatMissingData says what no data means")
        told, over = topics(alarm, "AlarmActions"), topics(alarm, "OKActions")
        if not alarm.items("AlarmActions"):
            if alarm.where not in asked:
                yield alarm.violation("AlarmActions", "is empty, and no composite asks for the alarm")
            if alarm.items("OKActions"):
                yield alarm.violation("OKActions", "tells the end of what nobody was told")
            continue
        # Redis' recovery is an info as well, as the requirements have it.
        ends = [each for each in over if alarm.stack != "Redis" or each != "info"] if len(over) > len(told) else over
        recovers = alarm.stack == "Redis" and ("ConnectionFailure" in alarm.logical_id or "Latency" in alarm.logical_id)
        if recovers and "info" not in over:
            yield alarm.violation("OKActions", f"tells {short(over)}, must tell info as well")
        if ends != told:
            yield alarm.violation("OKActions", f"tells {short(over)}, must tell {short(told)}")
        if own not in told and not ("info" in told and own == "critical" and alarm.where in asked):
            # The composite pages, this one is told as info.
            yield alarm.violation("AlarmActions", f"tells {short(told)}, must tell {own}")
