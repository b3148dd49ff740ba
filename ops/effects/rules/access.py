"""Permissions, and who is notified."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ops.effects.changes import ResourceChange
from ops.effects.effect import Effect, Impact, effect_of
from ops.effects.template import values

_DOCUMENTS = ("PolicyDocument", "AssumeRolePolicyDocument", "KeyPolicy", "ResourcePolicy", "RepositoryPolicyText")
_ALARMS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
_MOST_NAMED = 6
_ANYBODY = ('"*"', '{"AWS": "*"}')


@dataclass(frozen=True, order=True)
class _Allowed:
    action: str
    resource: str
    principal: str
    """"" in an identity policy."""
    condition: str
    """"" for none. A trust policy's says which of GitHub's workflows may enter the role."""

    def __str__(self) -> str:
        on = f" on `{self.resource[:100]}`" if self.resource else ""
        by = f" by `{self.principal[:100]}`" if self.principal else ""
        return f"`{self.action}`{on}{by}" + (f" if `{self.condition[:200]}`" if self.condition else "")


def effects(change: ResourceChange) -> Iterator[Effect]:
    if change.type in _ALARMS:
        yield from _alarms(change)
    else:
        yield from _permissions(change)


def _permissions(change: ResourceChange) -> Iterator[Effect]:
    before, after = _allowed(change.old), _allowed(change.new)
    if more := after - before:
        blank = any(each.action in ("*", "iam:*") and not each.principal for each in more)
        anybody = any(each.principal in _ANYBODY and not each.condition for each in more)
        yield effect_of(
            change, Impact.DANGEROUS if blank or anybody else Impact.LOOK, "allows", f"allows {_named(more)}",
            "Anybody on the internet may do it." if anybody else "More access than before.",
            procedure="name the actions and who needs them" if blank or anybody else "",
        )  # fmt: skip
    if change.new is not None and (less := before - after):
        consequence = "Calls that relied on it are denied."
        yield effect_of(change, Impact.LOOK, "allows-less", f"does not allow {_named(less)} any more", consequence)


def _named(found: set[_Allowed]) -> str:
    more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return "; ".join(str(each) for each in sorted(found)[:_MOST_NAMED]) + more


def _allowed(resource: Any) -> set[_Allowed]:
    """Of every statement that allows something, in identity, resource and trust policies."""
    return {
        _Allowed(action, _text(target), _text(statement.get("Principal")), _text(statement.get("Condition")))
        for name in _DOCUMENTS
        for document in values(resource, name)
        for statements in values(document, "Statement")
        for statement in _each(statements)
        if isinstance(statement, dict) and statement.get("Effect") == "Allow"
        for action in _each(statement.get("Action", statement.get("NotAction")))
        if isinstance(action, str)
        for target in _each(statement.get("Resource"))
    }


def _text(node: Any) -> str:
    return json.dumps(node, sort_keys=True) if node is not None else ""


def _each(node: Any) -> list[Any]:
    return node if isinstance(node, list) else [node]


def _alarms(change: ResourceChange) -> Iterator[Effect]:
    if change.new is None:
        yield effect_of(change, Impact.LOOK, "unwatched", "is removed", "No one is notified any more when it happens.")
        return
    if change.old is None:
        return
    named = (
        "ActionsEnabled",
        "AlarmActions",
        "TreatMissingData",
        "EvaluationPeriods",
        "DatapointsToAlarm",
        "Threshold",
    )
    if changed := tuple(name for name in change.properties if name in named):
        yield effect_of(
            change, Impact.LOOK, "watched", f"fires on another condition ({', '.join(changed)})",
            "People are notified earlier, later, or not at all.", properties=changed,
        )  # fmt: skip
