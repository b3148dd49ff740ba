"""If a schedule, an event or a rotation starts a function, its failure, or its missing data, raises an alarm."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import ALARM, METRICS, metrics

# Modules whose silence raises an alarm: missing data of their metrics is breaching.
BY_SILENCE = {
    "checks", "redis.monitor", "database.backups", "edge_traffic", "restart_service", "jobs.control",
    # A drill that it does not conclude is not a success, and a missing success raises an alarm.
    "database.drills",
}  # fmt: skip


@policy(
    reason="No caller waits for its answer and would notice a failure.",
    failure=Failure.UNOBSERVED,
    reads={
        ALARM: METRICS,
        "AWS::Events::Rule": ("Targets",),
        "AWS::SecretsManager::RotationSchedule": ("RotationLambdaARN",),
        "AWS::SNS::Subscription": ("Endpoint",),
        "AWS::Lambda::Function": ("Handler",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    watched = {
        one.where
        for alarm in graph.of(ALARM)
        for metric in metrics(alarm)
        if metric.get("MetricName") == "Errors"
        for one in graph.referred(alarm.stack, metric.get("Dimensions"))
    }
    started = [
        function
        for kind, path in (
            ("AWS::Events::Rule", "Targets"),
            ("AWS::SecretsManager::RotationSchedule", "RotationLambdaARN"),
        )
        for each in graph.of(kind)
        for function in graph.referred(each.stack, each.get(path))
        if function.type == "AWS::Lambda::Function"
    ]
    for function in started:
        module = str(function.get("Handler")).removeprefix("infra_runtime.").removesuffix(".handler")
        if module not in BY_SILENCE and function.where not in watched:
            yield function.violation("AWS::CloudWatch::Alarm", f"is missing: {module} may fail unseen")
