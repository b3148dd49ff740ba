"""Rotation of the secret user agent, in Secrets Manager's four steps. S3 refuses no request meanwhile.

The bucket accepts the new one before our zone sends it, and the old one for an hour longer.
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
from infra_runtime.contract.secret_values import REFERENCE, Secrets, deadline_of
from infra_runtime.media_access import Access, Quarantine
from infra_runtime.reporting import reported
from infra_runtime.secret_rotation import NotInPlace, Rotation
from infra_runtime.state_store import SsmStateStore, StateStore

# Too long to guess, short enough for a header.
_LETTERS = 48


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    """Handles one step of a rotation by Secrets Manager."""
    manager = client("secretsmanager")
    secrets = Secrets(manager)
    store = SsmStateStore(client("ssm"), os.environ["STATE_STORE"])
    rotation = UserAgent(
        api_from(secrets, os.environ["TOKEN_SECRET"], deadline=deadline_of(context)),
        Access(client("s3"), manager, store, datetime.now(UTC), Quarantine.of(os.environ)),
        store,
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


class UserAgent(Rotation):
    def __init__(self, api: Api, access: Access, store: StateStore, *, secret: str, version: str, **names: str) -> None:
        super().__init__(access.secrets_manager, secret=secret, version=version)
        self._api, self._access, self._store = api, access, store
        self._of = _Names(**names)

    def new_value(self) -> str:
        return self.random(_LETTERS)

    def set(self, pending: str) -> None:
        media_access.converge(self._of.bucket, self._secret, self._access)
        converge(self._api, self._rules(pending), present=True)

    def test(self, pending: str) -> None:
        if pending not in media_access.accepted_user_agents(self._secret, self._access):
            raise NotInPlace("the bucket does not accept it")
        if left := self._rules(pending).changes(present=True):
            raise NotInPlace(f"Cloudflare does not send it: {left[0].action} {left[0].what}")

    def _rules(self, pending: str) -> Rules:
        """The declared rules, with the pending value in place of the reference to the secret."""
        document = self._store.get(f"declared/rules/{self._of.rule}")
        zone = zones.find(self._api, document["zone"])
        return Rules(self._api, zone.id, _with(document, pending))


def _with(node: Any, value: str) -> Any:
    if isinstance(node, Mapping):
        return value if set(node) == {REFERENCE} else {key: _with(each, value) for key, each in node.items()}
    return [_with(each, value) for each in node] if isinstance(node, list) else node
