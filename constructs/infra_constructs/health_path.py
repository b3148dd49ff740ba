"""The gate before another path of health checks: running tasks have to answer it."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import InVpc, RuntimeFunction


class HealthPathGate(Construct):
    """Comes before the target groups: if a task does not answer the new path, they keep the old one
    (infra_runtime.health_path).
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        vpc: ec2.IVpc,
        security_group: ec2.ISecurityGroup,
        target_groups: Sequence[elbv2.ApplicationTargetGroup],
        path: str,
    ) -> None:
        """The tasks admit `security_group`."""
        super().__init__(scope, id_)
        handler = RuntimeFunction(
            self,
            "Handler",
            module="health_path",
            description="Requests a new health path from running tasks, before the load balancer does",
            timeout=cdk.Duration.minutes(3),
            place=InVpc(vpc=vpc, security_group=security_group),
        )
        reads = ["elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth"]
        handler.role.add_to_policy(iam.PolicyStatement(actions=reads, resources=["*"]))
        acknowledge(
            handler.policy, allows_on("*"), reason="They have no resource-level permissions and change nothing."
        )
        stack = cdk.Stack.of(self)
        own = arn_of(self, "cloudformation", f"stack/{stack.stack_name}/*")
        handler.role.add_to_policy(iam.PolicyStatement(actions=["cloudformation:ListStackResources"], resources=[own]))
        acknowledge(handler.policy, allows_on(own), reason="CloudFormation makes the id in a stack's ARN.")
        groups = [each.node.default_child for each in target_groups]
        # By logical id: a reference would be circular, as the target groups wait for the gate.
        names = [stack.get_logical_id(each) for each in groups if isinstance(each, cdk.CfnElement)]
        self.resource = handler.resource(
            self, "Gate", kind="Custom::HealthPathGate", properties={"Path": path, "TargetGroups": names}
        )
        for each in target_groups:
            each.node.add_dependency(self.resource)
