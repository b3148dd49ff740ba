"""Who migrates a database: one item for each database in the ledger's table, beside the releases.

Not an advisory lock: that lives as long as a session, and nothing of ours runs as long as a migration.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from infra_runtime.release.catalog import Fact, packed, unpacked

_ITEM = "migration"
# A DynamoDB item has at most 400 KiB; a schema of twenty thousand columns fits.
_MOST_BYTES = 380_000


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A deployment that migrates, or was the last one to. Times are ISO 8601 in UTC."""

    deployment: str
    """ARN."""
    service: str
    """Name of the service in the ledger."""
    cluster: str
    definition: str
    """ARN of the task definition that migrates."""
    until: str
    before: str
    """Digest of the catalog before it."""
    succeeded: bool | None = None
    """None while it holds the lock."""

    def is_late(self, now: datetime) -> bool:
        return now > datetime.fromisoformat(self.until)


class LockTaken(Exception):
    """Another deployment took the lock first."""


@dataclass(frozen=True)
class MigrationLock:
    dynamodb: Any
    table: str
    database: str
    """Its name."""

    @property
    def _key(self) -> dict[str, Any]:
        # No service has a name with a slash.
        return {"service": {"S": f"database/{self.database}"}, "id": {"S": _ITEM}}

    def last(self) -> Holder | None:
        """The present holder of the lock, or its last one."""
        item = self.dynamodb.get_item(
            TableName=self.table, Key=self._key, ConsistentRead=True, ProjectionExpression="holder"
        ).get("Item")
        return Holder(**json.loads(item["holder"]["S"])) if item else None

    def facts(self) -> list[Fact] | None:
        """The catalog as it was before the holder; None when it was too large to be kept."""
        item = self.dynamodb.get_item(TableName=self.table, Key=self._key, ConsistentRead=True)["Item"]
        return unpacked(item["facts"]["B"]) if "facts" in item else None

    def take(self, holder: Holder, before: Sequence[Fact] | None, *, instead_of: Holder | None) -> None:
        """Takes the lock. `before` is the catalog, or None when only `holder.before` is known. Raises `LockTaken`."""
        content = packed(before) if before is not None else None
        is_kept = content is not None and len(content) <= _MOST_BYTES
        self._put(holder, {"facts": {"B": content}} if is_kept else {}, instead_of)

    def end(self, holder: Holder, *, succeeded: bool) -> None:
        """Frees it, and remembers how it ended, should ECS ask again."""
        self._put(replace(holder, succeeded=succeeded), {}, holder)

    def _put(self, holder: Holder, more: dict[str, Any], instead_of: Holder | None) -> None:
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(id)"}
        if instead_of is not None:
            condition = {
                "ConditionExpression": "holder = :before",
                "ExpressionAttributeValues": {":before": {"S": _text(instead_of)}},
            }
        item = {**self._key, "holder": {"S": _text(holder)}, **more}
        try:
            self.dynamodb.put_item(TableName=self.table, Item=item, **condition)
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            raise LockTaken from None


def _text(holder: Holder) -> str:
    return json.dumps(asdict(holder), sort_keys=True)
