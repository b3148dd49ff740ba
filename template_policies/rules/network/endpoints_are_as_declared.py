"""Every subnet reaches S3 by a gateway endpoint, and the configured services by interface endpoints."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy


@policy(
    reason="Tasks start while NAT is down if images, logs and secrets do not need it; S3 through NAT costs per GB.",
    failure=Failure.NAT_FAILS,
    reads={
        "AWS::EC2::RouteTable": (),
        "AWS::EC2::VPC": ("EnableDnsHostnames", "EnableDnsSupport"),
        "AWS::EC2::VPCEndpoint": ("ServiceName", "VpcEndpointType", "PrivateDnsEnabled", "RouteTableIds", "VpcId",
                                  "SecurityGroupIds", "PolicyDocument"),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    region = graph.environment.aws.region
    for vpc in graph.of("AWS::EC2::VPC"):
        # Private names of endpoints, and of the database, resolve only with both.
        yield from vpc.expect("EnableDnsHostnames", True)
        yield from vpc.expect("EnableDnsSupport", True)
    found: dict[tuple[str, str], int] = {}
    for each in graph.of("AWS::EC2::VPCEndpoint"):
        service = each.text(each.get("ServiceName", "")).removeprefix(f"com.amazonaws.{region}.")
        kind = str(each.get("VpcEndpointType"))
        found[kind, service] = 1
        network = each.target("VpcId")
        if network is None or network.type != "AWS::EC2::VPC":
            yield each.violation("VpcId", "must refer to the network")
        if kind == "Interface":
            yield from each.expect("PrivateDnsEnabled", True)
            if not [group for group in each.targets("SecurityGroupIds") if group.type == "AWS::EC2::SecurityGroup"]:
                yield each.violation("SecurityGroupIds", "must refer to a group of its own")
        else:
            tables = {table.where for table in graph.of("AWS::EC2::RouteTable")}
            if tables - {table.where for table in each.targets("RouteTableIds")}:
                yield each.violation("RouteTableIds", "must have every route table of the network")
            named = [table.where for table in each.targets("RouteTableIds") if table.type == "AWS::EC2::RouteTable"]
            if len(set(named)) != len(each.items("RouteTableIds")):
                yield each.violation("RouteTableIds", "must refer to route tables, each once")
    wanted = {("Interface", each) for each in graph.environment.network.interface_endpoints} | {("Gateway", "s3")}
    for kind, service in sorted(set(found) ^ wanted):
        message = "is missing" if (kind, service) in wanted else "is not declared"
        yield graph.missing("AWS::EC2::VPCEndpoint", f"{message}: {kind} of {service}", stack="Network")
