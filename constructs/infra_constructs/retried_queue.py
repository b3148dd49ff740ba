"""A queue with retries, and a queue for messages that have failed too often."""

from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, TreatMissing


@dataclass(frozen=True)
class RetriedQueue:
    waiting: sqs.Queue
    failed: sqs.Queue
    """Keeps messages for 14 days."""

    @classmethod
    def of(cls, scope: Construct, *, visibility_timeout: cdk.Duration, attempts: int) -> "RetriedQueue":
        """Both queues, as `Waiting` and `Failed` of `scope`. `visibility_timeout` exceeds the consumer's time-out."""
        failed = _queue(scope, "Failed", retention_period=cdk.Duration.days(14))
        dead_letters = sqs.DeadLetterQueue(queue=failed, max_receive_count=attempts)
        return cls(
            _queue(scope, "Waiting", visibility_timeout=visibility_timeout, dead_letter_queue=dead_letters), failed
        )

    def alarm_on_failed(self, description: str, *, runbook: str, unit: str) -> AlarmSpec:
        """An alarm for messages that have failed too often; `unit` is what each is about."""
        return AlarmSpec(
            runbook=runbook,
            description=description,
            severity=Severity.WARNING,
            metric=self.failed.metric_approximate_number_of_messages_visible(
                period=cdk.Duration.minutes(5), statistic="Maximum"
            ),
            threshold=Threshold(value=0, unit=unit, breaches=1, periods=1),
            missing=TreatMissing.NOT_BREACHING,
        )


def _queue(scope: Construct, id_: str, **options: Any) -> sqs.Queue:
    return sqs.Queue(scope, id_, encryption=sqs.QueueEncryption.SQS_MANAGED, enforce_ssl=True, **options)
