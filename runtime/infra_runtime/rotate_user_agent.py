"""Rotation of the secret user agent, in Secrets Manager's four steps: no request is refused at any moment.

The bucket accepts the new one before our zone sends it, and the old one for an hour after.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from infra_runtime import media_access
from infra_runtime.aws import client
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import converge
from infra_runtime.cloudflare.credentials import api_from
from infra_runtime.cloudflare.rules import Rules
from infra_runtime.media_access import Access
from infra_runtime.memory import Memory, SsmMemory
from infra_runtime.secret_values import REFERENCE, Secrets, deadline_of

# Long enough that nobody guesses it, short enough for a header.
_LETTERS = 48


class NotInPlace(Exception):
    """The new user agent is not where it has to be before it may count; the old one goes on."""


def handler(event: Mapping[str, Any], context: Any) -> None:
    """For Secrets Manager: one step of a rotation."""
    manager = client("secretsmanager")
    secrets = Secrets(manager)
    memory = SsmMemory(client("ssm"), os.environ["MEMORY"])
    rotation = Rotation(
        api_from(secrets, os.environ["TOKEN_SECRET"], deadline=deadline_of(context)),
        Access(client("s3"), manager, memory, datetime.now(UTC)),
        memory,
        bucket=os.environ["BUCKET"],
        rule=os.environ["RULE"],
        secret=event["SecretId"],
        version=event["ClientRequestToken"],
    )
    rotation.step(event["Step"])


@dataclass(frozen=True, kw_only=True)
class _Names:
    bucket: str
    rule: str
    """Key of the declared rules that set the user agent."""
    secret: str
    version: str


class Rotation:
    def __init__(self, api: Api, access: Access, memory: Memory, **names: str) -> None:
        self._api, self._access, self._memory = api, access, memory
        self._of = _Names(**names)
        self._manager = access.secrets_manager

    def step(self, name: str) -> None:
        """Each may be repeated. Raises when what it is to bring about is not there in the end."""
        {
            "createSecret": self._create,
            "setSecret": self._set,
            "testSecret": self._test,
            "finishSecret": self._finish,
        }[name]()

    def _stages(self) -> dict[str, str]:
        """Version by stage."""
        versions = self._manager.list_secret_version_ids(SecretId=self._of.secret)["Versions"]
        return {stage: each["VersionId"] for each in versions for stage in each["VersionStages"]}

    def _create(self) -> None:
        if self._stages().get("AWSPENDING") == self._of.version and self._has_value():
            return
        value = self._manager.get_random_password(PasswordLength=_LETTERS, ExcludePunctuation=True)["RandomPassword"]
        self._manager.put_secret_value(
            SecretId=self._of.secret,
            ClientRequestToken=self._of.version,
            SecretString=value,
            VersionStages=["AWSPENDING"],
        )

    def _has_value(self) -> bool:
        try:
            return bool(self._pending())
        except self._manager.exceptions.ResourceNotFoundException:
            return False

    def _pending(self) -> str:
        found: str = self._manager.get_secret_value(
            SecretId=self._of.secret, VersionId=self._of.version, VersionStage="AWSPENDING"
        )["SecretString"]
        return found

    def _set(self) -> None:
        media_access.converge(self._of.bucket, self._of.secret, self._access)
        converge(self._api, self._rules(), present=True)

    def _test(self) -> None:
        if self._pending() not in media_access.accepted_user_agents(self._of.secret, self._access):
            raise NotInPlace("the bucket does not accept it")
        if left := self._rules().changes(present=True):
            raise NotInPlace(f"Cloudflare does not send it: {left[0].action} {left[0].what}")

    def _finish(self) -> None:
        current = self._stages()["AWSCURRENT"]
        if current != self._of.version:
            self._manager.update_secret_version_stage(
                SecretId=self._of.secret,
                VersionStage="AWSCURRENT",
                MoveToVersionId=self._of.version,
                RemoveFromVersionId=current,
            )

    def _rules(self) -> Rules:
        """The declared rules, with the pending value where the secret is referred to."""
        document = self._memory.get(f"declared/rules/{self._of.rule}")
        zone = zones.find(self._api, document["zone"])
        return Rules(self._api, zone.id, _with(document, self._pending()))


def _with(node: Any, value: str) -> Any:
    if isinstance(node, Mapping):
        return value if set(node) == {REFERENCE} else {key: _with(each, value) for key, each in node.items()}
    return [_with(each, value) for each in node] if isinstance(node, list) else node
