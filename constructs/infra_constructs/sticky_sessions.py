"""Sticky sessions: a user's requests go to the same task for a while."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction


class StickySessions(Construct):
    """Enabled and disabled by a function of ours, which leaves the weights of the rules alone
    (infra_runtime.sticky_sessions)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        rules: Sequence[elbv2.ApplicationListenerRule],
        target_groups: Sequence[elbv2.ApplicationTargetGroup],
        minutes: int,
    ) -> None:
        """`rules` are all that forward to `target_groups`."""
        super().__init__(scope, id_)
        handler = RuntimeFunction(
            self,
            "Handler",
            module="sticky_sessions",
            description="Lets the load balancer keep a user with one task",
            timeout=cdk.Duration.minutes(1),
        )
        for each in target_groups:
            # CDK writes "false" into every template; CloudFormation would apply it when any attribute changes.
            each.set_attribute("stickiness.enabled", None)
        of_rules = [each.listener_rule_arn for each in rules]
        of_groups = [each.target_group_arn for each in target_groups]
        for statement in (
            iam.PolicyStatement(actions=["elasticloadbalancing:ModifyRule"], resources=of_rules),
            iam.PolicyStatement(actions=["elasticloadbalancing:ModifyTargetGroupAttributes"], resources=of_groups),
            iam.PolicyStatement(actions=["elasticloadbalancing:DescribeRules"], resources=["*"]),
        ):
            handler.role.add_to_policy(statement)
        acknowledge(
            handler.policy,
            allows_on("*"),
            reason="DescribeRules has no resource-level permissions and changes nothing.",
        )
        self.resource = handler.resource(
            self,
            "Sessions",
            kind="Custom::StickySessions",
            properties={"Rules": of_rules, "TargetGroups": of_groups, "Minutes": str(minutes)},
        )
