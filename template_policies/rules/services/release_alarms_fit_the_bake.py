"""Alarms that roll back a release exist, can fire within the bake, and are created before the service."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.owners import owner

ALARM = "AWS::CloudWatch::Alarm"
SERVICE = "AWS::ECS::Service"


@policy(
    reason="An alarm that fires after the bake rolls nothing back. ECS refuses a deployment whose alarm is missing. "
    "Other alarms need no physical name, which would prevent their replacement.",
    failure=Failure.BAD_RELEASE,
    reads={
        ALARM: ("AlarmName", "Period", "EvaluationPeriods", "DatapointsToAlarm", "Metrics"),
        SERVICE: ("DeploymentConfiguration", "DependsOn"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    named = {each.get("AlarmName"): each for each in graph.of(ALARM) if each.get("AlarmName") is not None}
    used = set()
    for service in graph.of(SERVICE):
        own = owner(graph, service)
        if own is None or own.host is None or own.slot is not None:
            continue
        names = service.items("DeploymentConfiguration.Alarms.AlarmNames")
        if len(names) != 2:
            yield service.violation(
                "DeploymentConfiguration.Alarms.AlarmNames", f"has {len(names)}, must be errors and latency"
            )
        for name in names:
            alarm = named.get(name)
            if alarm is None:
                yield service.violation(
                    "DeploymentConfiguration.Alarms.AlarmNames", f"has {name}, which is not the name of an alarm"
                )
                continue
            used.add(name)
            if alarm.logical_id not in service.items("DependsOn"):
                yield service.violation("DependsOn", f"must have {alarm.logical_id}: ECS refuses to deploy without it")
            periods = [each.get("MetricStat", {}).get("Period", 0) for each in alarm.items("Metrics")]
            period = alarm.get("Period") or max(periods, default=0)
            seconds = alarm.get("EvaluationPeriods", 0) * period
            bake = service.get("DeploymentConfiguration.BakeTimeInMinutes", 0) * 60
            if not 0 < seconds < bake:
                yield alarm.violation("EvaluationPeriods", f"cover {seconds} s, must be less than the bake of {bake} s")
    for name, alarm in named.items():
        if name not in used:
            yield alarm.violation("AlarmName", "is set, but no service uses the alarm for rollbacks")
