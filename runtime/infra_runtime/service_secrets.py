"""Secrets that tasks read when they start: whether new tasks could read them, and when each was changed last."""

from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

# IAM answers first: where only `NAME-??????` is allowed, a name without a secret behind it is denied, not missing
# (measured in ministackorg/ministack #1737; jenkinsci/aws-secrets-manager-credentials-provider-plugin #65).
_MISSING = {
    "ResourceNotFoundException": "does not exist",
    "AccessDeniedException": "does not exist, or its own policy denies secretsmanager:DescribeSecret",
}


class UnusableSecret(Exception):
    """A task that reads the secret could not start. The text names the secret and never holds any of its value."""

    def __init__(self, secret: str, why: str, todo: str) -> None:
        super().__init__(f"{secret} {why}")
        self.todo = todo


def last_change(manager: Any, secret: str) -> datetime:
    """When anything of the secret was changed last, its tags included. `secret` is a name or an ARN.

    From DescribeSecret, which reads no value. Raises `UnusableSecret`.
    """
    store = f"./infra secret set ENV {secret}"
    try:
        found = manager.describe_secret(SecretId=secret)
    except ClientError as error:
        if (why := _MISSING.get(error.response["Error"]["Code"])) is None:
            raise
        raise UnusableSecret(secret, why, store) from error
    if "DeletedDate" in found:
        raise UnusableSecret(
            secret, "is scheduled for deletion", f"aws secretsmanager restore-secret --secret-id {secret}"
        )
    if not any("AWSCURRENT" in stages for stages in found.get("VersionIdsToStages", {}).values()):
        raise UnusableSecret(secret, "has no value", store)
    changed: datetime = found["LastChangedDate"]
    return changed
