"""A resource policy allows only named services, each for this account or one rule; only denials name everyone."""

from collections.abc import Iterator, Mapping

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short
from template_policies.iam import RESOURCES, Statement, resource_statements

# Allowed actions of each service, by resource type.
SERVICES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "AWS::KMS::Key": dict.fromkeys(
        ("events.amazonaws.com", "budgets.amazonaws.com", "cloudwatch.amazonaws.com", "costalerts.amazonaws.com"),
        ("kms:Decrypt", "kms:GenerateDataKey*"),
    ),
    "AWS::SNS::TopicPolicy": dict.fromkeys(
        (
            "events.amazonaws.com",
            "budgets.amazonaws.com",
            "cloudwatch.amazonaws.com",
            "costalerts.amazonaws.com",
            "elasticache.amazonaws.com",
        ),
        ("sns:Publish",),
    ),
    "AWS::SQS::QueuePolicy": {
        "events.amazonaws.com": ("sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"),
    },
    "AWS::S3::BucketPolicy": {"delivery.logs.amazonaws.com": ("s3:PutObject", "s3:GetBucketAcl")},
    "AWS::Logs::ResourcePolicy": {
        "events.amazonaws.com": ("logs:CreateLogStream", "logs:PutLogEvents"),
        "delivery.logs.amazonaws.com": ("logs:CreateLogStream", "logs:PutLogEvents"),
    },
}
SOURCES = ("aws:SourceAccount", "aws:SourceOwner", "aws:SourceArn")


@policy(
    reason="A service acts for any account: without the condition, another account's rule could publish to our "
    "topics (confused deputy).",
    failure=Failure.EXPOSED,
    reads={**RESOURCES, "AWS::Logs::ResourcePolicy": ("PolicyDocument",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    root = f"arn:aws:iam::{graph.environment.aws.account}:root"
    for each in resource_statements(graph):
        if "NotPrincipal" in each.document or "NotAction" in each.document:
            yield each.violation("names excluded principals, must name allowed ones")
        if not each.principals and each.resource.type != "AWS::ECR::Repository":
            yield each.violation("has no principal")
        if not each.allows:
            continue
        for kind, who in each.principals:
            if kind == "Service":
                yield from _service(each, who, graph)
            elif kind != "AWS" or not (who == root or who.startswith("{") or _is_elb(each, who)):
                yield each.violation(f"allows {who}, must name a service or a role")
            elif who == root and each.resource.type not in ("AWS::KMS::Key",):
                yield each.violation("trusts the whole account")


def _is_elb(each: Statement, who: str) -> bool:
    """The load balancers' own account, which writes access logs in older regions (ELB guide, "Access logs")."""
    prefix = f"/alb/AWSLogs/{each.resource.graph.environment.aws.account}/*"
    return (
        each.resource.type == "AWS::S3::BucketPolicy"
        and each.actions == ["s3:PutObject"]
        and who.startswith("arn:aws:iam::")
        and all(one.endswith(prefix) for one in each.resources)
    )


def _service(each: Statement, who: str, graph: Graph) -> Iterator[Violation]:
    kind = each.resource.type
    allowed = SERVICES.get(kind, {}).get(who, ())
    for action in each.actions:
        if action not in allowed:
            yield each.violation(f"lets {who} {action}, may {', '.join(allowed) or 'nothing'}")
    limits = {(operator, key): values for (operator, key), values in each.conditions.items() if key in SOURCES}
    account = graph.environment.aws.account
    for (operator, key), values in limits.items():
        if key == "aws:SourceArn":
            fits = operator in ("ArnEquals", "ArnLike", "StringEquals") and all(
                one.startswith(("{", "arn:")) for one in values
            )
        else:
            # EventBridge may not send the source account (sources: tests/publishers.py).
            fits = values == [account] and (
                operator == "StringEquals" or (who, operator) == ("events.amazonaws.com", "StringEqualsIfExists")
            )
        if not fits:
            yield each.violation(f"has {operator} {key} {short(values)}, must be this account or one of its rules")
    # EventBridge supports no source in a key's policy (SNS guide, "Managing encryption keys"); log delivery's has our
    # prefix.
    free = (kind, who) in {
        ("AWS::KMS::Key", "events.amazonaws.com"),
        ("AWS::S3::BucketPolicy", "delivery.logs.amazonaws.com"),
        ("AWS::Logs::ResourcePolicy", "events.amazonaws.com"),
        ("AWS::Logs::ResourcePolicy", "delivery.logs.amazonaws.com"),
    }
    if not limits and not free:
        yield each.violation(f"allows {who} for every account, must have aws:SourceAccount")
