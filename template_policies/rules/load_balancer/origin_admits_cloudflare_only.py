"""The load balancer admits only Cloudflare's addresses, on port 443."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short
from template_policies.security_groups import INGRESS, group_of, ingress, ports

BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"


@policy(
    reason="Requests that bypass Cloudflare meet no firewall, rate limit or cache. CloudFormation does not own "
    "the list: AWS's handler would remove addresses that are not in the template (ec2-prefix-list, "
    "UpdateHandler).",
    failure=Failure.CLOUDFLARE_CHANGES,
    reads={
        **INGRESS,
        BALANCER: ("SecurityGroups",),
        "Custom::CloudflareRanges": ("MaxEntries", "ServiceToken"),
        "AWS::EC2::PrefixList": (),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    rules = list(ingress(graph))
    for balancer in graph.of(BALANCER):
        groups = [each.where for each in balancer.targets("SecurityGroups")]
        own = [rule for rule in rules if (group := group_of(rule)) is not None and group.where in groups]
        if not own:
            yield balancer.violation("SecurityGroups", "admit no client: Cloudflare's list is missing")
        for resource, path, rule in own:
            source = graph.target(resource.stack, rule.get("SourcePrefixListId"))
            if source is None or source.type != "Custom::CloudflareRanges":
                yield resource.violation("SourcePrefixListId", f"is {short(rule)}, must be Cloudflare's list")
            if ports(rule) != ("tcp", 443, 443):
                yield resource.violation(path, f"opens {short(ports(rule))}, must be tcp 443")
    for resource, _, rule in rules:
        source = graph.target(resource.stack, rule.get("SourcePrefixListId"))
        if "SourcePrefixListId" in rule and (source is None or source.type != "Custom::CloudflareRanges"):
            yield resource.violation("SourcePrefixListId", "is not Cloudflare's list")
    ranges = graph.of("Custom::CloudflareRanges")
    if len(ranges) != 1:
        yield graph.missing("Custom::CloudflareRanges", f"there are {len(ranges)}, must be one", stack="Network")
    for each in ranges:
        # 22 ranges in February 2026; each entry counts against the 60 rules of a security group.
        yield from each.expect_between("MaxEntries", 30, 60)
    for each in graph.of("AWS::EC2::PrefixList"):
        yield each.violation("AWS::EC2::PrefixList", "is owned by a template, whose update may empty it")
