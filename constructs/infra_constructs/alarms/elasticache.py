"""Alarms on ElastiCache's own metrics. The probe checks whether the application can reach it."""

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarm
from infra_constructs.alarms.redis_purpose import Purpose

_PERIOD = cdk.Duration.minutes(1)
# ElastiCache's maxclients, which no parameter changes; the small ones have less.
_CONNECTIONS, _CONNECTIONS_OF_SMALL = 65_000, 20_000
_SMALL = ("cache.t4g.micro", "cache.t4g.small")
_CONNECTIONS_SHARE = 0.8


class ElastiCacheAlarms(Construct):
    """Alarms for each node: CPU of the engine's one thread, memory, evictions, connections, replication lag."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        nodes: Mapping[str, Sequence[str]],
        node_type: str,
        purpose: Purpose,
        topics: Topics,
    ) -> None:
        """`nodes` are ids by shard; there are alarms of each shard, as one alarm takes ten metrics at most."""
        super().__init__(scope, id_)
        limit = _CONNECTIONS_OF_SMALL if node_type in _SMALL else _CONNECTIONS
        for shard, members in nodes.items():
            for name, spec in _specs(members, purpose, connections=limit * _CONNECTIONS_SHARE).items():
                add_alarm(self, f"{shard}{name}", topics=topics, spec=spec)


def _specs(nodes: Sequence[str], purpose: Purpose, *, connections: float) -> dict[str, AlarmSpec]:
    specs = {
        "Cpu": AlarmSpec(
            runbook="redis-cpu",
            description=purpose.slow_engine,
            severity=Severity.WARNING,
            metric=_worst(nodes, "EngineCPUUtilization", "Average"),
            threshold=Threshold(value=80, unit="% of one core", breaches=5, periods=5),
            missing=TreatMissing.IGNORE,
        ),
        "Memory": AlarmSpec(
            runbook=purpose.memory_runbook,
            description=purpose.full,
            severity=purpose.full_severity,
            metric=_worst(nodes, "DatabaseMemoryUsagePercentage", "Maximum"),
            threshold=Threshold(value=purpose.full_percent, unit="% of memory", breaches=5, periods=5),
            missing=TreatMissing.BREACHING,
        ),
        "Evictions": AlarmSpec(
            runbook=purpose.evictions_runbook,
            description=purpose.evicted,
            severity=purpose.evicted_severity,
            metric=_worst(nodes, "Evictions", "Sum"),
            threshold=Threshold(value=0, unit="keys a minute", breaches=3, periods=5),
            missing=TreatMissing.NOT_BREACHING,
        ),
        "Connections": AlarmSpec(
            runbook="redis-connections",
            description=purpose.no_connections,
            severity=Severity.WARNING,
            metric=_worst(nodes, "CurrConnections", "Maximum"),
            threshold=Threshold(value=connections, unit="connections", breaches=3, periods=5),
            missing=TreatMissing.NOT_BREACHING,
        ),
    }
    if len(nodes) > 1:
        specs["Lag"] = AlarmSpec(
            runbook="redis-replication-lag",
            description=purpose.lag,
            severity=Severity.WARNING,
            metric=_worst(nodes, "ReplicationLag", "Maximum"),
            threshold=Threshold(value=5, unit="seconds", breaches=5, periods=5),
            missing=TreatMissing.NOT_BREACHING,
        )
    return specs


def _worst(nodes: Sequence[str], name: str, statistic: str) -> cloudwatch.MathExpression:
    """The highest of all nodes: ElastiCache publishes these by node."""
    metrics: dict[str, cloudwatch.IMetric] = {
        f"n{number}": cloudwatch.Metric(
            namespace="AWS/ElastiCache",
            metric_name=name,
            dimensions_map={"CacheClusterId": node},
            period=_PERIOD,
            statistic=statistic,
        )
        for number, node in enumerate(nodes, start=1)
    }
    return cloudwatch.MathExpression(
        expression=f"MAX([{', '.join(metrics)}])", using_metrics=metrics, label=name, period=_PERIOD
    )
