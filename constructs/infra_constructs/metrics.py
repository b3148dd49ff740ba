"""The metrics that alarms use: their units, and the statistics that make sense for them.

CloudWatch accepts an alarm at 100 on a latency in seconds, which can never fire.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from infra_runtime.contract.metrics import (
    CHECKS,
    DATABASE,
    EDGE,
    JOBS,
    MEDIA,
    QUEUES,
    REDIS,
    SECRETS,
    CheckMetric,
    DatabaseMetric,
    EdgeMetric,
    JobMetric,
    MediaMetric,
    QueueMetric,
    RedisMetric,
    SecretMetric,
    TrafficMetric,
)


class Unit(StrEnum):
    """Unit of a metric, as the first word of a threshold's unit; everything else is a count."""

    PERCENT = "%"
    SECONDS = "seconds"
    MILLISECONDS = "ms"
    BYTES = "bytes"
    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    COUNT = "count"


# Plausible thresholds by unit: a value beyond them is probably in another unit.
_PLAUSIBLE = {
    Unit.PERCENT: (0.0, 100.0),
    Unit.SECONDS: (0.05, 60.0),
    Unit.MILLISECONDS: (1.0, 60_000.0),
    Unit.BYTES: (float(2**20), float(2**50)),
    Unit.MINUTES: (1.0, 24 * 60.0),
    Unit.HOURS: (1.0, 7 * 24.0),
    Unit.DAYS: (1.0, 366.0),
    Unit.COUNT: (0.0, 1e6),
}
# By the end of a name of our own, as CloudWatch's units know no minutes, hours or days.
_OWN_UNITS = {
    each.name.capitalize(): each for each in (Unit.MINUTES, Unit.HOURS, Unit.DAYS, Unit.MILLISECONDS, Unit.BYTES)
}
_OWN_UNITS |= {"Percent": Unit.PERCENT}
_LEVELS = frozenset({"Average", "Minimum", "Maximum"})
_ANY = _LEVELS | {"Sum"}
# A percentile, or the share of what lies below a value.
_PERCENTILE = re.compile(r"p\d{1,2}(\.\d)?|PR\(:\d+(\.\d+)?\)")


@dataclass(frozen=True)
class Known:
    unit: Unit
    statistics: frozenset[str] = _LEVELS
    percentiles: bool = False

    def takes(self, statistic: str) -> bool:
        return statistic in self.statistics or (self.percentiles and bool(_PERCENTILE.fullmatch(statistic)))


_SUM = frozenset({"Sum"})
# AWS documentation, the page of each service's metrics; read 2026-11.
_AWS = {
    ("AWS/ApplicationELB", "TargetResponseTime"): Known(Unit.SECONDS, percentiles=True),
    ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count"): Known(Unit.COUNT, _SUM),
    ("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count"): Known(Unit.COUNT, _SUM),
    ("AWS/ApplicationELB", "RequestCount"): Known(Unit.COUNT, _SUM),
    ("AWS/ApplicationELB", "RejectedConnectionCount"): Known(Unit.COUNT, _SUM),
    ("AWS/ApplicationELB", "HealthyHostCount"): Known(Unit.COUNT),
    ("AWS/ECS", "CPUUtilization"): Known(Unit.PERCENT),
    ("AWS/ECS", "MemoryUtilization"): Known(Unit.PERCENT),
    ("ECS/ContainerInsights", "DesiredTaskCount"): Known(Unit.COUNT),
    ("ECS/ContainerInsights", "RunningTaskCount"): Known(Unit.COUNT),
    ("AWS/RDS", "CPUUtilization"): Known(Unit.PERCENT),
    ("AWS/RDS", "FreeableMemory"): Known(Unit.BYTES),
    ("AWS/RDS", "FreeStorageSpace"): Known(Unit.BYTES),
    ("AWS/RDS", "DatabaseConnections"): Known(Unit.COUNT),
    ("AWS/ElastiCache", "EngineCPUUtilization"): Known(Unit.PERCENT),
    ("AWS/ElastiCache", "DatabaseMemoryUsagePercentage"): Known(Unit.PERCENT),
    ("AWS/ElastiCache", "Evictions"): Known(Unit.COUNT, _SUM),
    ("AWS/ElastiCache", "CurrConnections"): Known(Unit.COUNT),
    ("AWS/ElastiCache", "ReplicationLag"): Known(Unit.SECONDS),
    ("AWS/NATGateway", "ErrorPortAllocation"): Known(Unit.COUNT, _SUM),
    ("AWS/RDS", "OldestReplicationSlotLag"): Known(Unit.BYTES),
    ("AWS/Lambda", "Errors"): Known(Unit.COUNT, _SUM),
    ("AWS/Lambda", "Throttles"): Known(Unit.COUNT, _SUM),
    ("AWS/Lambda", "Duration"): Known(Unit.MILLISECONDS, percentiles=True),
    ("AWS/Events", "FailedInvocations"): Known(Unit.COUNT, _SUM),
    ("AWS/Events", "MatchedEvents"): Known(Unit.COUNT, _SUM),
    ("AWS/CertificateManager", "DaysToExpiry"): Known(Unit.DAYS),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): Known(Unit.SECONDS),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): Known(Unit.COUNT),
    ("AWS/S3", "AllRequests"): Known(Unit.COUNT, _SUM),
    ("AWS/S3", "4xxErrors"): Known(Unit.COUNT, _SUM),
    ("AWS/S3", "5xxErrors"): Known(Unit.COUNT, _SUM),
    ("AWS/S3", "GetRequests"): Known(Unit.COUNT, _SUM),
    ("AWS/S3", "BytesDownloaded"): Known(Unit.BYTES, _SUM),
}
_NAMESPACES: dict[type[StrEnum], str] = {
    EdgeMetric: EDGE,
    TrafficMetric: EDGE,
    RedisMetric: REDIS,
    CheckMetric: CHECKS,
    DatabaseMetric: DATABASE,
    JobMetric: JOBS,
    SecretMetric: SECRETS,
    MediaMetric: MEDIA,
    QueueMetric: QUEUES,
}
_OWN = {
    (namespace, name.value): Known(
        next((unit for end, unit in _OWN_UNITS.items() if name.value.endswith(end)), Unit.COUNT), _ANY
    )
    for names, namespace in _NAMESPACES.items()
    for name in names
}
KNOWN = _AWS | _OWN


