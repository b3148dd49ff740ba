"""Every bucket is encrypted, blocks public access, and accepts only TLS."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import resource_statements

BUCKET = "AWS::S3::Bucket"
BLOCKS = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")


@policy(
    reason="A policy set by hand could make a bucket public; the block refuses it (FSBP S3.1, 2, 3, 5, 8).",
    failure=Failure.EXPOSED,
    reads={
        BUCKET: ("PublicAccessBlockConfiguration", "BucketEncryption", "OwnershipControls", "AccessControl",
                 "WebsiteConfiguration", "BucketName"),
        "AWS::S3::BucketPolicy": ("PolicyDocument", "Bucket"),
        "Custom::MediaAccess": ("Bucket", "Secret", "Sites", "Disposable", "ServiceToken"),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    tls = set()
    for each in graph.of("AWS::S3::BucketPolicy"):
        if (bucket := each.target("Bucket")) is None:
            yield each.violation("Bucket", "must refer to a bucket")
            continue
        for statement in resource_statements(graph, "AWS::S3::BucketPolicy"):
            if statement.resource is each and _is_tls(statement.document) and len(statement.resources) == 2:
                tls.add(bucket.where)
    # The policy of the media bucket is written by a function, as it follows Cloudflare's ranges (docs/adr/0017).
    by_function = {each.get("Bucket") for each in graph.of("Custom::MediaAccess")}
    for each in graph.of(BUCKET):
        for key in BLOCKS:
            yield from each.expect(f"PublicAccessBlockConfiguration.{key}", True)
        rules = each.items("BucketEncryption.ServerSideEncryptionConfiguration")
        algorithms = [one.get("ServerSideEncryptionByDefault", {}).get("SSEAlgorithm") for one in rules]
        if algorithms not in (["AES256"], ["aws:kms"]):
            yield each.violation("BucketEncryption", f"is {algorithms}, must be AES256 or aws:kms")
        for path in ("AccessControl", "WebsiteConfiguration"):
            if each.get(path) is not None:
                yield each.violation(path, "is set: only policies grant access")
        controls = each.items("OwnershipControls.Rules")
        if each.get("OwnershipControls") is not None and controls != [{"ObjectOwnership": "BucketOwnerEnforced"}]:
            yield each.violation("OwnershipControls", "must be BucketOwnerEnforced")
        if each.where not in tls and each.get("BucketName") not in by_function:
            yield each.violation("AWS::S3::BucketPolicy", "is missing: plain HTTP is not denied")


def _is_tls(statement: object) -> bool:
    return isinstance(statement, dict) and (
        statement.get("Effect") == "Deny"
        and statement.get("Principal") in ("*", {"AWS": "*"})
        and statement.get("Action") == "s3:*"
        and statement.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
    )
