"""The tier of a subnet, from its routes and not from its name."""

from collections.abc import Iterable, Iterator

from template_policies.graph import Graph, Resource, Violation

PUBLIC, PRIVATE, ISOLATED = "public", "private", "isolated"
READS = {
    "AWS::EC2::Route": ("RouteTableId", "GatewayId", "NatGatewayId", "InstanceId", "DestinationCidrBlock"),
    "AWS::EC2::SubnetRouteTableAssociation": ("RouteTableId", "SubnetId"),
    "AWS::EC2::Subnet": ("AvailabilityZone",),
}


def route_tables(graph: Graph) -> dict[str, Resource]:
    """Route table by subnet."""
    found: dict[str, Resource] = {}
    for each in graph.of("AWS::EC2::SubnetRouteTableAssociation"):
        subnet, table = each.target("SubnetId"), each.target("RouteTableId")
        if subnet is not None and table is not None:
            found[subnet.where] = table
    return found


def default_routes(graph: Graph, table: Resource | None) -> list[Resource]:
    """Default routes of a table."""
    return [
        each
        for each in graph.of("AWS::EC2::Route")
        if table is not None
        and each.target("RouteTableId") is table
        and each.get("DestinationCidrBlock") == "0.0.0.0/0"
    ]


def tiers(graph: Graph) -> dict[str, str]:
    """Tier by subnet."""
    found: dict[str, str] | None = graph.memo.get("tiers")
    if found is None:
        tables = route_tables(graph)
        found = {}
        for subnet in graph.of("AWS::EC2::Subnet"):
            routes = default_routes(graph, tables.get(subnet.where))
            if any(each.get("GatewayId") is not None for each in routes):
                found[subnet.where] = PUBLIC
            elif any(each.get("NatGatewayId") or each.get("InstanceId") for each in routes):
                found[subnet.where] = PRIVATE
            else:
                found[subnet.where] = ISOLATED
        graph.memo["tiers"] = found
    for kind, properties in READS.items():
        graph.reads.update((kind, each) for each in (*properties, "Type"))
    return found


def must_be_in_tier(graph: Graph, resource: Resource, path: str, tier: str) -> Iterator[Violation]:
    """One violation for each subnet of another tier, and one if there are none."""
    subnets = [each for each in resource.targets(path) if each.type == "AWS::EC2::Subnet"]
    if not subnets or len(subnets) != len(resource.items(path)):
        yield resource.violation(path, "must refer to subnets of this network")
    for each in subnets:
        if tiers(graph)[each.where] != tier:
            yield resource.violation(path, f"has the {tiers(graph)[each.where]} subnet {each.where}, must be {tier}")


def spans(graph: Graph, resource: Resource, path: str) -> Iterator[Violation]:
    """A violation unless its subnets are in every zone of the environment."""
    wanted = set(graph.environment.network.availability_zones)
    found = {each.get("AvailabilityZone") for each in resource.targets(path)}
    if found != wanted:
        yield resource.violation(path, f"is in {shown(found)}, must be in {shown(wanted)}")


def shown(values: Iterable[object]) -> str:
    return ", ".join(sorted(str(each) for each in values)) or "nothing"
