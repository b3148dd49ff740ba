"""Alarms on the limits of a database at Upstash."""

import aws_cdk as cdk
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarm
from infra_constructs.alarms.redis import metric_of
from infra_constructs.alarms.redis_purpose import Purpose
from infra_constructs.function import RuntimeFunction
from infra_runtime.contract.metrics import RedisMetric

_HOUR = cdk.Duration.hours(1)


class UpstashAlarms(Construct):
    """Storage, daily bandwidth, and failures of their publisher (infra_runtime.redis.upstash_usage)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        instance: str,
        purpose: Purpose,
        usage: RuntimeFunction,
        topics: Topics,
    ) -> None:
        super().__init__(scope, id_)
        limits = {
            "Storage": (RedisMetric.STORAGE_USED, purpose.full, purpose.full_percent, purpose.full_severity),
            "Bandwidth": (RedisMetric.BANDWIDTH_USED, purpose.bandwidth, 80, Severity.WARNING),
        }
        for name, (metric, sentence, percent, severity) in limits.items():
            spec = AlarmSpec(
                runbook="redis-upstash-limits",
                description=sentence,
                severity=severity,
                metric=metric_of(environment, instance, metric, "Maximum", _HOUR),
                threshold=Threshold(value=percent, unit="% of the limit", breaches=1, periods=1),
                # A database may have no such limit.
                missing=TreatMissing.NOT_BREACHING,
            )
            add_alarm(self, name, topics=topics, spec=spec)
        spec = AlarmSpec(
            runbook="redis-upstash-limits",
            description="Upstash's usage is unknown: the alarms on its limits have no data.",
            severity=Severity.WARNING,
            metric=usage.function.metric_errors(period=_HOUR, statistic="Sum"),
            # Lambda tries a scheduled run three times.
            threshold=Threshold(value=2, unit="failed runs an hour", breaches=3, periods=3),
            missing=TreatMissing.NOT_BREACHING,
        )
        add_alarm(self, "Usage", topics=topics, spec=spec)
