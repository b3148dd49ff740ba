"""The token, and other values that no template may hold, from Secrets Manager at run time."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra_runtime.cloudflare.api import BASE_URL, Api, Clock, Pace

REFERENCE = "$secret"
# For the answer to CloudFormation, when everything else took too long.
_RESERVE_SECONDS = 15
# One for all invocations of this process: a warm function must not begin each with a new burst.
_pace = Pace(Clock())


@dataclass(frozen=True)
class Secrets:
    """A reference in a declaration is {"$secret": id of the secret}; in its place comes the secret's current value."""

    manager: Any
    known: set[str] = field(default_factory=set, repr=False)
    """Whatever was read: never told to anybody."""

    def read(self, identity: str) -> str:
        found: str = self.manager.get_secret_value(SecretId=identity)["SecretString"]
        self.known.add(found)
        return found

    def redact(self, text: str) -> str:
        for secret in sorted(self.known, key=len, reverse=True):
            text = text.replace(secret, "********")
        return text

    def resolve(self, node: Any, *, missing_is_fine: bool = False) -> Any:
        """The declaration with its secrets in it."""
        if isinstance(node, Mapping):
            if set(node) == {REFERENCE}:
                try:
                    return self.read(node[REFERENCE])
                except self.manager.exceptions.ResourceNotFoundException:
                    if missing_is_fine:
                        return None
                    raise
            return {key: self.resolve(value, missing_is_fine=missing_is_fine) for key, value in node.items()}
        if isinstance(node, list):
            return [self.resolve(each, missing_is_fine=missing_is_fine) for each in node]
        return node


class BadToken(Exception):
    """The secret is not what docs/cloudflare-token.md says; its value is not told."""


def base_url() -> str:
    """Of the API. The variable is the one that Cloudflare's own SDK reads; a rehearsal sets it, and no template."""
    return os.environ.get("CLOUDFLARE_BASE_URL", BASE_URL).rstrip("/")


def deadline_of(context: Any) -> float:
    """Seconds since 1970 until which a Lambda invocation may work, so that it can still answer."""
    return time.time() + float(context.get_remaining_time_in_millis()) / 1000 - _RESERVE_SECONDS


def api_from(secrets: Secrets, identity: str, *, deadline: float) -> Api:
    """Speaks with the token that the secret holds, and nothing else."""
    token = secrets.read(identity).strip()
    if not token or not token.isascii() or not token.replace("-", "").replace("_", "").isalnum():
        raise BadToken(f"the secret {identity} holds no token: letters, digits, - and _ are what a token is made of")
    secrets.known.add(token)
    return Api(token, deadline=deadline, base_url=base_url(), pace=_pace, redact=secrets.redact)
