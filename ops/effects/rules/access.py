"""Who may do what, and who hears of it."""

import json
from collections.abc import Iterator
from typing import Any

from ops.effects.changes import Change
from ops.effects.effect import Effect, Severity
from ops.effects.rules.making import of
from ops.effects.template import values

_POLICIES = ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy", "AWS::IAM::Role")
_ALARMS = ("AWS::CloudWatch::Alarm", "AWS::CloudWatch::CompositeAlarm")
_MOST_NAMED = 6


def effects(change: Change) -> Iterator[Effect]:
    if change.type in _POLICIES:
        yield from _permissions(change)
    elif change.type in _ALARMS:
        yield from _alarms(change)


def _permissions(change: Change) -> Iterator[Effect]:
    before, after = allowed(change.old), allowed(change.new)
    for found, kind, what in (
        (after - before, "allows", "allows more"),
        (before - after, "allows-less", "allows less"),
    ):
        if not found or (kind == "allows-less" and change.new is None):
            continue
        named = "; ".join(f"`{action}` on `{resource[:100]}`" for action, resource in sorted(found)[:_MOST_NAMED])
        more = f"; and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
        everything = any(action in ("*", "iam:*") for action, _ in found) and kind == "allows"
        yield of(
            change, Severity.DANGEROUS if everything else Severity.LOOK, kind, f"{what}: {named}{more}",
            "More access than before." if kind == "allows" else "Calls that relied on it are denied.",
        )  # fmt: skip
    was, is_ = (_trust(each) for each in (change.old, change.new))
    if was is not None and is_ is not None and was != is_:
        yield of(
            change, Severity.LOOK, "trust", "is trusted to somebody else", "Another caller may take the role.",
            properties=("AssumeRolePolicyDocument",),
        )  # fmt: skip


def allowed(resource: Any) -> set[tuple[str, str]]:
    """(action, resource) of every statement that allows something."""
    return {
        (action, json.dumps(each, sort_keys=True))
        for document in values(resource, "PolicyDocument")
        for statements in values(document, "Statement")
        for statement in _each(statements)
        if isinstance(statement, dict) and statement.get("Effect") == "Allow"
        for action in _each(statement.get("Action", statement.get("NotAction")))
        if isinstance(action, str)
        for each in _each(statement.get("Resource"))
    }


def _trust(resource: Any) -> str | None:
    document = (resource or {}).get("Properties", {}).get("AssumeRolePolicyDocument")
    return json.dumps(document, sort_keys=True) if document else None


def _each(node: Any) -> list[Any]:
    return node if isinstance(node, list) else [node]


def _alarms(change: Change) -> Iterator[Effect]:
    if change.new is None:
        yield of(change, Severity.LOOK, "unwatched", "goes", "Nobody is told any more when it happens.")
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
        yield of(
            change, Severity.LOOK, "watched", f"goes off at something else ({', '.join(changed)})",
            "People are told earlier, later, or not at all.", properties=changed,
        )  # fmt: skip
