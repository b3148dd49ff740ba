"""Replaces a service's tasks when a secret has changed that they read at start."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarm
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.metrics import own_metric
from infra_constructs.service_secrets import allow_describing, identities
from infra_runtime.contract.metrics import SecretMetric

_EVERY = cdk.Duration.minutes(15)
# Longer than the longest release and its bake, and than the pause after a deployment that was rolled back.
_BEHIND_HOURS = 12


class RestartOnSecretChange(Construct):
    """Covers every secret that the tasks read: database logins, the URL of Redis, and stored ones (docs/adr/0006).

    Old tasks go on with what they have read. A login stays valid until its next rotation (docs/adr/0013).
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        name: str,
        secrets: Sequence[secretsmanager.ISecret],
        cluster: ecs.ICluster,
        service: ecs.IBaseService,
        topics: Topics,
    ) -> None:
        super().__init__(scope, id_)
        handler = RuntimeFunction(
            self,
            "Handler",
            module="restart_service",
            description=f"Replaces tasks of {name} that are older than a secret they read",
            timeout=cdk.Duration.seconds(30),
            environment={
                "ENVIRONMENT": environment,
                "CLUSTER": cluster.cluster_name,
                "SERVICE": name,
                "ECS_SERVICE": service.service_name,
                "SECRETS": cdk.Stack.of(self).to_json_string(identities(secrets)),
            },
        )
        allow_describing(handler, secrets)
        self._grant(handler, cluster, service)
        # Secrets Manager's own event. Those "via CloudTrail" arrive only where a trail logs, and no stack makes one.
        events.Rule(
            self,
            "Changed",
            description="A secret has a new current version",
            event_pattern=events.EventPattern(
                source=["aws.secretsmanager"],
                detail_type=["Secret Label Updated"],
                # Of every secret in the account: the function knows its own, and a pattern has 2048 characters at most.
                detail={"labelUpdated": ["AWSCURRENT"]},
            ),
            targets=[targets.LambdaFunction(handler.function)],
        )
        handler.run_every(_EVERY, self, "Schedule", description="Finds tasks that are older than their secrets")
        add_alarm(
            self,
            "Behind",
            topics=topics,
            spec=AlarmSpec(
                runbook="secret-restart",
                description=(
                    "Tasks still use the old value of a secret; an old login stops working at the next rotation."
                ),
                severity=Severity.WARNING,
                metric=own_metric(
                    environment,
                    SecretMetric.TASKS_BEHIND,
                    statistic="Maximum",
                    period=cdk.Duration.hours(1),
                    Service=name,
                ),
                threshold=Threshold(value=_BEHIND_HOURS, unit="hours", breaches=2, periods=2),
                # The function that replaces the tasks is the one that publishes it.
                missing=TreatMissing.BREACHING,
            ),
        )

    @staticmethod
    def _grant(handler: RuntimeFunction, cluster: ecs.ICluster, service: ecs.IBaseService) -> None:
        of_cluster = {"ArnEquals": {"ecs:cluster": cluster.cluster_arn}}
        for statement in (
            iam.PolicyStatement(
                actions=["ecs:UpdateService", "ecs:ListServiceDeployments"], resources=[service.service_arn]
            ),
            iam.PolicyStatement(actions=["ecs:ListTasks", "ecs:DescribeTasks"], resources=["*"], conditions=of_cluster),
        ):
            handler.role.add_to_policy(statement)
        acknowledge(handler.policy, allows_on("*"), reason="Tasks come and go; the condition names their one cluster.")
