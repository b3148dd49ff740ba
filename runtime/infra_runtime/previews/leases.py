"""Who has which slot: items of the ledger's table, beside the releases in the slots."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

_OURS = "previews"

Phase = Literal["taken", "making", "deployed", "ending"]


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A slot in use. Times are ISO 8601 in UTC."""

    slot: int
    id: str
    """Unique to each use of the slot, so that nothing of an earlier preview is mistaken for this one's."""
    name: str
    """Name of the preview: its branch, so that pull requests of both repositories for one branch share it."""
    who: str
    until: str
    phase: Phase = "taken"
    images: Mapping[str, str] = field(default_factory=dict)
    """Pushed images by service; a service without one runs the environment's image."""
    asked: str | None = None
    """When something was last pushed for it."""
    has_database: bool = False
    release: str | None = None
    """Id of the newest deployment into the slot, in the ledger under `preview_service`."""

    def with_(self, **changes: Any) -> "Lease":
        return replace(self, **changes)


class LeaseChanged(Exception):
    """Another caller has changed the lease in the meantime."""


@dataclass(frozen=True)
class Leases:
    dynamodb: Any
    table: str

    def all(self) -> list[Lease]:
        """All leases, by slot."""
        items = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="service = :s",
            ExpressionAttributeValues={":s": {"S": _OURS}},
            ConsistentRead=True,
            Limit=100,
        )["Items"]
        return sorted((Lease(**json.loads(each["lease"]["S"])) for each in items), key=lambda lease: lease.slot)

    def take(self, lease: Lease) -> None:
        """Raises `LeaseChanged` when the slot is no longer free."""
        self._put(lease, "attribute_not_exists(id)", {})

    def change(self, before: Lease, after: Lease) -> Lease:
        """Raises `LeaseChanged` unless it is as it was."""
        self._put(after, "#lease = :before", {":before": {"S": _text(before)}})
        return after

    def free(self, lease: Lease) -> None:
        self.dynamodb.delete_item(TableName=self.table, Key=_key(lease))

    def _put(self, lease: Lease, condition: str, values: Mapping[str, Any]) -> None:
        given: dict[str, Any] = {"ConditionExpression": condition}
        if values:
            given |= {"ExpressionAttributeNames": {"#lease": "lease"}, "ExpressionAttributeValues": values}
        try:
            self.dynamodb.put_item(TableName=self.table, Item={**_key(lease), "lease": {"S": _text(lease)}}, **given)
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            raise LeaseChanged from None


def _key(lease: Lease) -> dict[str, Any]:
    return {"service": {"S": _OURS}, "id": {"S": f"slot-{lease.slot}"}}


def _text(lease: Lease) -> str:
    return json.dumps(asdict(lease), sort_keys=True)
