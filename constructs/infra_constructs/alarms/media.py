"""Alarms on the media bucket, by its request metrics."""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarms
from infra_constructs.media import REQUEST_METRICS
from infra_constructs.metrics import error_percentage

_PERIOD = cdk.Duration.minutes(5)
# With fewer requests in a period, a few misspelt names would be a high percentage.
_ENOUGH_REQUESTS = 50


def metric_of(
    bucket: str, name: str, period: cdk.Duration = _PERIOD, *, filter_id: str = REQUEST_METRICS
) -> cloudwatch.Metric:
    """Sum of a request metric of the bucket."""
    return cloudwatch.Metric(
        namespace="AWS/S3",
        metric_name=name,
        dimensions_map={"BucketName": bucket, "FilterId": filter_id},
        period=period,
        statistic="Sum",
    )


class MediaAlarms(Construct):
    """Alarms on S3's answers. Cloudflare still serves what it has in its cache."""

    def __init__(
        self, scope: Construct, id_: str, *, bucket: str, more: Mapping[str, AlarmSpec], topics: Topics
    ) -> None:
        super().__init__(scope, id_)
        specs = {
            **more,
            "ServerErrors": AlarmSpec(
                runbook="media-errors",
                description="S3 fails: users do not get media that is not in the cache.",
                severity=Severity.WARNING,
                metric=_share(bucket, "5xxErrors"),
                threshold=Threshold(value=5, unit="% of requests", breaches=3, periods=3),
                missing=TreatMissing.NOT_BREACHING,
            ),
            "Refused": AlarmSpec(
                runbook="media-errors",
                description="S3 refuses most requests for media: the bucket's policy does not admit Cloudflare.",
                severity=Severity.WARNING,
                metric=_share(bucket, "4xxErrors"),
                threshold=Threshold(value=50, unit="% of requests", breaches=3, periods=3),
                missing=TreatMissing.NOT_BREACHING,
            ),
        }
        self.alarms = add_alarms(self, specs, topics=topics)


def _share(bucket: str, name: str) -> cloudwatch.MathExpression:
    return error_percentage(
        metric_of(bucket, name),
        metric_of(bucket, "AllRequests"),
        enough=_ENOUGH_REQUESTS,
        label=f"{name}, % of requests",
        period=_PERIOD,
    )
