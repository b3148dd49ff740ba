"""Alarm on the function that records how releases end."""

import aws_cdk as cdk
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarm
from infra_constructs.function import RuntimeFunction


class ReleaseControlAlarms(Construct):
    """If that function fails, a release ends unnoticed: `infra releases` shows it as running for ever."""

    def __init__(self, scope: Construct, id_: str, *, control: RuntimeFunction, topics: Topics) -> None:
        super().__init__(scope, id_)
        spec = AlarmSpec(
            runbook="release-failed",
            description="A release ended, but its outcome was neither recorded nor reported.",
            severity=Severity.WARNING,
            metric=control.function.metric_errors(period=cdk.Duration.minutes(15), statistic="Sum"),
            # Lambda tries an event three times.
            threshold=Threshold(value=2, unit="failed runs in 15 minutes", breaches=1, periods=1),
            missing=TreatMissing.NOT_BREACHING,
        )
        add_alarm(self, "Failed", topics=topics, spec=spec)
