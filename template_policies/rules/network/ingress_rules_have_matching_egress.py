"""For each ingress rule between two security groups, the other group has the egress rule."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.security_groups import EGRESS, GROUP, INGRESS, egress, group_of, ingress, ports


@policy(
    reason="Our groups allow no egress by default: without the matching rule, connections time out.",
    failure=Failure.REFUSED,
    reads={**INGRESS, **EGRESS, GROUP: ("SecurityGroupIngress", "SecurityGroupEgress")},
)
def check(graph: Graph) -> Iterator[Violation]:
    out, into = set(), set()
    rules = {"out": list(egress(graph)), "into": list(ingress(graph))}
    for rule in rules["out"]:
        resource, _, properties = rule
        here, there = group_of(rule), graph.target(resource.stack, properties.get("DestinationSecurityGroupId"))
        if here is not None and there is not None:
            out.add((here.where, there.where, *ports(properties)))
    for rule in rules["into"]:
        resource, path, properties = rule
        here, there = group_of(rule), graph.target(resource.stack, properties.get("SourceSecurityGroupId"))
        if here is not None and there is not None:
            pair = (there.where, here.where, *ports(properties))
            into.add(pair)
            if pair not in out:
                yield resource.violation(path, f"names {there.where}, which has no egress to {here.where}")
    for rule in rules["out"]:
        resource, path, properties = rule
        here, there = group_of(rule), graph.target(resource.stack, properties.get("DestinationSecurityGroupId"))
        if here is not None and there is not None and (here.where, there.where, *ports(properties)) not in into:
            yield resource.violation(path, f"names {there.where}, which has no ingress from {here.where}")
