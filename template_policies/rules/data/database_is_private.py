"""The database has no public address, isolated subnets, and one security group that admits only other groups."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

DATABASE = "AWS::RDS::DBInstance"


@policy(
    reason="The login must be the last barrier, not the only one (FSBP RDS.2, 46).",
    failure=Failure.EXPOSED,
    reads={DATABASE: ("PubliclyAccessible", "DBSubnetGroupName", "VPCSecurityGroups", "Port")},
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(DATABASE):
        yield from each.expect("PubliclyAccessible", False)
        subnets = each.target("DBSubnetGroupName")
        if subnets is None or subnets.type != "AWS::RDS::DBSubnetGroup":
            yield each.violation("DBSubnetGroupName", "must refer to the isolated subnets: the default ones are public")
        groups = [group.type for group in each.targets("VPCSecurityGroups")]
        if groups != ["AWS::EC2::SecurityGroup"]:
            yield each.violation("VPCSecurityGroups", "must be exactly one group of this environment")
