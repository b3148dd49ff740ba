"""Alarms on the checks from outside, which send the same requests as users."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarms
from infra_constructs.metrics import own_metric
from infra_runtime.contract.metrics import CheckMetric
from infra_runtime.contract.names import words

_MINUTE = cdk.Duration.minutes(1)


def metric_of(environment: str, check: str, name: CheckMetric, statistic: str) -> cloudwatch.Metric:
    """One metric of a check."""
    return own_metric(environment, name, statistic=statistic, period=_MINUTE, Check=check)


class CheckAlarms(Construct):
    """Alarms on the metrics that infra_runtime.checks publishes each minute. No data means that no check ran."""

    def __init__(self, scope: Construct, id_: str, *, environment: str, checks: Sequence[str], topics: Topics) -> None:
        super().__init__(scope, id_)
        failed = {
            f"{words(check)}Failed": AlarmSpec(
                runbook="check-failed",
                description=f"From outside, by its public name, {check} does not answer as it should.",
                severity=Severity.CRITICAL,
                paged_by_composite=True,
                metric=metric_of(environment, check, CheckMetric.FAILED, "Maximum"),
                threshold=Threshold(value=0, unit="failed checks", breaches=2, periods=3),
                missing=TreatMissing.BREACHING,
            )
            for check in checks
        }
        slow = {
            f"{words(check)}Slow": AlarmSpec(
                runbook="check-slow",
                description=f"From outside, {check} answers more slowly than users accept.",
                severity=Severity.WARNING,
                metric=metric_of(environment, check, CheckMetric.TIME, "Average"),
                threshold=Threshold(value=3000, unit="ms including the connection", breaches=8, periods=10),
                missing=TreatMissing.IGNORE,
            )
            for check in checks
        }
        self.failed = add_alarms(self, failed, topics=topics)
        self.alarms = self.failed | add_alarms(self, slow, topics=topics)
