"""Every group, route table, gateway and association is in the one VPC, and endpoints admit the VPC."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

VPC = "AWS::EC2::VPC"
# (type, property, what it refers to)
PARTS = (
    ("AWS::EC2::SecurityGroup", "VpcId", VPC),
    ("AWS::EC2::RouteTable", "VpcId", VPC),
    ("AWS::EC2::VPCGatewayAttachment", "VpcId", VPC),
    ("AWS::EC2::VPCGatewayAttachment", "InternetGatewayId", "AWS::EC2::InternetGateway"),
    ("AWS::EC2::SubnetRouteTableAssociation", "SubnetId", "AWS::EC2::Subnet"),
    ("AWS::EC2::SubnetRouteTableAssociation", "RouteTableId", "AWS::EC2::RouteTable"),
    ("AWS::EC2::Route", "RouteTableId", "AWS::EC2::RouteTable"),
)


@policy(
    reason="Without the network a group is made in the account's default one, and nothing can use it.",
    failure=Failure.REFUSED,
    reads={
        "AWS::EC2::SecurityGroup": ("VpcId", "SecurityGroupIngress"),
        "AWS::EC2::RouteTable": ("VpcId",),
        "AWS::EC2::VPCGatewayAttachment": ("VpcId", "InternetGatewayId"),
        "AWS::EC2::SubnetRouteTableAssociation": ("SubnetId", "RouteTableId"),
        "AWS::EC2::Route": ("RouteTableId", "GatewayId", "DependsOn", "DestinationCidrBlock"),
        "AWS::EC2::VPCEndpoint": ("SecurityGroupIds",),
        "AWS::EC2::EIP": ("Domain",),
        "AWS::EC2::NatGateway": ("DependsOn",),
        "AWS::EC2::Instance": ("DependsOn",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for kind, path, wanted in PARTS:
        for each in graph.of(kind):
            target = each.target(path)
            if target is None or target.type != wanted:
                yield each.violation(path, f"is {short(each.get(path))}, must refer to a {wanted}")
    tables = [each.target("RouteTableId") for each in graph.of("AWS::EC2::SubnetRouteTableAssociation")]
    for each in graph.of("AWS::EC2::RouteTable"):
        if tables.count(each) != 1:
            yield each.violation("VpcId", f"is of {tables.count(each)} subnets, must be of one")
    for route in graph.of("AWS::EC2::Route"):
        yield from route.expect("DestinationCidrBlock", "0.0.0.0/0")
        gateway = route.target("GatewayId")
        if route.get("GatewayId") is not None:
            if gateway is None or gateway.type != "AWS::EC2::InternetGateway":
                yield route.violation("GatewayId", "must refer to the internet gateway")
            # EC2 refuses a route to a gateway that is not attached yet.
            attached = [one.logical_id for one in graph.of("AWS::EC2::VPCGatewayAttachment")]
            if not set(attached) & set(route.items("DependsOn")):
                yield route.violation("DependsOn", f"must have {', '.join(attached)}")
    for each in graph.of("AWS::EC2::EIP"):
        yield from each.expect("Domain", "vpc")
    for endpoint in graph.of("AWS::EC2::VPCEndpoint"):
        for group in endpoint.targets("SecurityGroupIds"):
            rules = group.items("SecurityGroupIngress")
            if [(one.get("IpProtocol"), one.get("FromPort"), one.get("ToPort")) for one in rules] != [
                ("tcp", 443, 443)
            ]:
                yield group.violation("SecurityGroupIngress", f"is {short(rules)}, must allow the VPC on 443")
