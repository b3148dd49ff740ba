"""Every alarm says what missing data means; for metrics that we publish each minute, missing data is an alarm."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import ALARM, METRICS, metrics
from template_policies.graph import short

# Published in good times as well: missing data means that the function does not run.
ALWAYS_THERE = {
    ("Infra/Checks", "CheckFailed"),
    ("Infra/Redis", "Unusable"),
    ("Infra/Edge", "Windows"),
    ("Infra/Database", "RestorePointMinutes"),
    ("Infra/Database", "SnapshotHours"),
    ("Infra/Database", "RestoreDrillDays"),
    ("Infra/Secrets", "TasksBehindSecretHours"),
    ("AWS/RDS", "FreeStorageSpace"),
    ("AWS/RDS", "DatabaseConnections"),
    ("AWS/ApplicationELB", "HealthyHostCount"),
    ("ECS/ContainerInsights", "RunningTaskCount"),
}


@policy(
    reason="CloudWatch's own default keeps the last state: the probe dies, and the alarm stays green.",
    failure=Failure.UNOBSERVED,
    reads={ALARM: (*METRICS, "TreatMissingData")},
)
def check(graph: Graph) -> Iterator[Violation]:
    for alarm in graph.of(ALARM):
        found = alarm.get("TreatMissingData")
        if found not in ("breaching", "notBreaching", "ignore"):
            yield alarm.violation("TreatMissingData", f"is {short(found)}, must be set")
        looked_at = {(each.get("Namespace"), each.get("MetricName")) for each in metrics(alarm)}
        if looked_at and looked_at <= ALWAYS_THERE and found != "breaching":
            yield alarm.violation("TreatMissingData", f"is {short(found)}, must be breaching: it is always published")
