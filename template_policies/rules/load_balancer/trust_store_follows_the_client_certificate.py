"""The trust store is created after Cloudflare has our certificate, and therefore deleted before it."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

STORE = "AWS::ElasticLoadBalancingV2::TrustStore"


@policy(
    reason="Otherwise the listener requires a certificate that Cloudflare does not have: every request ends in 525.",
    failure=Failure.CLOUDFLARE_CHANGES,
    reads={STORE: ("DependsOn", "CaCertificatesBundleS3Key"), "Custom::OriginLock": ("Document",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for store in graph.of(STORE):
        locks = [each for each in graph.of("Custom::OriginLock") if each.stack == store.stack]
        if [each.logical_id for each in locks if each.logical_id in store.items("DependsOn")] == []:
            yield store.violation("DependsOn", "must have the Custom::OriginLock of its stack")
        for lock in locks:
            if f'"key":"{store.get("CaCertificatesBundleS3Key")}"' not in lock.text(lock.get("Document")):
                yield store.violation("CaCertificatesBundleS3Key", "is not the object that the origin lock writes")
