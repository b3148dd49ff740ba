"""Events that AWS sends once, forwarded as notifications with a runbook, in the form of an alarm."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra_constructs.alarms.alarm import (
    AlarmSpec,
    Severity,
    Threshold,
    Topics,
    TreatMissing,
    add_alarm,
    runbook_at,
)
from infra_constructs.arns import arn_of
from infra_runtime.contract.notification import custom

_ROLLED_BACK = ("UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED")
# Stop codes of tasks that neither a deployment nor scaling has stopped. `UserInitiated` is a person, or a game day.
_CRASHES = ("EssentialContainerExited", "TaskFailedToStart", "UserInitiated")
# ECS stops unhealthy tasks under a stop code of its own (Amazon ECS Developer Guide, "Stopped tasks error messages").
_UNHEALTHY = "Task failed "


class DatabaseEvents(Construct):
    """Notifies of failovers and failures: a failover takes a minute or two, and no metric shows it."""

    def __init__(self, scope: Construct, id_: str, *, database: rds.IDatabaseInstance, topics: Topics) -> None:
        super().__init__(scope, id_)
        _forward(
            self,
            "Failover",
            title="Database failover or failure",
            description="For a minute or two nothing could be read or written.",
            runbook="database-failover",
            pattern={
                "source": ["aws.rds"],
                "detail-type": ["RDS DB Instance Event"],
                "detail": {
                    # Not SourceIdentifier: RDS documents it with the prefix `rds:`, users report it without.
                    "SourceArn": [database.instance_arn],
                    "EventCategories": ["failover", "failure"],
                },
            },
            quote="$.detail.Message",
            topics=topics,
        )


class DeploymentEvents(Construct):
    """Notifies of failed deployments of the environment's stacks, which include releases."""

    def __init__(self, scope: Construct, id_: str, *, stacks: str, topics: Topics) -> None:
        """`stacks` is the prefix of their names."""
        super().__init__(scope, id_)
        _forward(
            self,
            "WentBack",
            title="Deployment rolled back",
            description="A release or a deployment failed; the previous version keeps running.",
            runbook="release-failed",
            pattern={
                "source": ["aws.cloudformation"],
                "detail-type": ["CloudFormation Stack Status Change"],
                "detail": {
                    "stack-id": [{"prefix": arn_of(self, "cloudformation", f"stack/{stacks}")}],
                    "status-details": {"status": list(_ROLLED_BACK)},
                },
            },
            quote="$.detail.stack-id",
            topics=topics,
        )


class ScanEvents(Construct):
    """Notifies when GuardDuty stops scanning uploads: no scan, no result, and each upload stays in quarantine.

    GuardDuty guide, "Monitoring S3 object scans with Amazon EventBridge", "Malware Protection plan resource status".
    """

    def __init__(self, scope: Construct, id_: str, *, bucket: str, topics: Topics) -> None:
        super().__init__(scope, id_)
        kind = "GuardDuty Malware Protection Resource Status"
        _forward(
            self,
            "Stopped",
            title="Uploads may not be scanned",
            description="GuardDuty's plan for uploads is not active; those that it does not scan stay in quarantine.",
            runbook="media-quarantine",
            pattern={
                "source": ["aws.guardduty"],
                "detail-type": [f"{kind} Warning", f"{kind} Error"],
                "detail": {"s3BucketDetails": {"bucketName": [bucket]}},
            },
            # Not the reasons: a list has quotation marks, which would break the message.
            quote="$.detail.resourceStatus",
            topics=topics,
        )


class SiteBuildEvents(Construct):
    """Notifies of failed builds of a site on Amplify (user guide, "Custom build notifications")."""

    def __init__(self, scope: Construct, id_: str, *, app_id: str, topics: Topics) -> None:
        super().__init__(scope, id_)
        _forward(
            self,
            "Failed",
            title="Amplify could not build the site",
            description="Users still get the previous build.",
            runbook="release-failed",
            pattern={
                "source": ["aws.amplify"],
                "detail-type": ["Amplify Deployment Status Change"],
                "detail": {"appId": [app_id], "jobStatus": ["FAILED"]},
            },
            quote="$.detail.jobId",
            topics=topics,
        )


