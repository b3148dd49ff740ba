"""The load balancer drops invalid headers and desync requests, and writes access logs."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

BALANCER = "AWS::ElasticLoadBalancingV2::LoadBalancer"
WANTED = {
    "routing.http.drop_invalid_header_fields.enabled": "true",
    "routing.http.desync_mitigation_mode": "strictest",
    "access_logs.s3.enabled": "true",
}


@policy(
    reason="Request smuggling gets one user's answer to another; only access logs show it (FSBP ELB.4, 5, 12).",
    failure=Failure.DISCLOSED,
    reads={BALANCER: ("LoadBalancerAttributes", "Scheme", "Type"), "AWS::S3::Bucket": ()},
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(BALANCER):
        found = each.keyed("LoadBalancerAttributes")
        for key, value in WANTED.items():
            if found.get(key) != value:
                yield each.violation("LoadBalancerAttributes", f"has {key} {short(found.get(key))}, must be {value}")
        logs = graph.target(each.stack, found.get("access_logs.s3.bucket"))
        if logs is None or logs.type != "AWS::S3::Bucket":
            yield each.violation("LoadBalancerAttributes", "has no access_logs.s3.bucket of this stack")
        elif "AccessLogs" not in logs.logical_id or found.get("access_logs.s3.prefix") != "alb":
            # The bucket's policy lets the load balancers write there and nowhere else.
            yield each.violation(
                "LoadBalancerAttributes", f"logs into {logs.where}/{found.get('access_logs.s3.prefix')}"
            )
        known = {*WANTED, "access_logs.s3.bucket", "access_logs.s3.prefix", "idle_timeout.timeout_seconds"}
        unknown = set(found) - known - {"deletion_protection.enabled"}
        if unknown or any("Key" not in one for one in each.items("LoadBalancerAttributes")):
            yield each.violation("LoadBalancerAttributes", f"has {sorted(unknown)}, which this policy does not know")
        # The application's keep-alive is five seconds longer (infra_constructs/service.py).
        if found.get("idle_timeout.timeout_seconds") != "60":
            yield each.violation("LoadBalancerAttributes", "must have idle_timeout.timeout_seconds 60")
        yield from each.expect("Scheme", "internet-facing")
        yield from each.expect("Type", "application")
