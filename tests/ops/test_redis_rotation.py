"""`infra redis rotate`: ElastiCache keeps the last two tokens that it was given, and no step may cost the old one."""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from config import load
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.redis.rotation import ElastiCacheRotation, rotate

ENVIRONMENT = load(["dev"])["dev"]
OF_STACK = {
    "AWS::ElastiCache::ReplicationGroup": {"InstancesmainGroup1": "group"},
    "AWS::SecretsManager::Secret": {"InstancesmainAuthToken1": "token", "InstancesmainUrl1": "url"},
    "AWS::Lambda::Function": {"ProbesmainHandler1": "probe"},
}
URL = "rediss://:{}@cache.example:6379/0"


class Interrupted(BaseException):
    """Simulates Ctrl-C right after a step had its effect."""


@dataclass(frozen=True)
class Listed:
    page: Callable[..., dict[str, Any]]

    def paginate(self, **request: Any) -> Iterator[dict[str, Any]]:
        yield self.page(**request)


@dataclass
class Account:
    """Secrets Manager, ElastiCache and the probe; each change is interrupted once, if `interrupts`."""

    interrupts: bool = False
    tokens: list[str] = field(default_factory=lambda: ["old"])
    given: datetime | None = None
    now: datetime = datetime(2026, 11, 26, 12, tzinfo=UTC)
    versions: dict[str, dict[str, tuple[str, datetime]]] = field(default_factory=dict)
    stages: dict[str, dict[str, str]] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    read: set[str] = field(default_factory=lambda: {"old"})
    """Tokens that tasks may have read."""

    def __post_init__(self) -> None:
        for secret, value in (("token", "old"), ("url", URL.format("old"))):
            self.versions[secret] = {"first": (value, self.now - timedelta(days=30))}
            self.stages[secret] = {"AWSCURRENT": "first"}

    def client(self, _: str) -> "Account":
        return self

    def _changed(self, step: str) -> None:
        self.now += timedelta(seconds=1)
        assert self.read <= set(self.tokens), f"{step}: tasks cannot connect any more"
        # After the last step, nothing is left to continue.
        if self.interrupts and step not in {*self.done, "stage AWSPENDING"}:
            self.done.add(step)
            raise Interrupted(step)

    def current(self, secret: str) -> str:
        return self.versions[secret][self.stages[secret]["AWSCURRENT"]][0]

    def get_paginator(self, name: str) -> "Listed":
        return Listed(getattr(self, name))

    def list_stack_resources(self, **_: Any) -> dict[str, Any]:
        return {
            "StackResourceSummaries": [
                {"ResourceType": kind, "LogicalResourceId": logical, "PhysicalResourceId": physical}
                for kind, those in OF_STACK.items()
                for logical, physical in those.items()
            ]
        }

    def describe_replication_groups(self, **_: Any) -> dict[str, Any]:
        return {"ReplicationGroups": [{"Status": "available", "AuthTokenLastModifiedDate": self.given}]}

    def describe_secret(self, SecretId: str) -> dict[str, Any]:  # noqa: N803
        found: dict[str, list[str]] = {}
        for stage, version in self.stages[SecretId].items():
            found.setdefault(version, []).append(stage)
        return {"VersionIdsToStages": found, "LastChangedDate": self.now}

    def get_secret_value(self, SecretId: str, VersionId: str = "") -> dict[str, Any]:  # noqa: N803
        value, made = self.versions[SecretId][VersionId or self.stages[SecretId]["AWSCURRENT"]]
        return {"SecretString": value, "CreatedDate": made}

    def get_random_password(self, **_: Any) -> dict[str, str]:
        return {"RandomPassword": f"new{len(self.versions['token'])}"}

    def put_secret_value(
        self, SecretId: str, SecretString: str, VersionStages: list[str] | None = None  # noqa: N803
    ) -> dict[str, str]:  # fmt: skip
        version = f"v{len(self.versions[SecretId])}"
        self.versions[SecretId][version] = (SecretString, self.now)
        if SecretId == "url":
            self.read.add(_token(SecretString))
        self.stages[SecretId] |= dict.fromkeys(VersionStages or ["AWSCURRENT"], version)
        self._changed(f"put {SecretId}")
        return {"VersionId": version}

    def update_secret_version_stage(
        self, SecretId: str, VersionStage: str, MoveToVersionId: str = "", RemoveFromVersionId: str = ""  # noqa: N803
    ) -> None:  # fmt: skip
        assert self.stages[SecretId].get(VersionStage) == RemoveFromVersionId
        del self.stages[SecretId][VersionStage]
        if MoveToVersionId:
            self.stages[SecretId][VersionStage] = MoveToVersionId
        self._changed(f"stage {VersionStage}")

    def modify_replication_group(self, AuthToken: str, AuthTokenUpdateStrategy: str, **_: Any) -> None:  # noqa: N803
        if AuthTokenUpdateStrategy == "SET" and self.tokens[1:] != [AuthToken]:
            raise ClientError({"Error": {"Code": "InvalidParameterValue", "Message": "only after ROTATE"}}, "Modify")
        if AuthTokenUpdateStrategy == "ROTATE":
            self.tokens = [*self.tokens[-1:], AuthToken]
        else:
            self.tokens, self.read = [AuthToken], {_token(self.current("url"))}
        self.given = self.now
        self._changed(AuthTokenUpdateStrategy)

    def get_function_configuration(self, **_: Any) -> dict[str, Any]:
        return {"Handler": "infra_runtime.redis.monitor.handler", "Environment": {"Variables": {"INSTANCE": "main"}}}

    def invoke(self, **_: Any) -> dict[str, Any]:
        is_in = _token(self.current("url")) in self.tokens
        report = {"connected": is_in, "writable": is_in, "error": "WRONGPASS"}
        return {"Payload": io.BytesIO(json.dumps(report).encode())}


