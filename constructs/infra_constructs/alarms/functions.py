"""Alarms on all functions together: refused by Lambda, or close to their time limit."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarms

_PERIOD = cdk.Duration.minutes(15)
# CloudWatch's maximum of metrics in one alarm.
_METRICS_PER_ALARM = 10


class FunctionAlarms(Construct):
    """Errors of functions have separate alarms, as each means something else."""

    def __init__(self, scope: Construct, id_: str, *, functions: Sequence[lambda_.Function], topics: Topics) -> None:
        super().__init__(scope, id_)
        specs = {}
        for number, first in enumerate(range(0, len(functions), _METRICS_PER_ALARM), start=1):
            some = functions[first : first + _METRICS_PER_ALARM]
            specs[f"Throttled{number}"] = AlarmSpec(
                runbook="function-throttled",
                description="Lambda does not run functions of the edge, the database's logins or the checks: "
                "others use up the account's concurrency.",
                severity=Severity.WARNING,
                metric=_of_all(
                    "SUM",
                    {f"t{at}": each.metric_throttles(period=_PERIOD, statistic="Sum") for at, each in enumerate(some)},
                ),
                threshold=Threshold(value=0, unit="refused runs in 15 minutes", breaches=2, periods=2),
                missing=TreatMissing.NOT_BREACHING,
            )
            specs[f"Slow{number}"] = AlarmSpec(
                runbook="function-slow",
                description="A function will soon reach its time limit, and Lambda will end it.",
                severity=Severity.WARNING,
                metric=_shares(some),
                threshold=Threshold(value=80, unit="% of its time limit", breaches=2, periods=3),
                missing=TreatMissing.NOT_BREACHING,
            )
        self.alarms = add_alarms(self, specs, topics=topics)


def _of_all(how: str, metrics: dict[str, cloudwatch.IMetric]) -> cloudwatch.MathExpression:
    return cloudwatch.MathExpression(
        expression=f"{how}([{', '.join(metrics)}])", using_metrics=metrics, label="of all functions", period=_PERIOD
    )


def _shares(functions: Sequence[lambda_.Function]) -> cloudwatch.MathExpression:
    """Duration of the function that comes closest to its time-out, in per cent of that."""
    metrics: dict[str, cloudwatch.IMetric] = {}
    shares = []
    for at, each in enumerate(functions):
        assert each.timeout is not None
        metrics[f"d{at}"] = each.metric_duration(period=_PERIOD, statistic="Maximum")
        shares.append(f"100 * d{at} / {each.timeout.to_milliseconds():g}")
    return cloudwatch.MathExpression(
        expression=f"MAX([{', '.join(shares)}])", using_metrics=metrics, label="% of the time limit", period=_PERIOD
    )
