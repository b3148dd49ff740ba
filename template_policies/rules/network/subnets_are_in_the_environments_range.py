"""Subnets are in the environment's range, do not overlap, and assign no public addresses to tasks."""

from collections.abc import Iterator
from ipaddress import IPv4Network

from template_policies import Failure, Graph, Violation, policy


@policy(
    reason="A public address is reachable as soon as a security group is wrong; EC2 refuses overlapping ranges.",
    failure=Failure.EXPOSED,
    reads={
        "AWS::EC2::VPC": ("CidrBlock",),
        "AWS::EC2::Subnet": ("CidrBlock", "MapPublicIpOnLaunch", "VpcId"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    whole = IPv4Network(graph.environment.network.cidr)
    for vpc in graph.of("AWS::EC2::VPC"):
        yield from vpc.expect("CidrBlock", str(whole))
    taken: list[IPv4Network] = []
    for subnet in graph.of("AWS::EC2::Subnet"):
        yield from subnet.expect("MapPublicIpOnLaunch", False)
        try:
            own = IPv4Network(str(subnet.get("CidrBlock")))
        except ValueError:
            yield subnet.violation("CidrBlock", f"is {subnet.get('CidrBlock')}, must be a range of {whole}")
            continue
        if not own.subnet_of(whole) or any(own.overlaps(other) for other in taken):
            yield subnet.violation("CidrBlock", f"is {own}, must be a range of {whole} that no other subnet has")
        taken.append(own)
        vpc_of = subnet.target("VpcId")
        if vpc_of is None or vpc_of.type != "AWS::EC2::VPC":
            yield subnet.violation("VpcId", "must refer to the network")
