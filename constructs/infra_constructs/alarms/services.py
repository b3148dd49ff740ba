"""Alarms on a service on ECS, besides those that roll its releases back."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarms

_PERIOD = cdk.Duration.minutes(1)


class ServiceAlarms(Construct):
    """No task runs, too few run, or tasks are at their CPU or memory limit. A worker has no target groups."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        cluster: ecs.ICluster,
        service_name: str,
        target_groups: list[elbv2.ApplicationTargetGroup],
        topics: Topics,
    ) -> None:
        super().__init__(scope, id_)
        dimensions = {"ClusterName": cluster.cluster_name, "ServiceName": service_name}
        specs = {
            "Down": AlarmSpec(
                runbook="service-down",
                description="No healthy task: every request fails." if target_groups else "No task runs: jobs wait.",
                severity=Severity.CRITICAL,
                paged_by_composite=bool(target_groups),
                metric=_healthy(target_groups) if target_groups else insight("RunningTaskCount", dimensions),
                threshold=Threshold(value=1, unit="healthy tasks", breaches=2, periods=2, below=True),
                missing=TreatMissing.BREACHING,
            ),
            "TasksMissing": AlarmSpec(
                runbook="service-tasks-missing",
                description="Too few tasks run: they crash, cannot be placed, or their image cannot be pulled.",
                severity=Severity.CRITICAL,
                paged_by_composite=bool(target_groups),
                metric=cloudwatch.MathExpression(
                    expression="desired - running",
                    using_metrics={
                        "desired": insight("DesiredTaskCount", dimensions),
                        "running": insight("RunningTaskCount", dimensions),
                    },
                    label="missing tasks",
                    period=_PERIOD,
                ),
                threshold=Threshold(value=0, unit="missing tasks", breaches=10, periods=10),
                missing=TreatMissing.BREACHING,
            ),
            "Cpu": AlarmSpec(
                runbook="service-cpu",
                description="The service gets slow; autoscaling is at its limit or too late.",
                severity=Severity.WARNING,
                metric=utilization("CPUUtilization", dimensions),
                threshold=Threshold(value=85, unit="% CPU", breaches=10, periods=10),
                missing=TreatMissing.IGNORE,
            ),
            "Memory": AlarmSpec(
                runbook="service-memory",
                description="Tasks are nearly out of memory; ECS will kill them, and their requests fail.",
                severity=Severity.WARNING,
                metric=utilization("MemoryUtilization", dimensions),
                threshold=Threshold(value=85, unit="% memory", breaches=5, periods=5),
                missing=TreatMissing.IGNORE,
            ),
        }
        self.alarms = add_alarms(self, specs, topics=topics)


def _healthy(groups: list[elbv2.ApplicationTargetGroup]) -> cloudwatch.MathExpression:
    """Blue and green together: which of them serves changes with every release."""
    metrics: dict[str, cloudwatch.IMetric] = {
        f"h{index}": group.metrics.healthy_host_count(period=_PERIOD, statistic="Minimum")
        for index, group in enumerate(groups)
    }
    return cloudwatch.MathExpression(
        expression=" + ".join(f"FILL({key}, 0)" for key in metrics),
        using_metrics=metrics,
        label="healthy tasks",
        period=_PERIOD,
    )


def insight(name: str, dimensions: dict[str, str]) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="ECS/ContainerInsights",
        metric_name=name,
        dimensions_map=dimensions,
        period=_PERIOD,
        statistic="Average",
    )


def utilization(name: str, dimensions: dict[str, str]) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace="AWS/ECS", metric_name=name, dimensions_map=dimensions, period=_PERIOD, statistic="Average"
    )
