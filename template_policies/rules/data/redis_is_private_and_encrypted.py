"""Redis is in isolated subnets, encrypted at rest and in transit, and requires its own token."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.elasticache import GROUP


@policy(
    reason="It stores sessions and rate limits (FSBP ElastiCache.4 to 7).",
    failure=Failure.DISCLOSED,
    reads={
        GROUP: ("AtRestEncryptionEnabled", "KmsKeyId", "TransitEncryptionEnabled", "TransitEncryptionMode", "AuthToken",
                "CacheSubnetGroupName", "SecurityGroupIds"),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(GROUP):
        yield from each.expect("AtRestEncryptionEnabled", True)
        yield from each.expect("TransitEncryptionEnabled", True)
        yield from each.expect("TransitEncryptionMode", "required")
        key = each.target("KmsKeyId")
        if key is None or key.type != "AWS::KMS::Key":
            yield each.violation("KmsKeyId", "must refer to the environment's key")
        if not each.text(each.get("AuthToken")).startswith("{{resolve:secretsmanager:{"):
            yield each.violation("AuthToken", "must be read from Secrets Manager")
        subnets = each.target("CacheSubnetGroupName")
        if subnets is None or subnets.type != "AWS::ElastiCache::SubnetGroup":
            yield each.violation("CacheSubnetGroupName", "must refer to the isolated subnets (FSBP ElastiCache.7)")
        if [group.type for group in each.targets("SecurityGroupIds")] != ["AWS::EC2::SecurityGroup"]:
            yield each.violation("SecurityGroupIds", "must be exactly one group of this environment")
