"""Alarms of one job: it failed, or it has not succeeded for too long."""

import aws_cdk as cdk
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarms
from infra_constructs.metrics import own_metric
from infra_runtime.contract.metrics import JobMetric


class JobAlarms(Construct):
    """A job counts as failed when its last retry has failed."""

    def __init__(self, scope: Construct, id_: str, *, environment: str, job: str, topics: Topics) -> None:
        super().__init__(scope, id_)
        add_alarms(
            self,
            {
                "Failed": AlarmSpec(
                    runbook="job-failed",
                    description=f"The job {job} has failed, and so have its retries, if it has any.",
                    severity=Severity.WARNING,
                    metric=own_metric(
                        environment, JobMetric.FAILED, statistic="Sum", period=cdk.Duration.minutes(5), Job=job
                    ),
                    threshold=Threshold(value=0, unit="failed runs in 5 minutes", breaches=1, periods=1),
                    missing=TreatMissing.NOT_BREACHING,
                ),
                "Overdue": AlarmSpec(
                    runbook="job-overdue",
                    description=(
                        f"The job {job} has not succeeded for too long: it failed, was skipped, or did not start."
                    ),
                    severity=Severity.WARNING,
                    metric=own_metric(
                        environment, JobMetric.OVERDUE, statistic="Maximum", period=cdk.Duration.minutes(15), Job=job
                    ),
                    threshold=Threshold(value=1, unit="minutes overdue", breaches=2, periods=2),
                    # The function that runs jobs publishes the metric.
                    missing=TreatMissing.BREACHING,
                ),
            },
            topics=topics,
        )