def _token(url: str) -> str:
    return url.partition("://:")[2].partition("@")[0]


def place(account: Account, environment: Any = ENVIRONMENT) -> ElastiCacheRotation:
    return ElastiCacheRotation("dev", environment, "main", account, sleep=lambda _: None)


def test_a_new_token_comes_before_the_old_one_goes() -> None:
    account = Account()
    rotate(place(account), Console(file=io.StringIO()))
    assert account.tokens == ["new1"]
    assert (account.current("token"), account.current("url")) == ("new1", URL.format("new1"))
    assert account.stages["token"].keys() == {"AWSCURRENT"}
    rotate(place(account), Console(file=io.StringIO()))
    assert account.tokens == ["new2"]


def test_it_may_be_interrupted_anywhere_and_gives_no_token_twice() -> None:
    """ElastiCache would then have the new one only, while every task still has the old one."""
    account, times = Account(interrupts=True), 0
    while True:
        times += 1
        try:
            rotate(place(account), Console(file=io.StringIO()))
        except Interrupted:
            continue
        break
    assert times == 6, account.done
    assert (account.tokens, account.current("url")) == (["new1"], URL.format("new1"))


def test_a_token_that_redis_refuses_leaves_both_valid() -> None:
    account = Account()
    account.invoke = lambda **_: {  # type: ignore[method-assign]
        "Payload": io.BytesIO(b'{"connected": false, "writable": false, "error": "WRONGPASS"}')
    }
    with pytest.raises(OperatorError, match="does not take the new token: WRONGPASS"):
        rotate(place(account), Console(file=io.StringIO()))
    assert account.tokens == ["old", "new1"]


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("upstash", {"credentials_secret": "daadaar/upstash", "region": "eu-central-1"}, "redis-migrate.md"),
        ("external", {"url_secret": "daadaar/redis-url", "ports": (6380,)}, "infra secret set dev daadaar/redis-url"),
    ],
)
def test_without_an_overlap_the_command_names_the_other_way(kind: str, settings: dict[str, Any], expected: str) -> None:
    instance = type(ENVIRONMENT.redis.instances["main"]).model_validate({kind: settings})
    redis = ENVIRONMENT.redis.model_copy(update={"instances": {"main": instance}})
    with pytest.raises(InputError, match=expected):
        rotate(place(Account(), ENVIRONMENT.model_copy(update={"redis": redis})), Console(file=io.StringIO()))
