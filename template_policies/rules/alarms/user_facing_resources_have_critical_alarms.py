"""What users need has a critical alarm: load balancer, services, database, media, edge, certificate, Redis."""

from collections.abc import Iterator

from config.services import on_ecs
from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import ALARM, COMPOSITE, RUNBOOK, severity

CRITICAL = {
    "AWS::ElasticLoadBalancingV2::LoadBalancer": {"load-balancer-errors", "load-balancer-rejects"},
    "AWS::ECS::Service": {"service-down", "service-tasks-missing", "service-errors"},
    "AWS::RDS::DBInstance": {"database-storage", "database-connections"},
    "AWS::S3::Bucket": {"check-failed"},
    "Custom::Cloudflare": {"check-failed", "edge-errors"},
    "Custom::ValidatedCertificate": {"certificate-expiry"},
    "Custom::RedisGate": {"redis-connection-failure"},
}


@policy(
    reason="Otherwise only an outage shows that an alarm was renamed, moved or left out.",
    failure=Failure.UNOBSERVED,
    reads={
        ALARM: ("AlarmDescription",),
        COMPOSITE: ("AlarmDescription",),
        **dict.fromkeys(CRITICAL, ()),
        "AWS::RDS::DBInstance": ("DBInstanceClass",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    found = {
        match[1]
        for each in graph.of(ALARM, COMPOSITE)
        if severity(each) == "critical" and (match := RUNBOOK.search(each.text(each.get("AlarmDescription", ""))))
    }
    services = on_ecs(graph.environment)
    for kind, wanted in CRITICAL.items():
        if kind == "AWS::ECS::Service" and not services:
            continue
        if not graph.of(kind):
            yield graph.missing(kind, "is missing from the whole environment", stack="any")
        for runbook in sorted(wanted - found):
            yield graph.missing(
                ALARM, f"is missing: critical, of {kind}, with the runbook {runbook}", stack="Observability"
            )
