"""Alarms on the functions that maintain the edge, and on drift of the zone."""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarm
from infra_constructs.alarms.functions import FunctionAlarms
from infra_constructs.metrics import own_metric
from infra_runtime.contract.metrics import EdgeMetric
from infra_runtime.contract.names import words

_DESCRIPTIONS = {
    "edge-ranges": "The list of Cloudflare's addresses is not updated; new addresses would be refused.",
    "edge-media-access": "The media bucket's policy is not updated; Cloudflare's new addresses would get no media.",
    "edge-origin-lock": "Cloudflare's client certificate is not renewed; in some months the site would be cut off.",
    "edge-user-agent": "The media bucket's secret was not rotated; the old one stays in use.",
    "edge-drift": "The drift check fails: it is unknown whether the Cloudflare zone is as declared.",
}
# Lambda tries a scheduled run three times; Secrets Manager's calls of a rotation are not retried.
_TOLERATED = {"edge-user-agent": 0}


class RotationAlarms(Construct):
    """Alarms on the function that rotates Cloudflare's credentials for the media bucket, in that function's stack.
    Another `media.origin` has another function: a later stack that imported it would keep the edge's from changing.
    """

    def __init__(self, scope: Construct, id_: str, *, rotation: lambda_.Function, topics: Topics) -> None:
        super().__init__(scope, id_)
        _add_failures(self, {"edge-user-agent": rotation}, topics)
        FunctionAlarms(self, "Runs", functions=[rotation], topics=topics)


class EdgeAlarms(Construct):
    """`functions` by the runbook for their failure."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        functions: Mapping[str, lambda_.IFunction],
        topics: Topics,
    ) -> None:
        super().__init__(scope, id_)
        _add_failures(self, functions, topics)

        def published(name: EdgeMetric, hours: int, statistic: str = "Maximum") -> cloudwatch.Metric:
            return own_metric(environment, name, statistic=statistic, period=cdk.Duration.hours(hours))

        changes = {
            "Drifted": (
                EdgeMetric.DRIFTED_RULES,
                "The Cloudflare zone is not as declared: an object was changed by hand.",
            ),
            "Missing": (EdgeMetric.MISSING_RULES, "A declared object is missing at Cloudflare."),
        }
        for id_of_alarm, (metric, description) in changes.items():
            spec = AlarmSpec(
                runbook="edge-drift",
                description=description,
                severity=Severity.WARNING,
                metric=published(metric, 6),
                threshold=Threshold(value=0, unit="objects", breaches=1, periods=1),
                missing=TreatMissing.IGNORE,
            )
            add_alarm(self, id_of_alarm, topics=topics, spec=spec)
        spec = AlarmSpec(
            runbook="edge-client-certificate",
            description="Cloudflare's client certificate was not renewed; once expired, it protects the origin less.",
            severity=Severity.WARNING,
            metric=published(EdgeMetric.CLIENT_CERTIFICATE_LEFT, 24, "Minimum"),
            threshold=Threshold(value=90, unit="days", breaches=1, periods=1, below=True),
            # The function that renews it has an alarm of its own.
            missing=TreatMissing.IGNORE,
        )
        add_alarm(self, "ClientCertificate", topics=topics, spec=spec)
        spec = AlarmSpec(
            runbook="edge-ranges-changed",
            description="Cloudflare has new address ranges; the load balancer admits them.",
            severity=Severity.INFO,
            metric=published(EdgeMetric.RANGES_ADDED, 1),
            threshold=Threshold(value=0, unit="ranges", breaches=1, periods=1),
            missing=TreatMissing.NOT_BREACHING,
        )
        add_alarm(self, "RangesChanged", topics=topics, spec=spec)


def _add_failures(scope: Construct, functions: Mapping[str, lambda_.IFunction], topics: Topics) -> None:
    for runbook, function in functions.items():
        spec = AlarmSpec(
            runbook=runbook,
            description=_DESCRIPTIONS[runbook],
            severity=Severity.WARNING,
            metric=function.metric_errors(period=cdk.Duration.hours(1), statistic="Sum"),
            threshold=Threshold(value=_TOLERATED.get(runbook, 2), unit="failed runs an hour", breaches=1, periods=1),
            missing=TreatMissing.NOT_BREACHING,
        )
        add_alarm(scope, words(runbook), topics=topics, spec=spec)