def own_metric(
    environment: str, name: StrEnum, *, statistic: str, period: cdk.Duration, **dimensions: str
) -> cloudwatch.Metric:
    """One that a function of ours publishes; `dimensions` besides the environment."""
    return cloudwatch.Metric(
        namespace=_NAMESPACES[type(name)],
        metric_name=name.value,
        dimensions_map={"Environment": environment, **dimensions},
        period=period,
        statistic=statistic,
    )


def error_percentage(
    errors: cloudwatch.Metric, requests: cloudwatch.Metric, *, enough: int, label: str, period: cdk.Duration
) -> cloudwatch.MathExpression:
    """Per cent of requests; 0 while there are fewer than `enough`."""
    return cloudwatch.MathExpression(
        expression=f"IF(requests >= {enough}, 100 * errors / requests, 0)",
        using_metrics={"errors": errors, "requests": requests},
        label=label,
        period=period,
    )


def objections(metric: cloudwatch.IMetric, *, value: float, unit: str) -> list[str]:
    """Why an alarm at `value` `unit` of this metric would never fire, or always; empty when it is plausible."""
    kind = next((each for each in Unit if unit.split(" ", maxsplit=1)[0] == each), Unit.COUNT)
    least, most = _PLAUSIBLE[kind]
    found = []
    if not least <= value <= most:
        plausible = f"expected {least:.10g} to {most:.10g} (_PLAUSIBLE in infra_constructs/metrics.py)"
        found.append(f"{value:.10g} {unit}: {plausible}")
    keeps_its_unit, parts = _read(metric)
    for namespace, name, statistic in parts:
        # An environment may have a namespace of its own below that of its kind.
        known = KNOWN.get((namespace, name)) or KNOWN.get((namespace.rpartition("/")[0], name))
        if known is None:
            found.append(f"{namespace} {name}: unknown metric; add it with its unit to infra_constructs/metrics.py")
        elif not known.takes(statistic):
            allowed = [*sorted(known.statistics), *(["p50 to p99.9"] if known.percentiles else [])]
            found.append(f"{namespace} {name}: {statistic} is not useful; expected one of {', '.join(allowed)}")
        elif keeps_its_unit and known.unit != kind:
            found.append(f"{namespace} {name} comes in {known.unit}, the threshold is in {unit}")
    return found


def _read(metric: cloudwatch.IMetric) -> tuple[bool, list[tuple[str, str, str]]]:
    """Whether it comes in the unit of its parts, and (namespace, name, statistic) of each part.

    A sum, a difference or the highest of what comes in one unit comes in that unit; a share does not.
    """
    if isinstance(metric, cloudwatch.MathExpression):
        parts = [part for each in (metric.using_metrics or {}).values() for part in _read(each)[1]]
        return not re.search(r"[/*]|IF\(", metric.expression), parts
    if isinstance(metric, cloudwatch.Metric):
        return True, [(metric.namespace, metric.metric_name, metric.statistic)]
    raise TypeError(f"{type(metric).__name__}: alarms here are on metrics and on expressions of them")
