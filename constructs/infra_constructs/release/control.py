"""The one function that begins releases and writes down how they end."""

from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.release.ledger import ReleaseLedger

_ENDS = ("UPDATE_COMPLETE", "UPDATE_FAILED", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED")


@dataclass(frozen=True, kw_only=True)
class Released:
    """A service whose releases are controlled."""

    stack: str
    """Name of its stack."""
    parameter: str
    repository: ecr.IRepository
    service: ecs.IBaseService


class ReleaseControl(Construct):
    """Whoever may call it can release, and nothing else (infra_runtime.release.control)."""

    def __init__(
        self, scope: Construct, id_: str, *, services: Mapping[str, Released], ledger: ReleaseLedger
    ) -> None:
        super().__init__(scope, id_)
        stack = cdk.Stack.of(self)
        declared = {
            name: {"stack": each.stack, "parameter": each.parameter, "repository": each.repository.repository_uri}
            for name, each in services.items()
        }
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="release.control",
            description="Begins releases, and writes down how they end",
            timeout=cdk.Duration.minutes(1),
            environment={"SERVICES": stack.to_json_string(declared), "LEDGER": ledger.table.table_name},
        )
        ledger.grant_writing(self.handler)
        for each in services.values():
            self._grant(each)
        self._grant_looking()
        prefixes = [self._stack_arn(each.stack) for each in services.values()]
        events.Rule(
            self,
            "Ended",
            description="A service's stack has come to an end, this way or that",
            event_pattern=events.EventPattern(
                source=["aws.cloudformation"],
                detail_type=["CloudFormation Stack Status Change"],
                detail={
                    "stack-id": [{"prefix": each} for each in prefixes],
                    "status-details": {"status": list(_ENDS)},
                },
            ),
            targets=[targets.LambdaFunction(self.handler.function)],
        )

    def _stack_arn(self, name: str) -> str:
        stack = cdk.Stack.of(self)
        return f"arn:aws:cloudformation:{stack.region}:{stack.account}:stack/{name}/"

    def _grant(self, released: Released) -> None:
        stack = cdk.Stack.of(self)
        of_stack = f"{self._stack_arn(released.stack)}*"
        # Its template stays: the function gives none, and the stack's own role does the work.
        self._allow(
            "cloudformation:DescribeStacks",
            "cloudformation:ListStackResources",
            "cloudformation:GetTemplate",
            "cloudformation:UpdateStack",
            on=of_stack,
        )
        acknowledge(self.handler.policy, allows_on(of_stack), reason="CloudFormation ends a stack's ARN with an id.")
        parameter = f"arn:aws:ssm:{stack.region}:{stack.account}:parameter{released.parameter}"
        self._allow("ssm:GetParameter", "ssm:GetParameters", "ssm:PutParameter", on=parameter)
        self._allow("ecr:DescribeImages", on=released.repository.repository_arn)
        self._allow("ecs:DescribeServices", "ecs:ListServiceDeployments", on=released.service.service_arn)

    def _grant_looking(self) -> None:
        stack = cdk.Stack.of(self)
        deployments = f"arn:aws:ecs:{stack.region}:{stack.account}:service-deployment/*"
        self._allow("ecs:DescribeServiceDeployments", on=deployments)
        looks = (
            "cloudwatch:DescribeAlarms",
            "elasticloadbalancing:DescribeRules",
            "elasticloadbalancing:DescribeTargetHealth",
        )
        self._allow(*looks, on="*")
        for each in (deployments, "*"):
            acknowledge(self.handler.policy, allows_on(each), reason="It only looks, at what has no ARN known before.")

    def _allow(self, *actions: str, on: str) -> None:
        self.handler.role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=[on]))
