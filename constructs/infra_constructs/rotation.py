"""New tasks for a service when the login that they read at start has been rotated."""

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.alarms import AlarmSpec, Missing, Severity, Threshold, Topics, add_alarm
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.metrics import own_metric
from infra_runtime.metrics import Database

_EVERY = cdk.Duration.minutes(15)
# Longer than the longest release and its bake, and than the pause after a deployment that was rolled back.
_BEHIND_HOURS = 12


class RestartOnRotation(Construct):
    """The login that old tasks use stays valid until the next rotation: nothing fails meanwhile (docs/adr/0013)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        secret: secretsmanager.ISecret,
        cluster: ecs.ICluster,
        service: ecs.IBaseService,
        topics: Topics,
    ) -> None:
        super().__init__(scope, id_)
        handler = RuntimeFunction(
            self,
            "Handler",
            module="restart_service",
            description="Replaces the service's tasks when they are older than their login",
            timeout=cdk.Duration.seconds(30),
            environment={
                "ENVIRONMENT": environment,
                "CLUSTER": cluster.cluster_name,
                "SERVICE": service.service_name,
                "LOGIN": secret.secret_arn,
            },
        )
        self._grant(handler, secret, cluster, service)
        # Secrets Manager's own event. Those "via CloudTrail" arrive only where a trail logs, and no stack makes one.
        events.Rule(
            self,
            "Rotated",
            description="The login of the database has a new current version",
            event_pattern=events.EventPattern(
                source=["aws.secretsmanager"],
                detail_type=["Secret Label Updated"],
                resources=[secret.secret_arn],
                detail={"labelUpdated": ["AWSCURRENT"]},
            ),
            targets=[targets.LambdaFunction(handler.function)],
        )
        handler.run_every(_EVERY, self, "Schedule", description="Looks for tasks that are older than their login")
        add_alarm(
            self,
            "Behind",
            topics=topics,
            spec=AlarmSpec(
                runbook="rotation-restart",
                means="Tasks still use the database login from before its rotation; it ends at the next rotation.",
                severity=Severity.WARNING,
                metric=own_metric(
                    environment, Database.LOGIN_BEHIND, statistic="Maximum", period=cdk.Duration.hours(1)
                ),
                threshold=Threshold(value=_BEHIND_HOURS, unit="hours", breaches=2, periods=2),
                # The function that replaces the tasks is the one that publishes it.
                missing=Missing.IS_BAD,
            ),
        )

    @staticmethod
    def _grant(
        handler: RuntimeFunction, secret: secretsmanager.ISecret, cluster: ecs.ICluster, service: ecs.IBaseService
    ) -> None:
        of_cluster = {"ArnEquals": {"ecs:cluster": cluster.cluster_arn}}
        for statement in (
            iam.PolicyStatement(
                actions=["ecs:UpdateService", "ecs:ListServiceDeployments"], resources=[service.service_arn]
            ),
            iam.PolicyStatement(actions=["secretsmanager:DescribeSecret"], resources=[secret.secret_arn]),
            iam.PolicyStatement(actions=["ecs:ListTasks", "ecs:DescribeTasks"], resources=["*"], conditions=of_cluster),
        ):
            handler.role.add_to_policy(statement)
        acknowledge(handler.policy, allows_on("*"), reason="Tasks come and go; the condition names their one cluster.")
