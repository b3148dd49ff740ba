"""An environment's AWS account, reached with the operator's own credentials."""

import os
import re

import boto3
from botocore import exceptions
from botocore.config import Config
from botocore.exceptions import ClientError

from config.model import Environment
from ops.errors import OperatorError
from ops.progress import working

# After a longer wait people believe that the command hangs.
_FIRST_CALL = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
# Of several services: STS, those that answer JSON, S3 (IAM user guide, "Troubleshoot access denied messages"; each
# service's "Common errors").
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_UNKNOWN = {
    "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure"
}  # fmt: skip
_NO_CREDENTIALS = (
    exceptions.NoCredentialsError,
    exceptions.PartialCredentialsError,
    exceptions.CredentialRetrievalError,
    exceptions.ProfileNotFound,
)
_LOGIN_IS_OVER = (exceptions.TokenRetrievalError, exceptions.SSOError, exceptions.LoginError)
# No connection, no answer, or an answer cut off, with or without a proxy.
_UNREACHABLE = (exceptions.HTTPClientError, exceptions.ConnectionError)
_NO_STACK = re.compile(r"Stack (?:with id |\[|')?(?P<stack>[A-Za-z0-9-]+)\]?'? (?:does not exist|not found)")


def session_of(name: str, environment: Environment) -> boto3.Session:
    """Raises `OperatorError` when the credentials are of another account, and what boto3 raises when there are none."""
    session = boto3.Session(region_name=environment.aws.region)
    with working("asking AWS whose credentials these are"):
        account = session.client("sts", config=_FIRST_CALL).get_caller_identity()["Account"]
    if account != environment.aws.account:
        raise OperatorError(
            f"{name} is in the AWS account {environment.aws.account}; your credentials are of {account}"
        )
    return session


def not_deployed(name: str, what: str) -> OperatorError:
    return OperatorError(f"{name}: {what}; deploy it first: make deploy ENV={name}")


def explained(error: Exception, name: str, environment: Environment, *, missing: str = "") -> OperatorError:
    """`missing` is a hint for ResourceNotFoundException."""
    if found := _NO_STACK.search(str(error)):
        return not_deployed(name, f"the stack {found['stack']} does not exist in account {environment.aws.account}")
    where = f"{name}: AWS account {environment.aws.account}, zone {environment.domains.zone}"
    hint = _hint(error) or (missing if _code(error) == "ResourceNotFoundException" else "")
    return OperatorError(f"{where}: {error}{f'; {hint}' if hint else ''}")


def is_denied(error: Exception) -> bool:
    """Whether AWS refuses these credentials the read."""
    return _code(error) in ("AccessDenied", "AccessDeniedException")


def _hint(error: Exception) -> str:
    profile = os.environ.get("AWS_PROFILE")
    login = f"aws sso login{f' --profile {profile}' if profile else ''}"
    if _code(error) in _EXPIRED or isinstance(error, _LOGIN_IS_OVER):
        return f"your credentials have expired: {login}, or new keys"
    if _code(error) in _UNKNOWN or isinstance(error, _NO_CREDENTIALS):
        return f"AWS_PROFILE is {profile}" if profile else "set AWS_PROFILE"
    if isinstance(error, _UNREACHABLE):
        proxy = next((key for key in os.environ if key.upper() == "HTTPS_PROXY"), None)
        return "AWS cannot be reached from here" + (f"; {proxy} is set" if proxy else "")
    return ""


def _code(error: Exception) -> str:
    return str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else ""
