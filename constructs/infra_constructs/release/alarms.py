"""The alarms that roll a release back."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarm

_MINUTE = cdk.Duration.minutes(1)
# Below this many requests a minute one unlucky request would be a rate worth waking up for.
_ENOUGH_REQUESTS = 20


def names(prefix: str) -> list[str]:
    """Physical names: ECS knows deployment alarms by name, and a reference to them would be circular."""
    return [f"{prefix}-errors", f"{prefix}-latency"]


class ReleaseAlarms(Construct):
    """Errors and latency of whichever target group serves; both fit into three minutes, well inside the bake time."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name_prefix: str,
        target_groups: list[elbv2.ApplicationTargetGroup],
        error_tracker_url: str | None,
        topics: Topics,
    ) -> None:
        """`error_tracker_url` is the address of the errors that the service reports itself."""
        super().__init__(scope, id_)
        errors_name, latency_name = names(name_prefix)
        self.errors = add_alarm(
            self,
            "Errors",
            topics=topics,
            physical_name=errors_name,
            spec=AlarmSpec(
                runbook="service-errors",
                description="More than one request in twenty fails with a 5xx from the service.",
                link=error_tracker_url,
                severity=Severity.CRITICAL,
                paged_by_composite=True,
                metric=_error_percentage(target_groups),
                threshold=Threshold(value=5, unit="% of requests", breaches=2, periods=3),
                missing=TreatMissing.NOT_BREACHING,
            ),
        )
        self.latency = add_alarm(
            self,
            "Latency",
            topics=topics,
            physical_name=latency_name,
            spec=AlarmSpec(
                runbook="service-latency",
                description="One request in twenty takes longer than two seconds.",
                link=error_tracker_url,
                severity=Severity.WARNING,
                metric=_slowest(target_groups),
                threshold=Threshold(value=2, unit="seconds (p95)", breaches=3, periods=3),
                missing=TreatMissing.NOT_BREACHING,
            ),
        )


def _error_percentage(groups: list[elbv2.ApplicationTargetGroup]) -> cloudwatch.MathExpression:
    """Per cent of requests; 0 while there are too few."""
    metrics: dict[str, cloudwatch.IMetric] = {}
    for index, group in enumerate(groups):
        metrics[f"e{index}"] = group.metrics.http_code_target(
            elbv2.HttpCodeTarget.TARGET_5XX_COUNT, period=_MINUTE, statistic="Sum"
        )
        metrics[f"r{index}"] = group.metrics.request_count(period=_MINUTE, statistic="Sum")
    errors, requests = (" + ".join(f"FILL({k}{i}, 0)" for i in range(len(groups))) for k in "er")
    return cloudwatch.MathExpression(
        expression=f"IF(({requests}) >= {_ENOUGH_REQUESTS}, 100 * ({errors}) / ({requests}), 0)",
        using_metrics=metrics,
        label="5xx of the service, % of requests",
        period=_MINUTE,
    )


def _slowest(groups: list[elbv2.ApplicationTargetGroup]) -> cloudwatch.MathExpression:
    """Seconds: the slower p95 of the two target groups."""
    metrics: dict[str, cloudwatch.IMetric] = {
        f"l{index}": group.metrics.target_response_time(period=_MINUTE, statistic="p95")
        for index, group in enumerate(groups)
    }
    filled = ", ".join(f"FILL({key}, 0)" for key in metrics)
    return cloudwatch.MathExpression(
        expression=f"MAX([{filled}])", using_metrics=metrics, label="p95 latency, seconds", period=_MINUTE
    )
