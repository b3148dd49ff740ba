"""A service has no public address, its own security group, zone rebalancing, and the file's capacity providers."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short
from template_policies.owners import owner

SERVICE = "AWS::ECS::Service"
AWSVPC = "NetworkConfiguration.AwsvpcConfiguration"


@policy(
    reason="A task with a public address is one wrong group away from the internet; spot ends tasks at two "
    "minutes' notice.",
    failure=Failure.EXPOSED,
    reads={
        SERVICE: (
            "NetworkConfiguration",
            "AvailabilityZoneRebalancing",
            "CapacityProviderStrategy",
            "LaunchType",
            "Cluster",
            "HealthCheckGracePeriodSeconds",
            "PropagateTags",
            "PlatformVersion",
        ),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(SERVICE):
        yield from each.expect(f"{AWSVPC}.AssignPublicIp", "DISABLED")
        groups = each.targets(f"{AWSVPC}.SecurityGroups")
        if [group.type for group in groups] != ["AWS::EC2::SecurityGroup"]:
            yield each.violation(f"{AWSVPC}.SecurityGroups", "must be the one group of the service")
        yield from each.expect("AvailabilityZoneRebalancing", "ENABLED")
        # Cost reports use the stack's tags.
        yield from each.expect("PropagateTags", "SERVICE")
        if each.get("PlatformVersion") not in (None, "LATEST"):
            yield each.violation("PlatformVersion", "must be the latest: AWS soon stops patching others")
        cluster = each.target("Cluster")
        if cluster is None or cluster.type != "AWS::ECS::Cluster":
            yield each.violation("Cluster", "must refer to the environment's cluster")
        own = owner(graph, each)
        if own is None:
            continue
        wanted = "FARGATE_SPOT" if own.service.spot else "FARGATE"
        strategy = each.get("CapacityProviderStrategy")
        if strategy != [{"CapacityProvider": wanted, "Weight": 1}]:
            yield each.violation("CapacityProviderStrategy", f"is {short(strategy)}, must be only {wanted}")
        if own.host is not None:
            yield from each.expect_between("HealthCheckGracePeriodSeconds", 30, 300)
