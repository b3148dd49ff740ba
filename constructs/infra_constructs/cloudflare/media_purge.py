"""Purges objects from Cloudflare's cache when they are deleted from the media bucket or replaced."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda_event_sources as sources
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, TreatMissing
from infra_constructs.cloudflare.provider import CloudflareToken
from infra_constructs.function import RuntimeFunction
from infra_constructs.retried_queue import RetriedQueue

_TIMEOUT = cdk.Duration.minutes(1)
# AWS Lambda developer guide, "Using Lambda with Amazon SQS": six times the function's timeout.
_VISIBILITY_TIMEOUT = cdk.Duration.minutes(6)
# Ten hours of retries, six minutes apart: time to replace a token that expired at night.
_ATTEMPTS = 100
_PERIOD = cdk.Duration.minutes(5)


class MediaPurge(Construct):
    """Passes the bucket's events through EventBridge and a queue to `infra_runtime.media_purge`.

    What fails for ten hours is kept for two weeks.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        token: CloudflareToken,
        zone: str,
        host: str,
        bucket: str,
        spared: str | None,
    ) -> None:
        """`spared` is the prefix of objects that never change."""
        super().__init__(scope, id_)
        self._queue = RetriedQueue.of(self, visibility_timeout=_VISIBILITY_TIMEOUT, attempts=_ATTEMPTS)
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="media_purge",
            description="Purges deleted and replaced media from Cloudflare's cache",
            timeout=_TIMEOUT,
            environment={"TOKEN_SECRET": token.name, "ZONE": zone, "HOST": host},
            uses_libraries=True,
        )
        token.grant_read(self.handler)
        # Two functions at once, as Cloudflare counts the requests of the token together.
        self.handler.function.add_event_source(
            sources.SqsEventSource(
                self._queue.waiting, batch_size=100, max_batching_window=cdk.Duration.seconds(2), max_concurrency=2
            )
        )
        events.Rule(
            self,
            "Changed",
            description="Media that was deleted or replaced",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created", "Object Deleted"],
                detail={
                    "bucket": {"name": [bucket]},
                    # Only noncurrent versions expire, and Cloudflare no longer serves those.
                    "reason": [{"anything-but": ["Lifecycle Expiration"]}],
                    **({"object": {"key": [{"anything-but": {"prefix": spared}}]}} if spared else {}),
                },
            ),
            targets=[targets.SqsQueue(self._queue.waiting)],
        )

    def failures(self) -> dict[str, AlarmSpec]:
        """Alarms for late purges and for failed ones."""
        return {
            "PurgeLate": AlarmSpec(
                runbook="media-purge",
                description="Media that was deleted or replaced minutes ago is still in Cloudflare's cache.",
                severity=Severity.WARNING,
                metric=cloudwatch.MathExpression(
                    expression="age / 60",
                    using_metrics={
                        "age": self._queue.waiting.metric_approximate_age_of_oldest_message(
                            period=_PERIOD, statistic="Maximum"
                        )
                    },
                    label="Age of the oldest change, minutes",
                    period=_PERIOD,
                ),
                threshold=Threshold(value=10, unit="minutes", breaches=2, periods=2),
                missing=TreatMissing.NOT_BREACHING,
            ),
            "PurgeGivenUp": self._queue.alarm_on_failed(
                "A purge failed: Cloudflare keeps serving deleted or replaced media. Purge it by hand.",
                runbook="media-purge",
                unit="objects",
            ),
        }
