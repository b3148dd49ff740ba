"""New tasks for a service when a secret that they read at start has been rotated."""

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.alarms import AlarmSpec, Missing, Severity, Threshold, Topics, add_alarm
from infra_constructs.function import RuntimeFunction


class RestartOnRotation(Construct):
    """What old tasks have read stays valid until the next rotation: nothing fails meanwhile (docs/adr/0013)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
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
            description="Starts the service's tasks anew after a rotation",
            timeout=cdk.Duration.seconds(30),
            environment={"CLUSTER": cluster.cluster_name, "SERVICE": service.service_name},
        )
        handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=["ecs:UpdateService", "ecs:ListServiceDeployments"], resources=[service.service_arn]
            )
        )
        events.Rule(
            self,
            "Rotated",
            description="Secrets Manager has rotated the login of the database",
            event_pattern=events.EventPattern(
                source=["aws.secretsmanager"],
                detail={
                    "eventName": ["RotationSucceeded"],
                    "additionalEventData": {"SecretId": [secret.secret_arn]},
                },
            ),
            targets=[targets.LambdaFunction(handler.function)],
        )
        add_alarm(
            self,
            "Failed",
            topics=topics,
            spec=AlarmSpec(
                runbook="rotation-restart",
                means="The database's login was rotated and the tasks still use the one before, for a month at most.",
                severity=Severity.WARNING,
                metric=handler.function.metric_errors(period=cdk.Duration.minutes(5), statistic="Sum"),
                threshold=Threshold(value=0, unit="failed attempts", breaches=1, periods=1),
                missing=Missing.IS_GOOD,
            ),
        )
