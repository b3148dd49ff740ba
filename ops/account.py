"""An environment's AWS account, reached with the operator's own credentials."""

import os

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from config.model import Environment
from ops.errors import OperatorError


def session_of(name: str, environment: Environment) -> boto3.Session:
    """Raises `OperatorError` when the credentials are of another account, and what boto3 raises when there are none."""
    session = boto3.Session(region_name=environment.aws.region)
    account = session.client("sts").get_caller_identity()["Account"]
    if account != environment.aws.account:
        raise OperatorError(
            f"{name} is in the AWS account {environment.aws.account}; your credentials are of {account}"
        )
    return session


def explained(error: Exception, name: str, environment: Environment, *, missing: str = "") -> OperatorError:
    """`missing` is what to think of when something was not found."""
    where = f"{name}: AWS account {environment.aws.account}, zone {environment.domains.zone}"
    hint = ""
    if isinstance(error, ClientError) and error.response["Error"]["Code"] == "ResourceNotFoundException":
        hint = missing
    elif isinstance(error, BotoCoreError) and "credentials" in str(error).lower():
        hint = f"AWS_PROFILE is {os.environ['AWS_PROFILE']}" if "AWS_PROFILE" in os.environ else "set AWS_PROFILE"
    return OperatorError(f"{where}: {error}{f'; {hint}' if hint else ''}")
