"""What an operator reads when AWS does not do what was asked: one line, with the next step."""

import time

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, LoginRefreshRequired, ProfileNotFound, SSOTokenLoadError

from config import load
from config.model import Environment
from infra_runtime.cloudflare.api import Api, new_pace
from ops.account import explained
from ops.edge.zone import require_reachable
from ops.errors import OperatorError


@pytest.fixture(scope="module")
def dev() -> Environment:
    return load(["dev"])["dev"]


def refused(code: str, message: str, operation: str = "GetCallerIdentity") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


@pytest.mark.parametrize(
    "error",
    [
        refused("ExpiredToken", "The security token included in the request is expired"),
        refused("ExpiredTokenException", "The security token included in the request is expired"),
        SSOTokenLoadError(error_msg="Token for https://example.awsapps.com/start does not exist"),
        LoginRefreshRequired(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_expired_credentials_name_the_way_to_new_ones(
    error: BotoCoreError | ClientError, dev: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "work")
    text = str(explained(error, "dev", dev))
    assert "your credentials have expired: aws sso login --profile work" in text
    assert "\n" not in text


def test_an_unknown_profile_is_named(dev: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "wrok")
    assert str(explained(ProfileNotFound(profile="wrok"), "dev", dev)).endswith("AWS_PROFILE is wrok")


def test_an_unreachable_aws_is_reported_as_that(dev: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.delenv("https_proxy", raising=False)
    sts = boto3.client(
        "sts", endpoint_url="http://127.0.0.1:9", region_name="eu-central-1", aws_access_key_id="a",
        aws_secret_access_key="b", config=Config(retries={"total_max_attempts": 1}),
    )  # fmt: skip
    with pytest.raises(BotoCoreError) as raised:
        sts.get_caller_identity()
    assert str(explained(raised.value, "dev", dev)).endswith("AWS cannot be reached from here")


@pytest.mark.parametrize(
    "message", ["Stack with id daadaar-dev-api does not exist", "Stack [daadaar-dev-api] does not exist"]
)
def test_an_error_about_a_missing_stack_names_the_deployment(message: str, dev: Environment) -> None:
    text = str(explained(refused("ValidationError", message, "ListStackResources"), "dev", dev))
    assert text == (
        "dev: the stack daadaar-dev-api does not exist in account 444455556666; deploy it first: make deploy ENV=dev"
    )


def test_an_unreachable_cloudflare_is_reported_at_once() -> None:
    api = Api(token="t", deadline=time.time() + 300, base_url="http://127.0.0.1:9", pace=new_pace())
    began = time.monotonic()
    with pytest.raises(OperatorError, match="Cloudflare cannot be reached from here"):
        require_reachable(api)
    assert time.monotonic() - began < 2
