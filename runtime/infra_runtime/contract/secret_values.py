"""Values that no template may hold, from Secrets Manager at run time."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

REFERENCE, TEXT = "$secret", "$text"
# Shared by everything in this process.
_VALUES_READ: set[str] = set()
# For the answer to CloudFormation, when everything else took too long.
_RESERVE_SECONDS = 15


@dataclass(frozen=True)
class Secrets:
    """A reference in a declaration is {"$secret": id of the secret}; in its place comes the secret's current value.

    Within a text: {"$text": [part, reference, part]}.
    """

    manager: Any
    known: set[str] = field(default_factory=set, repr=False)
    """Every value that was read: redacted from all output."""

    def read(self, identity: str) -> str:
        found: str = self.manager.get_secret_value(SecretId=identity)["SecretString"]
        self.known.add(found)
        _VALUES_READ.add(found)
        return found

    def redact(self, text: str) -> str:
        return _without(self.known, text)

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
            if set(node) == {TEXT}:
                parts = [self.resolve(part, missing_is_fine=missing_is_fine) for part in node[TEXT]]
                return None if None in parts else "".join(parts)
            return {key: self.resolve(value, missing_is_fine=missing_is_fine) for key, value in node.items()}
        if isinstance(node, list):
            return [self.resolve(each, missing_is_fine=missing_is_fine) for each in node]
        return node


def redact(text: str) -> str:
    """The text without any secret that this process has read."""
    return _without(_VALUES_READ, text)


def _without(secrets: Iterable[str], text: str) -> str:
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "********")
    return text


def deadline_of(context: Any) -> float:
    """Seconds since 1970 until which a Lambda invocation may work, so that it can still answer."""
    return time.time() + float(context.get_remaining_time_in_millis()) / 1000 - _RESERVE_SECONDS
