"""Every policy document has version 2012-10-17."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short

DOCUMENTS = {
    "AWS::IAM::Policy": "PolicyDocument",
    "AWS::IAM::ManagedPolicy": "PolicyDocument",
    "AWS::IAM::Role": "AssumeRolePolicyDocument",
    "AWS::KMS::Key": "KeyPolicy",
    "AWS::S3::BucketPolicy": "PolicyDocument",
    "AWS::SNS::TopicPolicy": "PolicyDocument",
    "AWS::SQS::QueuePolicy": "PolicyDocument",
    "AWS::SecretsManager::ResourcePolicy": "ResourcePolicy",
}


@policy(
    reason="Without it IAM assumes version 2008-10-17, in which variables are plain text.",
    failure=Failure.ROLE_TAKEN_OVER,
    reads={
        **{kind: (path,) for kind, path in DOCUMENTS.items()},
        "AWS::IAM::Role": ("AssumeRolePolicyDocument", "Policies"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for kind, path in DOCUMENTS.items():
        for each in graph.of(kind):
            yield from each.expect(f"{path}.Version", "2012-10-17")
            if not each.get(f"{path}.Statement"):
                yield each.violation(path, "has no statement")
    for role in graph.of("AWS::IAM::Role"):
        for inline in role.items("Policies"):
            document = inline.get("PolicyDocument", {})
            if document.get("Version") != "2012-10-17" or not document.get("Statement"):
                yield role.violation("Policies", f"is {short(document)}, must have version 2012-10-17 and a statement")
