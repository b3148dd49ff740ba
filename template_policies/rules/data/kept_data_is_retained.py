"""Kept data survives its stack and its removal from the template: both policies agree, deletion protection is on."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.graph import short
from template_policies.policy import EVERYTHING

# Types with users' data, and their deletion policies. RDS and ElastiCache can leave a snapshot.
KEPT = {
    "AWS::RDS::DBInstance": "Snapshot",
    "AWS::ElastiCache::ReplicationGroup": "Snapshot",
    "AWS::DynamoDB::Table": "Retain",
    "AWS::S3::Bucket": "Retain",
    "AWS::ECR::Repository": "Retain",
    "AWS::KMS::Key": "Retain",
}
# Their name or URL must be unique: kept after a failed creation, they would make the next one fail.
ONLY_ONE = {"AWS::S3::Bucket": "BucketName", "AWS::IAM::OIDCProvider": "Url"}
PROTECTED = {"AWS::RDS::DBInstance": "DeletionProtection", "AWS::DynamoDB::Table": "DeletionProtectionEnabled"}
# Their contents are created again by their users: a cache of images, a CA certificate, a key of messages.
MADE_AGAIN_BY_TYPE = (
    "AWS::Logs::LogGroup",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
    "AWS::Backup::BackupVault",
)
MADE_AGAIN = ("HelperRepository", "OriginLockTrust", "AlarmsKey")


@policy(
    reason="After a construct is renamed, CloudFormation creates an empty successor and deletes the old resource.",
    failure=Failure.DATA_LOST,
    reads={
        **dict.fromkeys(KEPT, ("DeletionPolicy", "UpdateReplacePolicy")),
        **{kind: ("DeletionPolicy", "UpdateReplacePolicy", path) for kind, path in PROTECTED.items()},
        "AWS::RDS::DBInstance": (
            "DeletionPolicy",
            "UpdateReplacePolicy",
            "DeletionProtection",
            "DeleteAutomatedBackups",
        ),
        "AWS::S3::Bucket": ("DeletionPolicy", "UpdateReplacePolicy", "Tags", "BucketName"),
        "AWS::ECR::Repository": ("DeletionPolicy", "UpdateReplacePolicy", "EmptyOnDelete"),
        "AWS::IAM::OIDCProvider": ("DeletionPolicy", "UpdateReplacePolicy", "Url"),
        "Custom::S3AutoDeleteObjects": ("BucketName",),
        EVERYTHING: ("DeletionPolicy", "UpdateReplacePolicy"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    is_kept = graph.environment.protection.data == "keep"
    emptied = [each.target("BucketName") for each in graph.of("Custom::S3AutoDeleteObjects")]
    for kind, how in KEPT.items():
        for each in graph.of(kind):
            keeps = is_kept and not each.logical_id.startswith(MADE_AGAIN)
            for path in ("DeletionPolicy", "UpdateReplacePolicy"):
                yield from each.expect(path, _how(each, path, how) if keeps else "Delete")
            if keeps and (each in emptied or _is_emptied(each)):
                yield each.violation("DeletionPolicy", "keeps an empty resource: its contents are deleted anyway")
            if kind in PROTECTED and each.get(PROTECTED[kind], False) is not is_kept:
                yield each.violation(
                    PROTECTED[kind], f"is {short(each.get(PROTECTED[kind]))}, must be {short(is_kept)}"
                )
            if kind == "AWS::RDS::DBInstance":
                yield from each.expect("DeleteAutomatedBackups", not is_kept)
    for each in graph.resources.values():
        # Resources that are created again leave nothing behind: no rule at Cloudflare and no billed secret.
        if each.type.startswith("Custom::") or each.type in MADE_AGAIN_BY_TYPE:
            for path in ("DeletionPolicy", "UpdateReplacePolicy"):
                if each.get(path) not in (None, "Delete"):
                    yield each.violation(path, f"is {each.get(path)}, must be Delete")
    for each in graph.of("AWS::IAM::OIDCProvider"):
        # One in an account: other environments' roles trust it as well.
        for path in ("DeletionPolicy", "UpdateReplacePolicy"):
            yield from each.expect(path, _how(each, path, "Retain"))


def _how(each: Resource, path: str, how: str) -> str:
    is_only_one = each.type in ONLY_ONE and each.get(ONLY_ONE[each.type]) is not None
    return "RetainExceptOnCreate" if path == "DeletionPolicy" and is_only_one else how


def _is_emptied(each: Resource) -> bool:
    match each.type:
        case "AWS::ECR::Repository":
            return bool(each.get("EmptyOnDelete"))
        case "AWS::S3::Bucket":
            return "aws-cdk:auto-delete-objects" in each.keyed("Tags")
    return False
