"""Uploads wait below an unreadable prefix until a GuardDuty scan finds no threat."""

import json
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_guardduty as guardduty
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, TreatMissing
from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.metrics import own_metric
from infra_constructs.retried_queue import RetriedQueue
from infra_runtime.contract.metrics import MediaMetric

ID = "MediaQuarantine"
_PERIOD = cdk.Duration.minutes(5)
# As in media_purge.py; a tag may come up to half an hour after its event.
_VISIBILITY_TIMEOUT, _ATTEMPTS = cdk.Duration.minutes(6), 5


def variables(prefix: str | None, *, account: str, stack: str) -> dict[str, str]:
    """Input of every function that writes the bucket's policy (infra_runtime.media_access.Quarantine).

    Roles are matched by the names that CloudFormation gives them: an export could never be removed.
    """
    if prefix is None:
        return {}
    return {"QUARANTINE": json.dumps({"prefix": prefix, "roles": f"arn:aws:iam::{account}:role/{stack}-{ID}*"})}


class MediaQuarantine(Construct):
    """GuardDuty's plan for the prefix, and `infra_runtime.media_quarantine`, which moves clean uploads.

    Its id must be `ID`: the names of its roles begin with it.
    """

    def __init__(self, scope: Construct, id_: str, *, bucket: s3.IBucket, prefix: str, environment: str) -> None:
        super().__init__(scope, id_)
        self._environment = environment
        self.plan = self._scan(bucket, prefix)
        """Scans begin with it."""
        self._queue = RetriedQueue.of(self, visibility_timeout=_VISIBILITY_TIMEOUT, attempts=_ATTEMPTS)
        self.handler = RuntimeFunction(
            self,
            "Mover",
            module="media_quarantine",
            description="Moves uploads in which GuardDuty has found no threat",
            timeout=cdk.Duration.minutes(1),
            environment={"PREFIX": prefix, "ENVIRONMENT": environment},
            uses_libraries=True,
        )
        self.handler.function.add_event_source(sources.SqsEventSource(self._queue.waiting, batch_size=10))
        everything, quarantined = bucket.arn_for_objects("*"), bucket.arn_for_objects(f"{prefix}*")
        self._allow(self.handler.role, ["s3:PutObject"], everything)
        reads = ["s3:GetObjectVersion", "s3:GetObjectVersionTagging", "s3:DeleteObjectVersion"]
        self._allow(self.handler.role, reads, quarantined)
        for each in (everything, quarantined):
            acknowledge(
                self.handler.policy,
                allows_on(cdk.Stack.of(self).resolve(each)),
                reason="An upload may have any name; it is moved within this one bucket.",
            )
        scanned = events.Rule(
            self,
            "Scanned",
            description="Uploads that GuardDuty has scanned, or could not scan",
            event_pattern=events.EventPattern(
                source=["aws.guardduty"],
                detail_type=["GuardDuty Malware Protection Object Scan Result"],
                detail={"s3ObjectDetails": {"bucketName": [bucket.bucket_name], "objectKey": [{"prefix": prefix}]}},
            ),
            targets=[targets.SqsQueue(self._queue.waiting)],
        )
        # A result that comes before them is lost. And they take the minute in which GuardDuty refuses a new role: the
        # sample of AWS waits as long (aws-samples/guardduty-malware-protection, cdk).
        self.plan.node.add_dependency(scanned, self.handler)

    def _scan(self, bucket: s3.IBucket, prefix: str) -> guardduty.CfnMalwareProtectionPlan:
        """Adds the plan, with the permissions of the GuardDuty guide ("Create or update IAM role policy"), and with
        `s3:GetBucketLocation`, which the sample of AWS has.
        """
        stack = cdk.Stack.of(self)
        role = iam.Role(
            self, "Scanner", assumed_by=iam.ServicePrincipal("malware-protection-plan.guardduty.amazonaws.com")
        )
        rules = arn_of(self, "events", "rule/DO-NOT-DELETE-AmazonGuardDutyMalwareProtectionS3*")
        manages = ["events:PutRule", "events:DeleteRule", "events:PutTargets", "events:RemoveTargets"]
        of_guardduty = {"StringLike": {"events:ManagedBy": "malware-protection-plan.guardduty.amazonaws.com"}}
        self._allow(role, manages, rules, conditions=of_guardduty)
        self._allow(role, ["events:DescribeRule", "events:ListTargetsByRule"], rules)
        on_bucket = ["s3:ListBucket", "s3:GetBucketLocation", "s3:GetBucketNotification", "s3:PutBucketNotification"]
        self._allow(role, on_bucket, bucket.bucket_arn)
        self._allow(role, ["s3:PutObject"], bucket.arn_for_objects("malware-protection-resource-validation-object"))
        tags = [f"s3:{verb}Object{kind}Tagging" for verb in ("Get", "Put") for kind in ("", "Version")]
        quarantined = bucket.arn_for_objects(f"{prefix}*")
        self._allow(role, ["s3:GetObject", "s3:GetObjectVersion", *tags], quarantined)
        policy = role.node.find_child("DefaultPolicy")
        assert isinstance(policy, iam.Policy)
        for each in (rules, quarantined):
            acknowledge(
                policy, allows_on(stack.resolve(each)), reason="GuardDuty names its rule; it scans what is uploaded."
            )
        plan = guardduty.CfnMalwareProtectionPlan(
            self,
            "Plan",
            role=role.role_arn,
            protected_resource=guardduty.CfnMalwareProtectionPlan.CFNProtectedResourceProperty(
                s3_bucket=guardduty.CfnMalwareProtectionPlan.S3BucketProperty(
                    bucket_name=bucket.bucket_name, object_prefixes=[prefix]
                )
            ),
            actions=guardduty.CfnMalwareProtectionPlan.CFNActionsProperty(
                tagging=guardduty.CfnMalwareProtectionPlan.CFNTaggingProperty(status="ENABLED")
            ),
        )
        plan.node.add_dependency(policy)
        return plan

    @staticmethod
    def _allow(role: iam.IRole, actions: list[str], resource: str, **more: Any) -> None:
        iam.Grant.add_to_principal(grantee=role, actions=actions, resource_arns=[resource], **more).assert_success()

    def failures(self) -> dict[str, AlarmSpec]:
        """Alarms for threats, for failed scans, and for clean uploads that were not moved."""
        return {
            "UploadWithThreat": AlarmSpec(
                runbook="media-quarantine",
                description=("GuardDuty found malware in an upload, which stays in quarantine and cannot be read."),
                severity=Severity.WARNING,
                metric=self._metric(MediaMetric.THREATS),
                threshold=Threshold(value=0, unit="uploads", breaches=1, periods=1),
                missing=TreatMissing.NOT_BREACHING,
            ),
            "UploadNotScanned": AlarmSpec(
                runbook="media-quarantine",
                description="GuardDuty could not scan an upload, which stays in quarantine.",
                severity=Severity.WARNING,
                metric=self._metric(MediaMetric.UNSCANNED),
                threshold=Threshold(value=0, unit="uploads", breaches=1, periods=1),
                missing=TreatMissing.NOT_BREACHING,
            ),
            "UploadNotMoved": self._queue.alarm_on_failed(
                "An upload without a threat is still in quarantine.", runbook="media-quarantine", unit="uploads"
            ),
        }

    def _metric(self, name: MediaMetric) -> cloudwatch.Metric:
        return own_metric(self._environment, name, statistic="Sum", period=_PERIOD)
