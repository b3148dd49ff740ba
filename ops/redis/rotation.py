"""`infra redis rotate`: a new AUTH token for ElastiCache, which knows two at a time, so that no request fails.

The stages of the token's secret are the record, so that the command can be repeated after any interruption.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from config import services
from config.model import Environment
from infra_runtime.contract.names import stack_name
from infra_runtime.release.preflight import services_of, tasks_of
from infra_runtime.service_secrets import last_change
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.functions import Clients
from ops.redis.probe import ask_probe

_EVERY_SECONDS = 15.0
# Time for a release that bakes for an hour, and for the replacement of tasks after it.
_LONGEST_SECONDS = 2 * 3600.0
_LETTERS = 64
# Stages of the new token: AWSPENDING until the old token is no longer valid, then AWSCURRENT.
_NEW, _CURRENT = "AWSPENDING", "AWSCURRENT"


@dataclass(frozen=True)
class ElastiCacheRotation:
    name: str
    """Name of the environment."""
    environment: Environment
    instance: str
    clients: Clients
    sleep: Callable[[float], None] = time.sleep
    """Between two polls; seconds."""

    @property
    def stack(self) -> str:
        return stack_name(self.environment.product, self.name, "redis")

    @cached_property
    def group(self) -> str:
        return self._resource("AWS::ElastiCache::ReplicationGroup", "Group")

    @cached_property
    def token(self) -> str:
        return self._resource("AWS::SecretsManager::Secret", "AuthToken")

    @cached_property
    def url(self) -> str:
        return self._resource("AWS::SecretsManager::Secret", "Url")

    def _resource(self, kind: str, what: str) -> str:
        """Physical id of a resource that stacks/redis.py names. Raises `OperatorError`."""
        prefix = f"Instances{self.instance.replace('-', '')}{what}"
        pages = (
            self.clients.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self.stack)
        )
        for page in pages:
            for each in page["StackResourceSummaries"]:
                if each["ResourceType"] == kind and each["LogicalResourceId"].startswith(prefix):
                    return str(each["PhysicalResourceId"])
        raise OperatorError(f"{self.stack} has no {what} of {self.instance}; deploy it first")


def rotate(place: ElastiCacheRotation, console: Console) -> None:
    """Raises `InputError` where there is no overlap, and `OperatorError`."""
    _refuse_without_overlap(place)
    manager = place.clients.client("secretsmanager")
    _available(place)
    version, token = _both_valid(place, manager, console)
    url: str = manager.get_secret_value(SecretId=place.url)["SecretString"]
    if f":{token}@" not in url:
        manager.put_secret_value(SecretId=place.url, SecretString=_with(url, token))
    if (current := _stages(manager, place.token)[_CURRENT]) != version:
        manager.update_secret_version_stage(
            SecretId=place.token, VersionStage=_CURRENT, MoveToVersionId=version, RemoveFromVersionId=current
        )
    report = ask_probe(place.clients, place.stack, place.instance, {"report": True})
    if not report["connected"] or not report["writable"]:
        raise OperatorError(f"Redis does not take the new token: {report.get('error')}; both are valid, run this again")
    console.print("both tokens are valid, and REDIS_URL has the new one; new tasks take over by themselves")
    _until_read(place, manager, console)
    try:
        _modify(place, token, "SET")
    except ClientError as error:
        # SET is allowed only after ROTATE: a command that was interrupted may have done it. The URL is written before.
        is_refused = error.response["Error"]["Code"].startswith("InvalidParameter")
        if not is_refused or not _was_given_one(place, manager, since=place.url):
            raise
    manager.update_secret_version_stage(SecretId=place.token, VersionStage=_NEW, RemoveFromVersionId=version)
    console.print(f"{place.instance}: the old token is no longer valid. To check: infra redis check {place.name}")


def _refuse_without_overlap(place: ElastiCacheRotation) -> None:
    settings = place.environment.redis.instances[place.instance]
    if settings.upstash is not None:
        raise InputError(
            f"{place.instance} is at Upstash, whose databases have one password, and a reset ends it at once. Without"
            " a failed request: change over to a second database, docs/runbooks/redis-migrate.md"
        )
    if settings.elasticache is None:
        raise InputError(
            f"{place.instance} is external: add a second user there, then infra secret set {place.name}"
            f" {settings.external.url_secret if settings.external else ''}, docs/runbooks/redis-rotate-token.md"
        )


def _both_valid(place: ElastiCacheRotation, manager: Any, console: Console) -> tuple[str, str]:
    """(version of the secret, new token), once ElastiCache takes it beside the old one."""
    version = _stages(manager, place.token).get(_NEW) or _made(place, manager)
    token = _value(manager, place.token, version)
    # Twice would leave the new token only: ElastiCache keeps the last two that it was given.
    if not _was_given_one(place, manager, since=place.token, version=version):
        console.print(f"{place.group} gets a second token", highlight=False)
        _modify(place, token, "ROTATE")
    return version, token


def _made(place: ElastiCacheRotation, manager: Any) -> str:
    token = manager.get_random_password(PasswordLength=_LETTERS, ExcludePunctuation=True)["RandomPassword"]
    made: str = manager.put_secret_value(SecretId=place.token, SecretString=token, VersionStages=[_NEW])["VersionId"]
    return made


def _was_given_one(place: ElastiCacheRotation, manager: Any, *, since: str, version: str = "") -> bool:
    """ElastiCache, a token, since that version of the secret was made; without one, since the current version."""
    wanted = version or _stages(manager, since)[_CURRENT]
    made = manager.get_secret_value(SecretId=since, VersionId=wanted)["CreatedDate"]
    given = _described(place).get("AuthTokenLastModifiedDate")
    return given is not None and bool(given >= made)


def _modify(place: ElastiCacheRotation, token: str, strategy: str) -> None:
    place.clients.client("elasticache").modify_replication_group(
        ReplicationGroupId=place.group, AuthToken=token, AuthTokenUpdateStrategy=strategy, ApplyImmediately=True
    )
    place.sleep(_EVERY_SECONDS)
    _available(place)


def _described(place: ElastiCacheRotation) -> Mapping[str, Any]:
    pages = (
        place.clients.client("elasticache")
        .get_paginator("describe_replication_groups")
        .paginate(ReplicationGroupId=place.group)
    )
    (found,) = [each for page in pages for each in page["ReplicationGroups"]]
    return dict(found)


def _available(place: ElastiCacheRotation) -> None:
    """Raises `OperatorError`."""
    give_up = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < give_up:
        found = _described(place)
        if found["Status"] == "available" and not found.get("PendingModifiedValues", {}).get("AuthTokenStatus"):
            return
        place.sleep(_EVERY_SECONDS)
    raise OperatorError(f"{place.group} is not available after two hours")


def _until_read(place: ElastiCacheRotation, manager: Any, console: Console) -> None:
    """Waits until no task is older than the URL. Raises `OperatorError`."""
    changed, text = last_change(manager, place.url), ""
    give_up = time.monotonic() + _LONGEST_SECONDS
    while old := sorted(
        service["serviceName"]
        for service in _readers(place)
        for task in tasks_of(place.clients.client("ecs"), service, desiredStatus="RUNNING")
        if task["createdAt"] <= changed
    ):
        if time.monotonic() > give_up:
            raise OperatorError(f"old tasks of {', '.join(sorted(set(old)))} still run, and both tokens stay valid:"
                                f" docs/runbooks/secret-restart.md, then run this again")  # fmt: skip
        if (now := ", ".join(old)) != text:
            console.print(f"waiting for {len(old)} old tasks: {now}", highlight=False)
            text = now
        place.sleep(_EVERY_SECONDS)


def _readers(place: ElastiCacheRotation) -> Iterator[Mapping[str, Any]]:
    """ECS services, workers included, whose tasks get the URL."""
    ecs = place.clients.client("ecs")
    for name in services.released(place.environment):
        for service in services_of(place.clients, stack_name(place.environment.product, place.name, name)):
            definition = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
            read = {
                secret["valueFrom"] for each in definition["containerDefinitions"] for secret in each.get("secrets", [])
            }
            if place.url in read:
                yield service


def _with(url: str, token: str) -> str:
    """ElastiCache's URL, `rediss://:TOKEN@…`; a token has no characters that a URL escapes."""
    scheme, _, rest = url.partition("://:")
    return f"{scheme}://:{token}@{rest.partition('@')[2]}"


def _stages(manager: Any, secret: str) -> dict[str, str]:
    """Version by stage."""
    found = manager.describe_secret(SecretId=secret)["VersionIdsToStages"]
    return {stage: version for version, stages in found.items() for stage in stages}


def _value(manager: Any, secret: str, version: str) -> str:
    found: str = manager.get_secret_value(SecretId=secret, VersionId=version)["SecretString"]
    return found
