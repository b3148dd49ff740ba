"""Each tier has one subnet in each of the environment's zones."""

from collections import Counter
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.subnets import ISOLATED, PRIVATE, PUBLIC, READS, tiers


@policy(
    reason="Without names CDK makes up two zones, dummy1a and dummy1b, that no account has.",
    failure=Failure.ZONE_LOST,
    reads=READS,
)
def check(graph: Graph) -> Iterator[Violation]:
    wanted = graph.environment.network.availability_zones
    by_tier = tiers(graph)
    found: Counter[tuple[str, str]] = Counter()
    for subnet in graph.of("AWS::EC2::Subnet"):
        zone = subnet.get("AvailabilityZone")
        found[by_tier[subnet.where], str(zone)] += 1
        if zone not in wanted:
            yield subnet.violation("AvailabilityZone", f"is {zone}, must be one of {', '.join(wanted)}")
        elif found[by_tier[subnet.where], zone] > 1:
            yield subnet.violation("AvailabilityZone", f"is {zone}, which already has a {by_tier[subnet.where]} subnet")
    for tier in (PUBLIC, PRIVATE, ISOLATED):
        for zone in wanted:
            if not found[tier, zone]:
                yield graph.missing("AWS::EC2::Subnet", f"is missing: {tier}, in {zone}", stack="Network")
