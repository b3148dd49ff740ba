"""A target is healthy if it answers 200 at the service's own path, and is drained before it stops."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short
from template_policies.owners import owner

GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
ATTRIBUTES = {
    "deregistration_delay.timeout_seconds": "30",
    "load_balancing.algorithm.type": "least_outstanding_requests",
}


@policy(
    reason="A wrong path makes every task unhealthy. A redirect to a login page does not prove health. Without "
    "draining, requests are lost.",
    failure=Failure.TASK_DIES,
    reads={
        GROUP: (
            "HealthCheckPath",
            "HealthCheckIntervalSeconds",
            "HealthCheckTimeoutSeconds",
            "HealthyThresholdCount",
            "UnhealthyThresholdCount",
            "Matcher",
            "TargetGroupAttributes",
            "TargetType",
            "Port",
            "Protocol",
            "VpcId",
            "HealthCheckEnabled",
            "HealthCheckProtocol",
            "HealthCheckPort",
        ),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for group in graph.of(GROUP):
        own = owner(graph, group)
        if own is not None:
            yield from group.expect("HealthCheckPath", own.service.health_path)
            yield from group.expect("Port", own.service.port)
        yield from group.expect("Matcher", {"HttpCode": "200"})
        # A dead task gets traffic for at most half a minute, and a slow one does not count as dead.
        yield from group.expect("HealthCheckIntervalSeconds", 10)
        yield from group.expect("HealthCheckTimeoutSeconds", 5)
        yield from group.expect("HealthyThresholdCount", 2)
        yield from group.expect("UnhealthyThresholdCount", 3)
        yield from group.expect("TargetType", "ip")
        yield from group.expect("Protocol", "HTTP")
        for path in ("HealthCheckEnabled", "HealthCheckProtocol", "HealthCheckPort"):
            if group.get(path) not in (None, True, "HTTP", "traffic-port"):
                yield group.violation(path, f"is {short(group.get(path))}, must be the default")
        network = group.target("VpcId")
        if network is None or network.type != "AWS::EC2::VPC":
            yield group.violation("VpcId", "must refer to the network")
        found = group.keyed("TargetGroupAttributes")
        known = {*ATTRIBUTES, "stickiness.enabled"}
        if set(found) - known:
            yield group.violation("TargetGroupAttributes", f"has {sorted(set(found) - known)}")
        for key, value in ATTRIBUTES.items():
            if found.get(key) != value:
                yield group.violation("TargetGroupAttributes", f"has {key} {short(found.get(key))}, must be {value}")
        # Set by a function where a service is sticky (docs/adr/0022).
        if found.get("stickiness.enabled", "false") != "false":
            yield group.violation("TargetGroupAttributes", "must not set stickiness: a function sets it")
