"""The token, and other values that no template may hold, from Secrets Manager at run time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra_runtime.cloudflare.api import BASE_URL, Api, Pace

REFERENCE = "$secret"


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


def api_from(secrets: Secrets, identity: str, *, deadline: float, pace: Pace) -> Api:
    """The secret is the token, or {"token": …, "api": …}, where `api` is another address, as in a rehearsal."""
    text = secrets.read(identity).strip()
    token, address = text, BASE_URL
    if text.startswith("{"):
        try:
            content = json.loads(text)
            token, address = content["token"], content.get("api", BASE_URL)
        except (ValueError, KeyError) as error:
            raise BadToken(f'the secret {identity} must be a token, or {{"token": "…"}}') from error
    if not token or not token.isascii() or any(character.isspace() for character in token):
        raise BadToken(f"the secret {identity} holds no token: letters, digits, - and _ are what a token is made of")
    secrets.known.add(token)
    return Api(token, deadline=deadline, base_url=address.rstrip("/"), pace=pace, redact=secrets.redact)
