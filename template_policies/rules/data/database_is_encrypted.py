"""Database, insights and snapshots are encrypted with the environment's own key, and connections need TLS."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy

DATABASE = "AWS::RDS::DBInstance"
PARAMETERS = "AWS::RDS::DBParameterGroup"
KEY = "AWS::KMS::Key"


@policy(
    reason="An AWS managed key can be neither shared with a recovery account nor revoked. A plain connection "
    "exposes logins.",
    failure=Failure.DISCLOSED,
    reads={
        DATABASE: ("StorageEncrypted", "KmsKeyId", "PerformanceInsightsKMSKeyId", "DBParameterGroupName",
                   "CACertificateIdentifier", "EngineVersion", "Engine"),
        PARAMETERS: ("Parameters", "Family"),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(DATABASE):
        yield from each.expect("StorageEncrypted", True)
        for path in ("KmsKeyId", "PerformanceInsightsKMSKeyId"):
            key = each.target(path)
            if key is None or key.type != KEY:
                yield each.violation(path, "must refer to the environment's key")
        # Valid until 2061; the containers have its CA certificate.
        yield from each.expect("CACertificateIdentifier", "rds-ca-rsa2048-g1")
        group = each.target("DBParameterGroupName")
        if group is None or group.type != PARAMETERS:
            yield each.violation(
                "DBParameterGroupName", "must refer to our own group: the default one allows plain text"
            )
        else:
            yield from group.expect("Family", f"postgres{graph.environment.database.version}")
    for group in graph.of(PARAMETERS):
        found = group.get("Parameters", {})
        if found.get("rds.force_ssl") != "1":
            yield group.violation("Parameters", f"has rds.force_ssl {found.get('rds.force_ssl')}, must be 1")
