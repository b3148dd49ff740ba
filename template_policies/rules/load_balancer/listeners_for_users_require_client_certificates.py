"""Listeners for users, and no others, require our zone's client certificate."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

LISTENER = "AWS::ElasticLoadBalancingV2::Listener"


@policy(
    reason="All customers of Cloudflare share its addresses: another customer's zone could reach our origin.",
    failure=Failure.CLOUDFLARE_CHANGES,
    reads={
        LISTENER: ("Port", "MutualAuthentication"),
        "AWS::ElasticLoadBalancingV2::TrustStore": ("CaCertificatesBundleS3Bucket", "CaCertificatesBundleS3Key"),
        "AWS::S3::Bucket": (),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(LISTENER):
        if each.get("Port") != 443:
            # Security groups close the test listener's port.
            if each.get("MutualAuthentication") is not None:
                yield each.violation(
                    "MutualAuthentication", "is for users' listener only: the checks have no certificate"
                )
            continue
        yield from each.expect("MutualAuthentication.Mode", "verify")
        # The certificates that Cloudflare gets live for years; an alarm watches their end, an outage would not help.
        yield from each.expect("MutualAuthentication.IgnoreClientCertificateExpiry", True)
        store = each.target("MutualAuthentication.TrustStoreArn")
        if store is None or store.type != "AWS::ElasticLoadBalancingV2::TrustStore":
            yield each.violation("MutualAuthentication.TrustStoreArn", "must refer to the trust store")
        elif (
            bucket := store.target("CaCertificatesBundleS3Bucket")
        ) is None or "OriginLockTrust" not in bucket.logical_id:
            yield store.violation("CaCertificatesBundleS3Bucket", "must refer to the bucket with our CA certificate")
