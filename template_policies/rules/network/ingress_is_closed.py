"""No ingress is open to an address range, except the VPC's own to NAT instances and endpoints."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.security_groups import INGRESS, ingress


@policy(
    reason="A range admits every address in it; security groups and Cloudflare's list say which clients may connect.",
    failure=Failure.EXPOSED,
    reads={**INGRESS, "AWS::EC2::VPC": ("CidrBlock",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    own_range = {graph.environment.network.cidr} if graph.environment.network.nat == "instance" else set()
    for resource, path, rule in ingress(graph):
        source = graph.target(resource.stack, rule.get("CidrIp"))
        if "CidrIpv6" in rule:
            yield resource.violation(path, "has an IPv6 range, must name a group or a prefix list")
        elif "CidrIp" in rule and not (source is not None and source.type == "AWS::EC2::VPC"):
            if rule["CidrIp"] not in own_range:
                yield resource.violation(path, f"is open to {rule['CidrIp']}, must name a group or a prefix list")
        elif "CidrIp" not in rule and not {"SourceSecurityGroupId", "SourcePrefixListId"} & set(rule):
            yield resource.violation(path, "has no source, must name a group or a prefix list")
