"""Each private subnet has a default route, to a NAT gateway of its own zone if each zone has one."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.subnets import ISOLATED, PRIVATE, READS, default_routes, route_tables, tiers


@policy(
    reason="If a shared gateway's zone fails, every zone loses its route; without a route no task can pull an image.",
    failure=Failure.NAT_FAILS,
    reads={
        **READS,
        "AWS::EC2::Subnet": ("AvailabilityZone", "Tags"),
        "AWS::EC2::NatGateway": ("SubnetId", "AllocationId"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    tables, by_tier = route_tables(graph), tiers(graph)
    for subnet in graph.of("AWS::EC2::Subnet"):
        # CDK's tag names the intended tier, the routes make the actual one.
        meant = subnet.keyed("Tags").get("aws-cdk:subnet-type")
        if str(meant).lower() != by_tier[subnet.where]:
            yield subnet.violation("Tags", f"name the tier {meant}, its routes make it {by_tier[subnet.where]}")
        if by_tier[subnet.where] != PRIVATE:
            continue
        for route in default_routes(graph, tables.get(subnet.where)):
            gateway = route.target("NatGatewayId")
            nat = graph.environment.network.nat
            if nat == "instance":
                instance = route.target("InstanceId")
                if instance is None or instance.type != "AWS::EC2::Instance":
                    yield route.violation("InstanceId", "must refer to the NAT instance")
            elif gateway is None or gateway.type != "AWS::EC2::NatGateway":
                yield route.violation("NatGatewayId", "must refer to a NAT gateway")
            elif nat == "per-az":
                at = gateway.target("SubnetId")
                zone = at.get("AvailabilityZone") if at is not None else None
                if zone != subnet.get("AvailabilityZone"):
                    yield route.violation(
                        "NatGatewayId", f"routes through {zone}, must route through {subnet.get('AvailabilityZone')}"
                    )
    for subnet in graph.of("AWS::EC2::Subnet"):
        if subnet.where not in tables and by_tier[subnet.where] != ISOLATED:
            yield subnet.violation("Tags", "has no route table")
    for each in graph.of("AWS::EC2::NatGateway"):
        address = each.target("AllocationId")
        if address is None or address.type != "AWS::EC2::EIP":
            yield each.violation("AllocationId", "must refer to its own address")
