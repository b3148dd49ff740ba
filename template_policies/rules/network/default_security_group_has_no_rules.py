"""The VPC's default security group has no rules."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy


@policy(
    reason="A resource without a group gets it, and by default it lets its members reach each other.",
    failure=Failure.EXPOSED,
    reads={"AWS::EC2::VPC": (), "Custom::VpcRestrictDefaultSG": ("DefaultSecurityGroupId", "Account", "ServiceToken")},
)
def check(graph: Graph) -> Iterator[Violation]:
    closed = {
        target.where
        for each in graph.of("Custom::VpcRestrictDefaultSG")
        if (target := each.target("DefaultSecurityGroupId")) is not None and each.target("ServiceToken") is not None
    }
    for vpc in graph.of("AWS::EC2::VPC"):
        if vpc.where not in closed:
            yield vpc.violation("DefaultSecurityGroup", "has rules, must be emptied by Custom::VpcRestrictDefaultSG")
    for each in graph.of("Custom::VpcRestrictDefaultSG"):
        yield from each.expect("Account", graph.environment.aws.account)
