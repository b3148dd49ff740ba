"""Alarms on what the probe measures, the same for ElastiCache, Upstash and external Redis."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarms
from infra_constructs.alarms.redis_purpose import Purpose
from infra_constructs.metrics import own_metric
from infra_runtime.contract.metrics import RedisMetric

# As infra_runtime.redis.monitor publishes them: twice a minute, and metrics of the keys every five minutes.
_ROUNDS, _INVENTORY = cdk.Duration.minutes(1), cdk.Duration.minutes(5)


def metric_of(
    environment: str, instance: str, name: RedisMetric, statistic: str, period: cdk.Duration
) -> cloudwatch.Metric:
    """A metric of one instance."""
    return own_metric(environment, name, statistic=statistic, period=period, Instance=instance)


class RedisAlarms(Construct):
    """Critical when Redis cannot be used, warning when it is slow, info when it is back: once for each outage."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        instance: str,
        purpose: Purpose,
        has_memory_metrics: bool,
        topics: Topics,
    ) -> None:
        """`has_memory_metrics`: the service behind it has metrics of its own for memory and connections."""
        super().__init__(scope, id_)

        def metric(name: RedisMetric, statistic: str, period: cdk.Duration = _ROUNDS) -> cloudwatch.Metric:
            return metric_of(environment, instance, name, statistic, period)

        specs = {
            "ConnectionFailure": AlarmSpec(
                runbook="redis-connection-failure",
                description=purpose.unusable,
                severity=Severity.CRITICAL,
                ok_severity=Severity.INFO,
                metric=metric(RedisMetric.UNUSABLE, "Maximum"),
                # One bad minute is a failover, which takes seconds and pages no one. A flapping Redis is one outage:
                # it ends when nine of ten minutes were good.
                threshold=Threshold(value=0, unit="failed probes", breaches=2, periods=10),
                # No data means that the probe does not run.
                missing=TreatMissing.BREACHING,
            ),
            "Latency": AlarmSpec(
                runbook="redis-latency",
                description=purpose.slow,
                severity=Severity.WARNING,
                ok_severity=Severity.INFO,
                metric=metric(RedisMetric.PING, "Average"),
                threshold=Threshold(value=100, unit="ms for a ping", breaches=3, periods=5),
                # Redis was not reached, which the other alarm reports.
                missing=TreatMissing.NOT_BREACHING,
            ),
            "Errors": AlarmSpec(
                runbook="redis-errors",
                description="Redis works, but with errors: the next fault may be an outage.",
                severity=Severity.WARNING,
                metric=cloudwatch.MathExpression(
                    expression="IF(unusable == 0, errors, 0)",
                    using_metrics={
                        "unusable": metric(RedisMetric.UNUSABLE, "Maximum"),
                        "errors": metric(RedisMetric.ERROR_RATE, "Average"),
                    },
                    label="errors while usable",
                    period=_ROUNDS,
                ),
                threshold=Threshold(value=5, unit="% of the probe's commands", breaches=5, periods=5),
                missing=TreatMissing.NOT_BREACHING,
            ),
        }
        if purpose.evicts:
            specs["KeysWithoutExpiry"] = AlarmSpec(
                runbook="redis-memory",
                description="Keys without expiry fill the memory until rate limits are evicted.",
                severity=Severity.WARNING,
                metric=metric(RedisMetric.KEYS_WITHOUT_EXPIRY, "Maximum", _INVENTORY),
                threshold=Threshold(value=1000, unit="keys", breaches=3, periods=3),
                missing=TreatMissing.IGNORE,
            )
        if not has_memory_metrics:
            specs |= {
                "Memory": AlarmSpec(
                    runbook=purpose.memory_runbook,
                    description=purpose.full,
                    severity=purpose.full_severity,
                    metric=metric(RedisMetric.MEMORY_USED, "Maximum", _INVENTORY),
                    threshold=Threshold(value=purpose.full_percent, unit="% of memory", breaches=2, periods=3),
                    missing=TreatMissing.IGNORE,
                ),
                "Connections": AlarmSpec(
                    runbook="redis-connections",
                    description=purpose.no_connections,
                    severity=Severity.WARNING,
                    metric=metric(RedisMetric.CONNECTIONS, "Maximum", _INVENTORY),
                    threshold=Threshold(value=80, unit="% of all connections", breaches=2, periods=3),
                    missing=TreatMissing.IGNORE,
                ),
            }
        self.alarms = add_alarms(self, specs, topics=topics)
