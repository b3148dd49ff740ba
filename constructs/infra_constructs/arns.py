"""ARNs of resources that have no construct here."""

import aws_cdk as cdk
from constructs import IConstruct


def arn_of(scope: IConstruct, service: str, resource: str, *, account: str | None = None) -> str:
    """An ARN in the partition, region and account of the scope's stack. `resource` is the rest: function:NAME."""
    return cdk.Stack.of(scope).format_arn(
        service=service, resource=resource, account=account, arn_format=cdk.ArnFormat.NO_RESOURCE_NAME
    )


def iam_arn(scope: IConstruct, resource: str) -> str:
    """An IAM ARN in the stack's account. `resource` is role/NAME, for example."""
    return cdk.Stack.of(scope).format_arn(
        service="iam", region="", resource=resource, arn_format=cdk.ArnFormat.NO_RESOURCE_NAME
    )


def objects_arn(scope: IConstruct, bucket: str, keys: str = "*") -> str:
    """ARN of the bucket's objects whose keys match. It has the bucket's name, which CDK's `arn_for_objects` hides."""
    return cdk.Stack.of(scope).format_arn(
        service="s3", region="", account="", resource=f"{bucket}/{keys}", arn_format=cdk.ArnFormat.NO_RESOURCE_NAME
    )
