"""One effect of a deployment, as a reviewer reads it."""

import json
from dataclasses import dataclass
from enum import IntEnum
from hashlib import sha256
from typing import Any

from ops.effects.changes import ResourceChange
from ops.effects.template import plain


class Impact(IntEnum):
    SAFE = 0
    """Users notice nothing, and nothing has to be done."""
    LOOK = 1
    """Worth a look: access, cost, or something that is no longer monitored."""
    DANGEROUS = 2
    """Users notice it, data is lost, or something stays behind. A person has to acknowledge it by name."""
    IMPOSSIBLE = 3
    """CloudFormation or the service refuses, often after it has changed other things."""


@dataclass(frozen=True, kw_only=True)
class Effect:
    severity: Impact
    kind: str
    """One word: replaced, gone, left-behind, interrupted, refused, in-use, exists, …"""
    stack: str
    resource: str
    """Logical id, or "" for the stack as a whole."""
    type: str = ""
    """CloudFormation's, or "" for the stack as a whole."""
    properties: tuple[str, ...] = ()
    what: str
    """What happens to the resource, as the predicate of a sentence: "is replaced (Port)"."""
    consequence: str
    """For users, in one sentence."""
    host: str = ""
    """Whose DNS record changes, of one that leads users elsewhere."""
    procedure: str = ""
    """How to get there safely; "" where nothing has to be done."""
    values: str = ""
    """The old and the new values, for the digest in `name`: an acknowledgement holds for these and no others."""

    @property
    def name(self) -> str:
        """As an acknowledgement names it."""
        digest = sha256(f"{self.properties}{self.what}{self.values}".encode()).hexdigest()[:6]
        return "/".join(part for part in (self.stack, self.resource, f"{self.kind}-{digest}") if part)


def effect_of(
    change: ResourceChange,
    severity: Impact,
    kind: str,
    what: str,
    consequence: str,
    *,
    procedure: str = "",
    properties: tuple[str, ...] | None = None,
) -> Effect:
    """The effect of a changed resource. `properties` are those that it names; by default all that differ."""
    named = change.properties if properties is None else properties
    return Effect(
        severity=severity,
        kind=kind,
        stack=change.stack,
        resource=change.logical_id,
        type=change.type,
        properties=named,
        what=what,
        consequence=consequence,
        procedure=procedure,
        values=json.dumps([_values(each, named) for each in (change.old, change.new)], sort_keys=True),
    )


def _values(resource: Any, properties: tuple[str, ...]) -> Any:
    if resource is None:
        return None
    found = {**resource.get("Properties", {}), "DeletionPolicy": resource.get("DeletionPolicy")}
    return plain({key: found.get(key.partition("/")[0]) for key in properties}, {})
