"""The function that begins a service's releases and records how they end."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction, bootstrap_version_arn
from infra_constructs.release.image import READS_IMAGE, Architecture
from infra_constructs.release.ledger import ReleaseLedger
from infra_constructs.service_secrets import allow_describing, identities
from infra_runtime.contract.releases import PLATFORMS, STACK_ENDS, database_log_group


@dataclass(frozen=True, kw_only=True)
class Released:
    """The service whose releases are controlled."""

    name: str
    stack: str
    """Name of its stack."""
    parameter: str
    repository: ecr.IRepository
    architecture: Architecture
    services: Sequence[ecs.IBaseService]
    """All that run its image."""
    database: rds.IDatabaseInstance | None
    """What its migrations change."""
    secrets: Sequence[secretsmanager.ISecret]
    """Those that people have stored and tasks of its image read."""


@dataclass(frozen=True, kw_only=True)
class SentryProps:
    """Sentry's organization and project for a service's releases."""

    organization: str
    project: str
    environment: str
    token_secret: str
    """Name of the secret with the token."""
    named_by: Literal["digest", "tag"]
    """What Sentry's release is named after: "tag" where the build has put the release's name into the image."""


class ReleaseControl(Construct):
    """Its callers can release this one service, and nothing else (infra_runtime.release.control)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        released: Released,
        ledger: ReleaseLedger,
        sentry: SentryProps | None,
    ) -> None:
        super().__init__(scope, id_)
        self.parameter_arn = arn_of(self, "ssm", f"parameter{released.parameter}")
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="release.control",
            description=f"Begins releases of {released.name}, and records how they end",
            timeout=cdk.Duration.minutes(1),
            environment={
                "ENVIRONMENT": environment,
                "SERVICE": released.name,
                "STACK": released.stack,
                "PARAMETER": released.parameter,
                "REPOSITORY": released.repository.repository_uri,
                "PLATFORM": PLATFORMS[released.architecture],
                "LEDGER": ledger.table.table_name,
                "SECRETS": json.dumps(identities(released.secrets)),
                **(
                    {
                        "DATABASE": released.database.instance_identifier,
                        "DATABASE_LOG": database_log_group(released.database.instance_identifier),
                    }
                    if released.database
                    else {}
                ),
                **({"SENTRY": json.dumps(asdict(sentry))} if sentry else {}),
            },
            uses_libraries=True,
        )
        if sentry is not None:
            secretsmanager.Secret.from_secret_name_v2(self, "SentryToken", sentry.token_secret).grant_read(
                self.handler.role
            )
        allow_describing(self.handler, released.secrets)
        ledger.grant_writing(self.handler)
        self._grant(released)
        self._grant_reads()
        self._grant_going_back(released)
        events.Rule(
            self,
            "Ended",
            description="An update of the service's stack has ended",
            event_pattern=events.EventPattern(
                source=["aws.cloudformation"],
                detail_type=["CloudFormation Stack Status Change"],
                detail={
                    "stack-id": [{"prefix": self._stack_arn(released.stack)}],
                    "status-details": {"status": list(STACK_ENDS)},
                },
            ),
            targets=[targets.LambdaFunction(self.handler.function)],
        )

    def _stack_arn(self, name: str) -> str:
        return arn_of(self, "cloudformation", f"stack/{name}/")

    def _grant(self, released: Released) -> None:
        of_stack = f"{self._stack_arn(released.stack)}*"
        # Its template stays: the function gives none, and the stack's own role does the work.
        self._allow(
            "cloudformation:DescribeStackEvents",
            "cloudformation:DescribeStacks",
            "cloudformation:ListStackResources",
            "cloudformation:GetTemplate",
            "cloudformation:UpdateStack",
            on=of_stack,
        )
        acknowledge(self.handler.policy, allows_on(of_stack), reason="CloudFormation ends a stack's ARN with an id.")
        self._allow("ssm:GetParameter", "ssm:GetParameters", "ssm:PutParameter", on=self.parameter_arn)
        self._allow("ssm:GetParameters", on=bootstrap_version_arn(self))
        # It gives an image that is released another tag.
        images = ("ecr:DescribeImages", "ecr:DescribeImageScanFindings", "ecr:PutImage", *READS_IMAGE)
        self._allow(*images, on=released.repository.repository_arn)
        # A deployment is read only by someone who may read its service, too (AWS's Service Authorization Reference).
        reads = ("ecs:DescribeServices", "ecs:ListServiceDeployments", "ecs:DescribeServiceDeployments")
        for each in released.services:
            self._allow(*reads, on=each.service_arn)
        # Why tasks failed: ECS's reason of a deployment does not say, and their log does.
        of_cluster = {"ArnEquals": {"ecs:cluster": released.services[0].cluster.cluster_arn}}
        self.handler.role.add_to_policy(
            iam.PolicyStatement(actions=["ecs:ListTasks", "ecs:DescribeTasks"], resources=["*"], conditions=of_cluster)
        )
        self._allow("ecs:DescribeTaskDefinition", on="*")  # no resource-level permissions
        logs = arn_of(self, "logs", f"log-group:{released.stack}-*")
        self._allow("logs:GetLogEvents", on=logs)
        acknowledge(self.handler.policy, allows_on(logs), reason="CloudFormation ends a log group's name.")

    def _grant_going_back(self, released: Released) -> None:
        # CloudFormation begins the service's name with that of its stack.
        own = arn_of(self, "ecs", f"service-deployment/*/{released.stack}-*/*")
        # Of a deployment, and of the service that it is of (AWS's Service Authorization Reference).
        for deployment_or_service in (own, *(each.service_arn for each in released.services)):
            self._allow("ecs:StopServiceDeployment", on=deployment_or_service)
        acknowledge(self.handler.policy, allows_on(own), reason="Deployments of this service, which ECS numbers.")
        if released.database is not None:
            # Of a deployment that is stopped: ECS knows nothing of its migration.
            tasks = arn_of(self, "ecs", "task/*")
            self.handler.role.add_to_policy(
                iam.PolicyStatement(
                    actions=["ecs:StopTask"],
                    resources=[tasks],
                    conditions={"ArnEquals": {"ecs:cluster": released.services[0].cluster.cluster_arn}},
                )
            )
            acknowledge(self.handler.policy, allows_on(tasks), reason="Of this cluster only; ECS makes a task's id.")
        if released.database is not None:
            logs = arn_of(self, "logs", "log-group:/aws/rds/instance/*")
            self._allow("logs:FilterLogEvents", on=logs)
            # Whether another instance is about to take its name.
            self._allow("rds:DescribeDBInstances", on="*")
            acknowledge(
                self.handler.policy, allows_on(logs), reason="RDS names the log group after the instance it makes."
            )

    def _grant_reads(self) -> None:
        deployments = arn_of(self, "ecs", "service-deployment/*")
        self._allow("ecs:DescribeServiceDeployments", on=deployments)
        without_resource = (
            "cloudwatch:DescribeAlarms",
            "elasticloadbalancing:DescribeRules",
            "elasticloadbalancing:DescribeTargetHealth",
        )
        self._allow(*without_resource, on="*")
        for each in (deployments, "*"):
            reason = "It only reads what has no ARN before it exists."
            acknowledge(self.handler.policy, allows_on(each), reason=reason)

    def _allow(self, *actions: str, on: str) -> None:
        self.handler.role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[on]))
