"""Every listener uses TLS 1.2 or newer with the environment's certificate, and answers 404 for unknown hosts."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

LISTENER = "AWS::ElasticLoadBalancingV2::Listener"
# TLS 1.2 and 1.3 with forward secrecy only (ELB guide, "Security policies").
POLICIES = ("ELBSecurityPolicy-TLS13-1-2-2021-06", "ELBSecurityPolicy-TLS13-1-2-Res-2021-06")
USERS, TEST = 443, 8443


@policy(
    reason="A plain listener exposes sessions on the network; a default that forwards serves any host.",
    failure=Failure.DISCLOSED,
    reads={LISTENER: ("Protocol", "SslPolicy", "DefaultActions", "Certificates", "LoadBalancerArn", "Port")},
)
def check(graph: Graph) -> Iterator[Violation]:
    listeners = graph.of(LISTENER)
    if listeners and sorted(str(each.get("Port")) for each in listeners) != [str(USERS), str(TEST)]:
        for each in listeners:
            yield each.violation("Port", f"is {each.get('Port')}: must be {USERS} for users and {TEST} for tests")
    for each in listeners:
        yield from each.expect("Protocol", "HTTPS")
        yield from each.expect("SslPolicy", *POLICIES)
        actions = each.items("DefaultActions")
        answers = [action.get("FixedResponseConfig", {}).get("StatusCode") for action in actions]
        if [action.get("Type") for action in actions] != ["fixed-response"] or answers != ["404"]:
            yield each.violation("DefaultActions", f"is {short(actions)}, must be one fixed-response of 404")
        certificates = [graph.target(each.stack, one.get("CertificateArn")) for one in each.items("Certificates")]
        if [one.type if one else None for one in certificates] != ["Custom::ValidatedCertificate"]:
            yield each.violation("Certificates", "must refer to the environment's certificate")
        balancer = each.target("LoadBalancerArn")
        if balancer is None or balancer.type != "AWS::ElasticLoadBalancingV2::LoadBalancer":
            yield each.violation("LoadBalancerArn", "must refer to the load balancer")
