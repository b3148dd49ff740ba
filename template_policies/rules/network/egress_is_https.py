"""Tasks and functions reach outside addresses only by HTTPS, and on the ports of an external Redis."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short
from template_policies.security_groups import EGRESS, GROUP, egress, group_of, ports

# Groups that may reach everything: endpoints only answer, and a NAT instance forwards.
_MAY = ("AWS::EC2::VPCEndpoint", "AWS::EC2::Instance")
CALLERS = {
    "AWS::Lambda::Function": "VpcConfig.SecurityGroupIds",
    "AWS::ECS::Service": "NetworkConfiguration.AwsvpcConfiguration.SecurityGroups",
}
_NOWHERE = "255.255.255.255/32"


@policy(
    reason="Stolen data could leave by any other port, and the product needs none.",
    failure=Failure.DISCLOSED,
    reads={
        **EGRESS,
        "AWS::EC2::VPCEndpoint": ("*",),
        "AWS::EC2::Instance": ("*",),
        "AWS::Lambda::Function": ("VpcConfig",),
        "AWS::ECS::Service": ("NetworkConfiguration",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    external = {
        port
        for each in graph.environment.redis.instances.values()
        for port in (each.external.ports if each.external else (6379, 6380) if each.upstash else ())
    }
    free = {group.where for group in graph.of(GROUP) for kind in _MAY if graph.users(group, kind)}
    # EC2 gives a group without any rule one that allows everything (AWS::EC2::SecurityGroup, SecurityGroupEgress).
    restricted = {
        target.where
        for each in graph.of("AWS::EC2::SecurityGroupEgress")
        if (target := each.target("GroupId")) is not None
    }
    for group in graph.of(GROUP):
        if not group.get("SecurityGroupEgress") and group.where not in restricted:
            yield group.violation("SecurityGroupEgress", "is missing: all egress would be allowed")
    # AWS's services and Sentry use this port.
    lets_out = {
        owner.where
        for resource, path, rule in egress(graph)
        if (owner := group_of((resource, path, rule))) is not None
        and rule.get("CidrIp") == "0.0.0.0/0"
        and ports(rule) == ("tcp", 443, 443)
    }
    for kind, groups in CALLERS.items():
        for each in graph.of(kind):
            for group in each.targets(groups):
                if group.where not in lets_out | free and group.type == GROUP:
                    yield group.violation("SecurityGroupEgress", f"does not allow {each.where} HTTPS")
    for resource, path, rule in egress(graph):
        if resource.where in free or "DestinationSecurityGroupId" in rule or rule.get("CidrIp") == _NOWHERE:
            continue
        protocol, first, last = ports(rule)
        if "CidrIp" not in rule or protocol != "tcp" or first != last or first not in {443} | external:
            yield resource.violation(path, f"allows {short(rule)}, must be tcp 443")
