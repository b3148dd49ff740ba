"""Each policy is attached to a role, or to a resource, of these templates."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import IDENTITY

# (type, property, what it refers to)
ATTACHED = (
    ("AWS::SNS::TopicPolicy", "Topics", "AWS::SNS::Topic"),
    ("AWS::SQS::QueuePolicy", "Queues", "AWS::SQS::Queue"),
    ("AWS::S3::BucketPolicy", "Bucket", "AWS::S3::Bucket"),
    ("AWS::SecretsManager::ResourcePolicy", "SecretId", "AWS::SecretsManager::Secret"),
)


@policy(
    reason="An unattached policy allows nothing: what needs it deploys, and fails when it runs.",
    failure=Failure.REFUSED,
    reads={
        **IDENTITY,
        **{kind: (path,) for kind, path, _ in ATTACHED},
        "AWS::IAM::Role": ("ManagedPolicyArns", "Policies"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    managed = {each.where for role in graph.of("AWS::IAM::Role") for each in role.targets("ManagedPolicyArns")}
    for each in graph.of("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        holders = [*each.items("Roles"), *each.items("Users")]
        if len([*each.targets("Roles"), *each.targets("Users")]) != len(holders):
            yield each.violation("Roles", "must refer to roles of the template")
        if not holders and each.where not in managed:
            yield each.violation("Roles", "is empty: the policy is not attached")
    for kind, path, of in ATTACHED:
        for each in graph.of(kind):
            if not each.items(path) or [one.type for one in each.targets(path)] != [of] * len(each.items(path)):
                yield each.violation(path, f"must refer to a {of}")
