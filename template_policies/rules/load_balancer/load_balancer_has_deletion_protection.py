"""Where data is kept, the load balancer has deletion protection."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"


@policy(
    reason="Its address is the origin in DNS; a new one is an outage for as long as the deployment takes.",
    failure=Failure.DATA_LOST,
    reads={BALANCER: ("LoadBalancerAttributes",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    key = "deletion_protection.enabled"
    wanted = "true" if graph.environment.protection.data == "keep" else "false"
    for each in graph.of(BALANCER):
        found = each.keyed("LoadBalancerAttributes").get(key, "false")
        if found != wanted:
            yield each.violation("LoadBalancerAttributes", f"has {key} {short(found)}, must be {wanted}")
