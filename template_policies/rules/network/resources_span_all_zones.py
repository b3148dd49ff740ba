"""Load balancer, tasks, functions, data stores and endpoints have a subnet in each zone of the environment."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.subnets import READS, spans

PLACES = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": "Subnets",
    "AWS::ECS::Service": "NetworkConfiguration.AwsvpcConfiguration.Subnets",
    "AWS::RDS::DBSubnetGroup": "SubnetIds",
    "AWS::ElastiCache::SubnetGroup": "SubnetIds",
}


@policy(
    reason="A resource in only one zone fails with that zone.",
    failure=Failure.ZONE_LOST,
    reads={
        **READS,
        **{kind: (path.partition(".")[0],) for kind, path in PLACES.items()},
        "AWS::Lambda::Function": ("VpcConfig",),
        "AWS::EC2::VPCEndpoint": ("VpcEndpointType", "SubnetIds"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for kind, path in PLACES.items():
        for each in graph.of(kind):
            yield from spans(graph, each, path)
    for function in graph.of("AWS::Lambda::Function"):
        if function.get("VpcConfig") is not None:
            yield from spans(graph, function, "VpcConfig.SubnetIds")
    for endpoint in graph.of("AWS::EC2::VPCEndpoint"):
        if endpoint.get("VpcEndpointType") == "Interface":
            yield from spans(graph, endpoint, "SubnetIds")
