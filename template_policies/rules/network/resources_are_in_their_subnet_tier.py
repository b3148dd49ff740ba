"""Data stores are in isolated subnets, tasks and functions in private ones, load balancer and NAT in public ones."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.subnets import ISOLATED, PRIVATE, PUBLIC, READS, must_be_in_tier

PLACES = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": ("Subnets", PUBLIC),
    "AWS::EC2::NatGateway": ("SubnetId", PUBLIC),
    "AWS::ECS::Service": ("NetworkConfiguration.AwsvpcConfiguration.Subnets", PRIVATE),
    "AWS::Lambda::Function": ("VpcConfig.SubnetIds", PRIVATE),
    "AWS::RDS::DBSubnetGroup": ("SubnetIds", ISOLATED),
    "AWS::ElastiCache::SubnetGroup": ("SubnetIds", ISOLATED),
}


@policy(
    reason="A data store in a public subnet is one wrong security group away from the internet.",
    failure=Failure.EXPOSED,
    reads={
        **READS,
        **{kind: (path.partition(".")[0],) for kind, (path, _) in PLACES.items()},
        "AWS::EC2::VPCEndpoint": ("VpcEndpointType", "SubnetIds"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for kind, (path, tier) in PLACES.items():
        for each in graph.of(kind):
            if kind != "AWS::Lambda::Function" or each.get("VpcConfig") is not None:
                yield from must_be_in_tier(graph, each, path, tier)
    for endpoint in graph.of("AWS::EC2::VPCEndpoint"):
        if endpoint.get("VpcEndpointType") == "Interface":
            yield from must_be_in_tier(graph, endpoint, "SubnetIds", PRIVATE)
