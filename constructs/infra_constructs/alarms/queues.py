"""Alarms on the queue of one worker."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarms
from infra_constructs.metrics import own_metric
from infra_runtime.contract.metrics import QueueMetric

_MINUTE = cdk.Duration.minutes(1)


def metric_of(environment: str, service: str, name: QueueMetric, statistic: str) -> cloudwatch.Metric:
    """One metric of a worker's queue."""
    return own_metric(environment, name, statistic=statistic, period=_MINUTE, Service=service)


class QueueAlarms(Construct):
    """Alarms on metrics of infra_runtime.redis.monitor. While Redis is down there are none, and another alarm fires."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        service: str,
        most_jobs: int,
        stuck_minutes: int,
        topics: Topics,
    ) -> None:
        """`most_jobs` may wait while max_tasks run."""
        super().__init__(scope, id_)
        specs = {
            "Stuck": AlarmSpec(
                runbook="queue-backlog",
                description=f"Jobs of {service} wait, and no worker takes one.",
                severity=Severity.CRITICAL,
                metric=metric_of(environment, service, QueueMetric.STUCK, "Minimum"),
                threshold=Threshold(value=stuck_minutes, unit="minutes", breaches=2, periods=2),
                missing=TreatMissing.IGNORE,
            ),
            "Backlog": AlarmSpec(
                runbook="queue-backlog",
                description=(
                    f"{service} cannot keep up with its queue at max_tasks, or the probe cannot count the jobs."
                ),
                severity=Severity.WARNING,
                metric=metric_of(environment, service, QueueMetric.WAITING, "Minimum"),
                # Scaling out takes a few minutes.
                threshold=Threshold(value=most_jobs, unit="waiting jobs", breaches=15, periods=15),
                missing=TreatMissing.BREACHING,
            ),
        }
        self.alarms = add_alarms(self, specs, topics=topics)
