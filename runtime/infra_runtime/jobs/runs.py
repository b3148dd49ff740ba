"""The record of jobs' runs, in the table of the ledger: an item for each attempt, by job and then by time."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Literal

Outcome = Literal["running", "succeeded", "failed"]
_KEPT = timedelta(days=90)
# Both sort behind every time.
_CURRENT = "~running"
"""While the item is there, the job runs, and nobody starts it again."""
_SUCCESS = "~succeeded"
"""When it last did."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Times are ISO 8601 in UTC."""

    job: str
    id: str
    """When it began, and which attempt it is."""
    attempt: int
    by: str
    """`schedule`, or the ARN of who asked."""
    began: str
    task: str | None = None
    """ARN; None when ECS started none."""
    outcome: Outcome = "running"
    ended: str | None = None
    exit: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Runs:
    dynamodb: Any
    table: str

    def claim(self, run: Run) -> bool:
        """False while another run of the job has not ended: then nothing is written."""
        item = {**_item(run), **_key(run.job, _CURRENT), "run": {"S": run.id}}
        try:
            self.dynamodb.put_item(TableName=self.table, Item=item, ConditionExpression="attribute_not_exists(id)")
        except self.dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def current(self, job: str) -> Run | None:
        found = self.dynamodb.get_item(TableName=self.table, Key=_key(job, _CURRENT), ConsistentRead=True).get("Item")
        return _run({**found, "id": found["run"]}) if found else None

    def started(self, run: Run) -> None:
        """Its task is known from now on."""
        item = {**_item(run), **_key(run.job, _CURRENT), "run": {"S": run.id}}
        self.dynamodb.put_item(TableName=self.table, Item=item, ConditionExpression="attribute_exists(id)")

    def end(self, run: Run) -> None:
        """Writes down how it ended, and lets the next run begin. The record is first, as it may be written twice."""
        expires = datetime.fromisoformat(run.began) + _KEPT
        item = {**_item(run), "expires": {"N": str(int(expires.timestamp()))}}
        self.dynamodb.put_item(TableName=self.table, Item=item)
        if run.outcome == "succeeded" and run.ended is not None:
            success = {**_key(run.job, _SUCCESS), "ended": {"S": run.ended}}
            self.dynamodb.put_item(TableName=self.table, Item=success)
        self.dynamodb.delete_item(TableName=self.table, Key=_key(run.job, _CURRENT))

    def last_success(self, job: str, *, otherwise: datetime) -> datetime:
        """Of a job that never succeeded: when this was asked first, with the `otherwise` of that time."""
        key = _key(job, _SUCCESS)
        found = self.dynamodb.get_item(TableName=self.table, Key=key, ConsistentRead=True).get("Item")
        if found is not None:
            return datetime.fromisoformat(found["ended"]["S"])
        self.dynamodb.put_item(TableName=self.table, Item={**key, "ended": {"S": otherwise.isoformat()}})
        return otherwise

    def newest(self, job: str, *, most: int = 20) -> list[Run]:
        """Of those that have ended, the newest first."""
        items = self.dynamodb.query(
            TableName=self.table,
            KeyConditionExpression="service = :j AND id < :c",
            ExpressionAttributeValues={":j": {"S": _partition(job)}, ":c": {"S": _CURRENT}},
            ScanIndexForward=False,
            ConsistentRead=True,
            Limit=most,
        )["Items"]
        return [_run(each) for each in items]


def _partition(job: str) -> str:
    return f"job {job}"


def _key(job: str, identity: str) -> dict[str, Any]:
    return {"service": {"S": _partition(job)}, "id": {"S": identity}}


def _item(run: Run) -> dict[str, Any]:
    plain = {each.name: getattr(run, each.name) for each in fields(run)}
    typed = {
        key: {"N": str(value)} if isinstance(value, int) else {"S": value}
        for key, value in plain.items()
        if value is not None
    }
    return {**typed, **_key(run.job, run.id)}


def _run(item: Mapping[str, Any]) -> Run:
    known = {each.name for each in fields(Run)}
    plain: dict[str, Any] = {
        key: int(value["N"]) if "N" in value else value["S"] for key, value in item.items() if key in known
    }
    return Run(**plain)
