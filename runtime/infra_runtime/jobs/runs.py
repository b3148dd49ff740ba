"""The record of jobs' runs, in the table of the ledger: one item per attempt, and one that says which attempt runs."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

Outcome = Literal["running", "succeeded", "failed"]
_KEPT = timedelta(days=90)
# These sort after every time.
_CURRENT = "~running"
"""The attempt that runs. While the item exists, no other run of the job starts."""
_SCHEDULE = "~schedule"
"""Since when the job has its present limit for overdue."""
_SUCCESS = "~succeeded"
"""When it last succeeded."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One attempt of a run. Times are ISO 8601 in UTC."""

    job: str
    run: str
    """Shared by all attempts of the run: the time it was due, or was asked for."""
    attempt: int
    by: str
    """`schedule`, or the ARN of the caller."""
    began: str
    """When this attempt began."""
    task: str | None = None
    """ARN; None until ECS has named it, and if ECS started none."""
    outcome: Outcome = "running"
    ended: str | None = None
    exit: int | None = None
    reason: str | None = None

    @property
    def key(self) -> str:
        return f"{self.run} {self.attempt}"

    @property
    def token(self) -> str:
        """Client token for RunTask, which starts one task for each token (ECS API Reference, "Idempotency")."""
        return f"{self.job}-{int(datetime.fromisoformat(self.run).timestamp() * 1000)}-{self.attempt}"


@dataclass(frozen=True)
class Runs:
    dynamodb: Any
    table: str

    def claim(self, run: Run) -> bool:
        """False if another run of the job has not ended; then nothing is written."""
        return self._put(_claim(run), "attribute_not_exists(id)")

    def current(self, job: str) -> Run | None:
        found = self._get(job, _CURRENT)
        return _run(found) if found else None

    def started(self, run: Run) -> bool:
        """Notes the attempt's task. False if the attempt has ended, or its claim was deleted."""
        return self._put(_claim(run), "holder = :holder", {":holder": {"S": run.key}})

    def recorded(self, run: Run) -> Run | None:
        """How this attempt ended; None if it has not."""
        found = self._get(run.job, run.key)
        return _run(found) if found else None

    def record(self, run: Run) -> Run:
        """Writes down how an attempt ended. The first record stays; returns it."""
        expires = datetime.fromisoformat(run.began) + _KEPT
        item = {**_item(run), "expires": {"N": str(int(expires.timestamp()))}}
        if self._put(item, "attribute_not_exists(id)"):
            return run
        return self.recorded(run) or run

    def end(self, run: Run, *, then: Run | None) -> bool:
        """Ends a recorded attempt: one write replaces its claim by that of `then`, or deletes it.

        True for exactly one of all callers.
        """
        if run.outcome == "succeeded" and run.ended is not None:
            ended = {"S": run.ended}
            success = {**_key(run.job, _SUCCESS), "ended": ended}
            self._put(success, "attribute_not_exists(id) OR ended < :ended", {":ended": ended})
        condition, values = "holder = :holder", {":holder": {"S": run.key}}
        if then is not None:
            return self._put(_claim(then), condition, values)
        try:
            self.dynamodb.delete_item(
                TableName=self.table,
                Key=_key(run.job, _CURRENT),
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
            )
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def last_success(self, job: str) -> datetime | None:
        found = self._get(job, _SUCCESS)
        return datetime.fromisoformat(found["ended"]["S"]) if found else None

    def watched_since(self, job: str, overdue_minutes: int, *, now: datetime) -> datetime:
        """When the job first had this limit. A schedule that became shorter makes no job overdue at once."""
        limit = {"N": str(overdue_minutes)}
        found = self._get(job, _SCHEDULE)
        if found is not None and found["overdue_minutes"] == limit:
            return datetime.fromisoformat(found["since"]["S"])
        item = {**_key(job, _SCHEDULE), "overdue_minutes": limit, "since": {"S": now.isoformat()}}
        self.dynamodb.put_item(TableName=self.table, Item=item)
        return now

    def newest(self, job: str, *, most: int = 20) -> list[Run]:
        """Attempts that have ended, the newest first."""
        items = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="service = :j AND id < :c",
            ExpressionAttributeValues={":j": {"S": _partition(job)}, ":c": {"S": _CURRENT}},
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=most,
        )["Items"]
        return [_run(each) for each in items]

    def _get(self, job: str, identity: str) -> Mapping[str, Any] | None:
        key = _key(job, identity)
        found: Mapping[str, Any] | None = self.dynamodb.get_item(
            TableName=self.table, Key=key, ConsistentRead=True
        ).get("Item")
        return found

    def _put(self, item: dict[str, Any], condition: str, values: dict[str, Any] | None = None) -> bool:
        """False if the condition does not hold."""
        more = {"ExpressionAttributeValues": values} if values else {}
        try:
            self.dynamodb.put_item(TableName=self.table, Item=item, ConditionExpression=condition, **more)
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _partition(job: str) -> str:
    return f"job {job}"


def _key(job: str, identity: str) -> dict[str, Any]:
    return {"service": {"S": _partition(job)}, "id": {"S": identity}}


def _claim(run: Run) -> dict[str, Any]:
    return {**_item(run), **_key(run.job, _CURRENT), "holder": {"S": run.key}}


def _item(run: Run) -> dict[str, Any]:
    plain = {each.name: getattr(run, each.name) for each in fields(run)}
    typed = {
        key: {"N": str(value)} if isinstance(value, int) else {"S": value}
        for key, value in plain.items()
        if value is not None
    }
    return {**typed, **_key(run.job, run.key)}


def _run(item: Mapping[str, Any]) -> Run:
    known = {each.name for each in fields(Run)}
    plain: dict[str, Any] = {
        key: int(value["N"]) if "N" in value else value["S"] for key, value in item.items() if key in known
    }
    return Run(**plain)
