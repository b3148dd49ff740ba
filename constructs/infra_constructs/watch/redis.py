"""What is watched of ElastiCache itself. Whether the application can reach it is the probe's business."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_elasticache as elasticache
from constructs import Construct

from infra_constructs.alarms import AlarmSpec, Missing, Severity, Threshold, Topics, add_alarm

_PERIOD = cdk.Duration.minutes(1)


class RedisAlarms(Construct):
    """For each node: CPU of the engine's one thread, memory, evictions, replication lag."""

    def __init__(
        self, scope: Construct, id_: str, *, group: elasticache.CfnReplicationGroup, nodes: int, topics: Topics
    ) -> None:
        super().__init__(scope, id_)
        specs = {
            "Cpu": AlarmSpec(
                runbook="redis-cpu",
                means="Redis answers late; rate limiting starts to fail open.",
                severity=Severity.WARNING,
                metric=_worst(group, nodes, "EngineCPUUtilization", "Average"),
                threshold=Threshold(value=80, unit="% of one core", breaches=5, periods=5),
                missing=Missing.IS_IGNORED,
            ),
            "Memory": AlarmSpec(
                runbook="redis-memory",
                means="Redis is nearly full; soon it evicts rate limits that should still count.",
                severity=Severity.WARNING,
                metric=_worst(group, nodes, "DatabaseMemoryUsagePercentage", "Maximum"),
                threshold=Threshold(value=80, unit="% of memory", breaches=5, periods=5),
                missing=Missing.IS_BAD,
            ),
            "Evictions": AlarmSpec(
                runbook="redis-evictions",
                means="Rate limits are forgotten before their time.",
                severity=Severity.WARNING,
                metric=_worst(group, nodes, "Evictions", "Sum"),
                threshold=Threshold(value=0, unit="keys a minute", breaches=3, periods=5),
                missing=Missing.IS_GOOD,
            ),
        }
        if nodes > 1:
            specs["Lag"] = AlarmSpec(
                runbook="redis-replication-lag",
                means="A failover now would lose the last seconds of rate limits.",
                severity=Severity.WARNING,
                metric=_worst(group, nodes, "ReplicationLag", "Maximum"),
                threshold=Threshold(value=5, unit="seconds", breaches=5, periods=5),
                missing=Missing.IS_GOOD,
            )
        for name, spec in specs.items():
            add_alarm(self, name, topics=topics, spec=spec)


def _worst(group: elasticache.CfnReplicationGroup, nodes: int, name: str, statistic: str) -> cloudwatch.MathExpression:
    """The highest of all nodes; ElastiCache publishes these by node, and names the nodes group-001, group-002, …"""
    metrics: dict[str, cloudwatch.IMetric] = {
        f"n{number}": cloudwatch.Metric(
            namespace="AWS/ElastiCache",
            metric_name=name,
            dimensions_map={"CacheClusterId": f"{group.ref}-{number:03d}"},
            period=_PERIOD,
            statistic=statistic,
        )
        for number in range(1, nodes + 1)
    }
    return cloudwatch.MathExpression(
        expression=f"MAX([{', '.join(metrics)}])", using_metrics=metrics, label=name, period=_PERIOD
    )
