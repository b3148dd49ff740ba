"""Builds effects out of changes."""

import json
from typing import Any

from ops.effects.changes import ResourceChange
from ops.effects.effect import Effect, Impact
from ops.effects.template import plain


def of(
    change: ResourceChange,
    severity: Impact,
    kind: str,
    what: str,
    consequence: str,
    *,
    procedure: str = "",
    properties: tuple[str, ...] | None = None,
) -> Effect:
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
    found = {**resource.get("Properties", {}), **{key: resource.get(key) for key in ("DeletionPolicy",)}}
    return plain({key: found.get(key.partition("/")[0]) for key in properties}, {})
