"""Reads that do not see the last write: DynamoDB's that did not ask to, and ECS's of a task that has just begun."""

import copy
import json
import time
from typing import Any

from ministack import app
from ministack.services import dynamodb

from simulators.aws.conditions import Condition, is_on

_WRITES = {"PutItem", "UpdateItem", "DeleteItem"}
_READS = {"GetItem", "Query", "Scan"}
# DynamoDB says "usually within one second or less" (developer guide, "DynamoDB read consistency").
_BEHIND_SECONDS = 0.3


def install() -> None:
    if is_on(Condition.EVENTUAL_CONSISTENCY):
        app.SERVICE_HANDLERS["dynamodb"] = _dynamodb(app.SERVICE_HANDLERS["dynamodb"])
        app.SERVICE_HANDLERS["ecs"] = _ecs(app.SERVICE_HANDLERS["ecs"])


def _dynamodb(own: Any) -> Any:
    before: dict[str, tuple[float, Any]] = {}

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        request = json.loads(body or b"{}") if operation in _WRITES | _READS else {}
        table = dynamodb._tables.get(request.get("TableName", ""))
        if table is None:
            return await own(method, path, headers, body, query)
        name, now = table["TableArn"], table["items"]
        if operation in _WRITES:
            before[name] = (time.monotonic(), copy.deepcopy(now))
        elif not request.get("ConsistentRead"):
            written, old = before.get(name, (0.0, now))
            # MiniStack answers at once, without letting another request in between.
            table["items"] = old if time.monotonic() - written < _BEHIND_SECONDS else now
        try:
            return await own(method, path, headers, body, query)
        finally:
            table["items"] = now

    return handle


def _ecs(own: Any) -> Any:
    """A task is MISSING for a moment after RunTask (API reference, "RunTask")."""
    began: dict[str, float] = {}

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        status, answered, document = await own(method, path, headers, body, query)
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if status != 200 or operation not in ("RunTask", "DescribeTasks"):
            return status, answered, document
        decoded = json.loads(document)
        if operation == "RunTask":
            for each in decoded["tasks"]:
                began.setdefault(each["taskArn"], time.monotonic())
            return status, answered, document
        unseen = [
            e["taskArn"] for e in decoded["tasks"] if time.monotonic() - began.get(e["taskArn"], 0) < _BEHIND_SECONDS
        ]
        decoded["tasks"] = [each for each in decoded["tasks"] if each["taskArn"] not in unseen]
        decoded["failures"] = [*decoded.get("failures", []), *({"arn": each, "reason": "MISSING"} for each in unseen)]
        return status, answered, json.dumps(decoded).encode()

    return handle
