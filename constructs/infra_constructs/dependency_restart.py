"""Replaces the tasks of a service that has lost a dependency and does not reconnect."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarm
from infra_constructs.function import RuntimeFunction
from infra_constructs.metrics import own_metric
from infra_runtime.contract.metrics import CheckMetric, RedisMetric

_MINUTE = cdk.Duration.minutes(1)


class DependencyRestart(Construct):
    """An alarm about what the service says of itself (infra_runtime.checks), whose action is a deployment of the same
    image (infra_runtime.restart_disconnected)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        name: str,
        redis_instance: str,
        cluster: ecs.ICluster,
        service: ecs.IBaseService,
        minutes: int,
        topics: Topics,
    ) -> None:
        """`redis_instance` is the one that serves. While the probe cannot reach it either, new tasks would not help."""
        super().__init__(scope, id_)
        handler = RuntimeFunction(
            self,
            "Restart",
            module="restart_disconnected",
            description="Replaces the tasks of a service that has lost a dependency",
            timeout=cdk.Duration.seconds(30),
            environment={"CLUSTER": cluster.cluster_name, "ECS_SERVICE": service.service_name},
        )
        handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=["ecs:UpdateService", "ecs:ListServiceDeployments"], resources=[service.service_arn]
            )
        )
        alarm = add_alarm(
            self,
            "LostDependency",
            topics=topics,
            spec=AlarmSpec(
                runbook="service-lost-dependency",
                description=f"{name} reports that it has lost a dependency; its tasks are replaced.",
                severity=Severity.WARNING,
                metric=cloudwatch.MathExpression(
                    expression="IF(FILL(away, 1) == 0, lost, 0)",
                    using_metrics={
                        "away": own_metric(
                            environment,
                            RedisMetric.CONNECTION_FAILURE,
                            statistic="Maximum",
                            period=_MINUTE,
                            Instance=redis_instance,
                        ),
                        "lost": own_metric(
                            environment, CheckMetric.LOST, statistic="Maximum", period=_MINUTE, Check=name
                        ),
                    },
                    label="lost dependencies while Redis is there",
                    period=_MINUTE,
                ),
                # Each check reaches one task: half of the checks, so that one task of several is enough.
                threshold=Threshold(value=0, unit="lost dependencies", breaches=minutes, periods=2 * minutes),
                missing=TreatMissing.NOT_BREACHING,
            ),
        )
        alarm.add_alarm_action(actions.LambdaAction(handler.function))