class CrashedTasks(Construct):
    """Logs why tasks stopped, which ECS forgets within the hour, and notifies of crash loops."""

    def __init__(self, scope: Construct, id_: str, *, cluster: ecs.ICluster, topics: Topics) -> None:
        super().__init__(scope, id_)
        stack = cdk.Stack.of(self)
        self.log = logs.LogGroup(
            self,
            "Log",
            # EventBridge writes into groups of this name only.
            log_group_name=f"/aws/events/{stack.stack_name}-crashed-tasks",
            retention=logs.RetentionDays.THREE_MONTHS,
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
        arn = arn_of(self, "logs", f"log-group:/aws/events/{stack.stack_name}-crashed-tasks")
        self.log.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[
                    iam.ServicePrincipal("events.amazonaws.com"),
                    iam.ServicePrincipal("delivery.logs.amazonaws.com"),
                ],
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[f"{arn}:*"],
            )
        )
        rule = events.CfnRule(
            self,
            "Rule",
            description="A task of a service exited, was unhealthy, or was stopped by hand",
            event_pattern={
                "source": ["aws.ecs"],
                "detail-type": ["ECS Task State Change"],
                "detail": {
                    "clusterArn": [cluster.cluster_arn],
                    "lastStatus": ["STOPPED"],
                    "$or": [{"stopCode": list(_CRASHES)}, {"stoppedReason": [{"prefix": _UNHEALTHY}]}],
                    # Not migrations and one-off commands: they end by themselves.
                    "group": [{"prefix": "service:"}],
                },
            },
            # An L1: the L2's target adds a Lambda function of CDK for the log's policy.
            targets=[events.CfnRule.TargetProperty(id="Log", arn=arn)],
        )
        rule.node.add_dependency(self.log)
        spec = AlarmSpec(
            runbook="service-crash-loop",
            description="Tasks of a service crash again and again; ECS starts new ones, ever more slowly.",
            severity=Severity.WARNING,
            metric=cloudwatch.Metric(
                namespace="AWS/Events",
                metric_name="MatchedEvents",
                dimensions_map={"RuleName": rule.ref},
                period=cdk.Duration.minutes(5),
                statistic="Sum",
            ),
            # A crash loop goes on; a burst, as when AWS loses a host, does not.
            threshold=Threshold(value=0, unit="crashes in 5 minutes", breaches=3, periods=6),
            missing=TreatMissing.NOT_BREACHING,
        )
        self.alarms: Sequence[cloudwatch.Alarm] = [add_alarm(self, "Loop", topics=topics, spec=spec)]


def _forward(
    scope: Construct,
    id_: str,
    *,
    title: str,
    description: str,
    runbook: str,
    pattern: Mapping[str, Any],
    quote: str,
    topics: Topics,
) -> None:
    """`quote` is the JSON path of the event's part that the notification quotes."""
    severity = Severity.WARNING
    message = custom(
        f"{severity.upper()}: {title}", f"{description} <quote>", next_steps=[f"Runbook: {runbook_at(scope, runbook)}"]
    )
    # An L1: the L2's target opens the topic and its key to EventBridge of every account.
    transformer = events.CfnRule.InputTransformerProperty(
        input_paths_map={"quote": quote}, input_template=json.dumps(message)
    )
    target = events.CfnRule.TargetProperty(id="Topic", arn=topics[severity].topic_arn, input_transformer=transformer)
    rule = events.CfnRule(
        scope,
        id_,
        # At most 512 characters (EventBridge API Reference, PutRule): without the address.
        description=f"{severity.upper()}: {title}. {description} Runbook: docs/runbooks/{runbook}.md",
        event_pattern=pattern,
        targets=[target],
    )
    # EventBridge does not report that a topic refused its message; this metric does.
    spec = AlarmSpec(
        runbook="notification-failed",
        description=f"A notification was lost: {title.lower()}.",
        severity=severity,
        metric=cloudwatch.Metric(
            namespace="AWS/Events",
            metric_name="FailedInvocations",
            dimensions_map={"RuleName": rule.ref},
            period=cdk.Duration.minutes(5),
            statistic="Sum",
        ),
        threshold=Threshold(value=0, unit="lost messages in 5 minutes", breaches=1, periods=1),
        missing=TreatMissing.NOT_BREACHING,
    )
    add_alarm(scope, f"{id_}NotSent", topics=topics, spec=spec)
