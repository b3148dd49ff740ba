"""The function that assigns slots to previews and frees them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction, bootstrap_version_arn
from infra_constructs.images import ServiceImages
from infra_constructs.release.image import READS_IMAGE
from infra_constructs.release.ledger import ReleaseLedger
from infra_constructs.service_secrets import allow_describing, identities
from infra_runtime.contract.releases import PLATFORMS, database_log_group

_TENDED_EVERY = cdk.Duration.minutes(15)


@dataclass(frozen=True, kw_only=True)
class PreviewSlot:
    number: int
    stack: str
    """Name of its stack."""
    hosts: Mapping[str, str]
    """Host names by service."""


class PreviewControl(Construct):
    """Its callers can run any image of the repositories in a slot, and nothing anywhere else."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        slots: Sequence[PreviewSlot],
        images: Mapping[str, ServiceImages],
        databases: RuntimeFunction,
        database: rds.IDatabaseInstance,
        ledger: ReleaseLedger,
        secrets: Sequence[secretsmanager.ISecret],
        lifetime: cdk.Duration,
    ) -> None:
        super().__init__(scope, id_)
        stack = cdk.Stack.of(self)
        # RDS makes the group itself.
        log = database_log_group(database.instance_identifier)
        services = {
            name: {
                "repository": each.repository.repository_uri,
                "pointer": each.parameter_name,
                "bootstrap": each.bootstrap_image,
                "platform": PLATFORMS[each.architecture],
            }
            for name, each in images.items()
        }
        described = [
            {
                "number": each.number,
                "stack": each.stack,
                "urls": {name: f"https://{host}" for name, host in each.hosts.items()},
            }
            for each in slots
        ]
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="previews.control",
            description="Assigns slots to previews of pull requests, and frees them",
            # It invokes itself, and no caller waits: a copy of a database may take minutes.
            timeout=cdk.Duration.minutes(12),
            environment={
                "LEDGER": ledger.table.table_name,
                "SLOTS": json.dumps(described),
                "SERVICES": stack.to_json_string(services),
                "SECRETS": json.dumps(identities(secrets)),
                "HOURS": str(int(lifetime.to_hours())),
                "DATABASES": databases.function.function_name,
                "DATABASE_LOG": log,
            },
        )
        allow_describing(self.handler, secrets)
        ledger.grant_writing(self.handler)
        self._allow("dynamodb:DeleteItem", on=ledger.table.table_arn)
        self._allow("lambda:InvokeFunction", on=databases.function.function_arn)
        logs = arn_of(self, "logs", "log-group:/aws/rds/instance/*")
        self._allow("logs:FilterLogEvents", on=logs)
        self._acknowledge(logs, "RDS names the log group after the instance, which CloudFormation names.")
        # Of its own, by a name that is known before it exists: a reference to it would be circular.
        itself = arn_of(self, "lambda", f"function:{stack.stack_name}-{id_}*")
        self._allow("lambda:InvokeFunction", on=itself)
        self._acknowledge(itself, "Lambda ends the names of functions with something of its own.")
        for each in slots:
            of_stack = arn_of(self, "cloudformation", f"stack/{each.stack}/*")
            # Its template stays: the function gives none, and the stack's own role does the work.
            actions = ("DescribeStackEvents", "DescribeStacks", "ListStackResources", "UpdateStack")
            self._allow(*(f"cloudformation:{action}" for action in actions), on=of_stack)
            self._acknowledge(of_stack, "CloudFormation ends a stack's ARN with an id.")
            of_tasks = arn_of(self, "logs", f"log-group:{each.stack}-*")
            self._allow("logs:GetLogEvents", on=of_tasks)
            self._acknowledge(of_tasks, "CloudFormation ends a log group's name.")
        self._allow("ssm:GetParameters", on=bootstrap_version_arn(self))
        for image in images.values():
            parameter = arn_of(self, "ssm", f"parameter{image.parameter_name}")
            self._allow("ssm:GetParameter", on=parameter)
            self._allow("ecr:DescribeImages", *READS_IMAGE, on=image.repository.repository_arn)
        reads = (
            "DescribeServices",
            "ListServiceDeployments",
            "DescribeServiceDeployments",
            "ListTasks",
            "DescribeTasks",
            "DescribeTaskDefinition",
        )
        self._allow(*(f"ecs:{action}" for action in reads), on="*")
        self._acknowledge("*", "It only reads what has no name before it exists.")
        self.handler.run_every(_TENDED_EVERY, self, "Tended", description="Ends previews whose time is over")

    def _allow(self, *actions: str, on: str) -> None:
        self.handler.role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[on]))

    def _acknowledge(self, resource: str, reason: str) -> None:
        acknowledge(self.handler.policy, allows_on(resource), reason=reason)
