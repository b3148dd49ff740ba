"""DynamoDB's reads that did not ask to be consistent: they answer as if the last write had not been yet."""

import copy
import json
import time
from typing import Any

from ministack import app
from ministack.services import dynamodb

from rehearsal.emulator.conditions import Condition, is_on

_WRITES = {"PutItem", "UpdateItem", "DeleteItem"}
_READS = {"GetItem", "Query", "Scan"}
# DynamoDB says "usually within one second or less" (developer guide, "DynamoDB read consistency").
_BEHIND_SECONDS = 0.3


def install() -> None:
    if not is_on(Condition.EVENTUAL_CONSISTENCY):
        return
    own = app.SERVICE_HANDLERS["dynamodb"]
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

    app.SERVICE_HANDLERS["dynamodb"] = handle
