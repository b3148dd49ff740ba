"""The secrets that tasks read when they start, for functions that describe them and never read a value."""

from collections.abc import Iterable, Sequence

from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager

from infra_constructs.function import RuntimeFunction


def identities(secrets: Iterable[secretsmanager.ISecret]) -> list[str]:
    """What DescribeSecret finds them by: the ARN of a secret of ours, the name of one that a person has stored."""
    return list(dict.fromkeys(each.secret_full_arn or each.secret_name for each in secrets))


def allow_describing(handler: RuntimeFunction, secrets: Sequence[secretsmanager.ISecret]) -> None:
    """A name is followed by six characters in the ARN, which only Secrets Manager knows."""
    arns = dict.fromkeys(each.secret_full_arn or f"{each.secret_arn}-??????" for each in secrets)
    if arns:
        handler.role.add_to_policy(iam.PolicyStatement(actions=["secretsmanager:DescribeSecret"], resources=list(arns)))
