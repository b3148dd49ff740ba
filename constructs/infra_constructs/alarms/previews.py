"""Alarms on previews that do not end, and on databases of previews that are not created or dropped."""

import aws_cdk as cdk
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarm
from infra_constructs.function import RuntimeFunction

_HOUR = cdk.Duration.hours(1)


class PreviewAlarms(Construct):
    """Warnings only: a preview that does not end costs money, and occupies a slot."""

    def __init__(
        self, scope: Construct, id_: str, *, control: RuntimeFunction, databases: RuntimeFunction, topics: Topics
    ) -> None:
        super().__init__(scope, id_)
        functions = {
            # It runs four times an hour, and Lambda tries each failed run three times.
            "Control": (control, 6, "Previews do not end on time: their tasks keep running, and slots stay taken."),
            "Databases": (
                databases,
                0,
                "A preview's database was not created or not dropped, or the template database is old.",
            ),
        }
        for name, (function, tolerated, description) in functions.items():
            spec = AlarmSpec(
                runbook="previews",
                description=description,
                severity=Severity.WARNING,
                metric=function.function.metric_errors(period=_HOUR, statistic="Sum"),
                threshold=Threshold(value=tolerated, unit="failed runs an hour", breaches=1, periods=1),
                missing=TreatMissing.NOT_BREACHING,
            )
            add_alarm(self, name, topics=topics, spec=spec)
