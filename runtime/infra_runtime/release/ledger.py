"""The ledger of releases, in one DynamoDB table: an item for each, by service and then by time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from infra_runtime.contract.releases import LISTED

Outcome = Literal["running", "succeeded", "failed"]
_RECENT = 10
_DOCUMENTS = ("migration", "complaints")  # kept as JSON


@dataclass(frozen=True, kw_only=True)
class Release:
    """What was to run, and how it ended. Times are ISO 8601 in UTC."""

    service: str
    id: str
    """Sorts by time; also the token of the stack's update, which identifies its events."""
    kind: Literal["release", "rollback"]
    image: str
    previous: str
    """The image that ran before."""
    who: str
    """ARN, proven by the caller's credentials, and the person for whom it claims to act (infra_runtime.caller)."""
    began: str
    template: str
    """Digest of the stack's template at that time."""
    outcome: Outcome = "running"
    ended: str | None = None
    reason: str | None = None
    note: str | None = None
    run: str | None = None
    """Run of the workflow that released it, as WORKFLOW#NUMBER; None for a person, and in older entries."""
    migration: Mapping[str, Any] = field(default_factory=dict)
    """What release.migrate found: `before` and `after` are digests of the schema, `breaks` what became impossible,
    `invalid` indexes that were left unfinished, `skipped` migrations that the tool passed over; or only `interrupted`:
    the release was stopped meanwhile, and what it has changed is part of what the next one finds."""
    complaints: Sequence[str] = ()
    """Why checks of the new tasks failed."""
    stopped: str | None = None
    """Who stopped it, and why; None if it ended by itself."""
    resumed: str | None = None
    """Who allowed pipelines to release again after this rollback, and when."""
    waiting: str | None = None
    """Whose migration of the same database it waits for."""

    @property
    def breaks(self) -> list[str]:
        return list(self.migration.get("breaks", []))

    @property
    def repairs(self) -> list[str]:
        """One statement for each index that is INVALID: nothing uses it, and its name is taken."""
        return [f"drop index concurrently {each};" for each in self.migration.get("invalid", [])]


def new_id(now: datetime, random: str) -> str:
    """An id of letters that CloudFormation allows in a token."""
    return f"r{now:%Y%m%d-%H%M%S}-{random}"


@dataclass(frozen=True)
class Ledger:
    dynamodb: Any
    table: str

    def begin(self, release: Release) -> None:
        self.dynamodb.put_item(
            TableName=self.table, Item=_item(release), ConditionExpression="attribute_not_exists(id)"
        )

    def end(self, service: str, identity: str, *, outcome: Outcome, when: str, reason: str | None) -> bool:
        """False when it had ended before: the first outcome stays."""
        names = {"#o": "outcome", "#e": "ended", "#r": "reason"}
        values = {":o": outcome, ":e": when, ":r": reason, ":running": "running"}
        try:
            self.dynamodb.update_item(
                TableName=self.table,
                Key={"service": {"S": service}, "id": {"S": identity}},
                UpdateExpression="SET #o = :o, #e = :e, #r = :r",
                ConditionExpression="#o = :running",
                ExpressionAttributeNames=names,
                ExpressionAttributeValues={key: _value(value) for key, value in values.items()},
            )
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def stop(self, release: Release, reason: str | None) -> None:
        """Records why a release is stopped, before it is stopped. None withdraws that."""
        self._set(release, "stopped", reason)

    def is_stopped(self, service: str, image: str) -> bool:
        """Whether the release of this image that is under way was stopped by a person."""
        release = self.running(service)
        return release is not None and release.stopped is not None and release.image == image

    def resume(self, release: Release, who: str) -> None:
        """Pipelines may release again after this rollback."""
        self._set(release, "resumed", who)

    def _set(self, release: Release, name: str, value: str | None) -> None:
        self.dynamodb.update_item(
            TableName=self.table,
            Key={"service": {"S": release.service}, "id": {"S": release.id}},
            UpdateExpression="SET #n = :v",
            ExpressionAttributeNames={"#n": name},
            ExpressionAttributeValues={":v": _value(value)},
        )

    def note(self, service: str, what: Literal["migration", "complaints"], found: object) -> None:
        """Writes to the release that is under way; other deployments (a rotation, `cdk deploy`) have no entry.

        The first note stays: CloudFormation may roll back by a deployment of its own, which migrates, too.
        """
        release = self.running(service)
        if release is not None and not getattr(release, what):
            self._set(release, what, json.dumps(found))

    def waits(self, service: str, whom: str | None) -> None:
        """The release that is under way waits, or does not any more."""
        release = self.running(service)
        if release is not None and release.waiting != whom:
            self._set(release, "waiting", whom)

    def newest(self, service: str) -> Release | None:
        found = self.releases(service, most=1)
        return found[0] if found else None

    def running(self, service: str, *, beside: str | None = None) -> Release | None:
        """The one that is under way; `beside` is the id of one that does not count."""
        found = self.releases(service, most=_RECENT)
        return next((each for each in found if each.outcome == "running" and each.id != beside), None)

    def find(self, service: str, identity: str) -> Release | None:
        return next((each for each in self.releases(service) if each.id == identity), None)

    def releases(self, service: str, *, most: int = LISTED) -> list[Release]:
        """The newest first."""
        items = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="service = :s",
            ExpressionAttributeValues={":s": {"S": service}},
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=most,
        )["Items"]
        return [_release(each) for each in items]


def _value(value: str | None) -> dict[str, Any]:
    return {"NULL": True} if value is None else {"S": value}


def _item(release: Release) -> dict[str, Any]:
    plain = {**vars(release), **{each: json.dumps(getattr(release, each)) for each in _DOCUMENTS}}
    return {key: _value(value) for key, value in plain.items()}


def _release(item: Mapping[str, Any]) -> Release:
    plain = {key: value.get("S") for key, value in item.items() if key in Release.__dataclass_fields__}
    return Release(**{**plain, **{each: json.loads(plain[each]) for each in _DOCUMENTS}})
