"""An environment's zone, reached with the operator's AWS credentials and the environment's own token."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import boto3
import httpx
from botocore.exceptions import BotoCoreError, ClientError

from config.model import Environment
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import Subject
from infra_runtime.cloudflare.credentials import api_from
from infra_runtime.cloudflare.provider import subject
from infra_runtime.cloudflare.zone import NoZone
from infra_runtime.contract.names import parameters
from infra_runtime.contract.secret_values import Secrets
from infra_runtime.state_store import SsmStateStore
from infra_runtime.vendor_api import BadCredentials, VendorError
from ops.account import explained, session_of
from ops.errors import OperatorError

_TIMEOUT_SECONDS = 300
_ANSWER_SECONDS = 5.0
EXPLAINED = (BotoCoreError, ClientError, VendorError, NoZone, BadCredentials)


@dataclass(frozen=True)
class EdgeOf:
    """The zone of one environment, and our objects in it."""

    name: str
    environment: Environment
    session: boto3.Session
    api: Api
    secrets: Secrets
    store: SsmStateStore

    def deployed(self) -> dict[str, dict[str, Any]]:
        """Declarations of the last deployment, by kind and name. Raises `OperatorError` if there are none."""
        found = self.store.all("declared")
        if not found:
            raise OperatorError(
                f"{self.name}: nothing is declared in account {self.environment.aws.account}, {self.store.prefix}; "
                f"deploy it first: make deploy ENV={self.name}"
            )
        return dict(sorted(found.items()))

    def subject(self, document: Mapping[str, Any]) -> Subject:
        return subject(self.secrets.resolve(document), api=self.api, zone=self.zone, store=self.store)

    @cached_property
    def zone(self) -> zones.Zone:
        return zones.find(self.api, self.environment.domains.zone)


@contextmanager
def opened(name: str, environment: Environment) -> Iterator[EdgeOf]:
    """Like `open_edge`, but errors of AWS and Cloudflare within the block become `OperatorError`."""
    try:
        yield open_edge(name, environment)
    except EXPLAINED as error:
        raise zone_explained(error, name, environment) from None


def open_edge(name: str, environment: Environment) -> EdgeOf:
    """Raises `OperatorError` without credentials or token, and for another account's credentials."""
    try:
        session = session_of(name, environment)
        secrets = Secrets(session.client("secretsmanager"))
        api = api_from(secrets, environment.cloudflare.token_secret, deadline=time.time() + _TIMEOUT_SECONDS)
    except EXPLAINED as error:
        raise zone_explained(error, name, environment) from None
    require_reachable(api)
    prefix = parameters(environment.product, name, "cloudflare")
    return EdgeOf(name, environment, session, api, secrets, SsmStateStore(session.client("ssm"), prefix))


def require_reachable(api: Api) -> None:
    """Raises `OperatorError` within seconds; the client's own time-out, meant for functions, is half a minute."""
    try:
        api.http.get(api.base_url, timeout=_ANSWER_SECONDS)
    except httpx.TransportError as error:
        raise OperatorError(f"Cloudflare cannot be reached from here: {api.base_url}: {error}") from None


def zone_explained(error: Exception, name: str, environment: Environment) -> OperatorError:
    missing = f"is the token in the secret {environment.cloudflare.token_secret}? (docs/cloudflare-token.md)"
    return explained(error, name, environment, missing=missing)
