"""Answers `DescribeStacks` and `DescribeChangeSet` only after a change: the CDK CLI polls every five seconds."""

import asyncio
import re
import time
from typing import Any
from urllib.parse import parse_qs

from ministack import app

from simulators.aws.resource_type import remember_the_loop

_POLLED = {"DescribeStacks", "DescribeChangeSet"}
# REVIEW_IN_PROGRESS waits for the caller, not for CloudFormation.
_BUSY = re.compile(rb"(?<!REVIEW)_IN_PROGRESS</(Stack)?Status>|_PENDING</Status>")
_LONGEST_SECONDS = 20.0


def install() -> None:
    own = app.SERVICE_HANDLERS["cloudformation"]

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        remember_the_loop()
        answer = await own(method, path, headers, body, query)
        request = parse_qs(body.decode(errors="replace"))
        # Only the CLI waits: `./infra` and the rehearsal show progress at their own intervals.
        is_cli = "aws-sdk-js" in headers.get("user-agent", "")
        if not is_cli or request.get("Action", [""])[0] not in _POLLED or "StackName" not in request:
            return answer
        give_up = time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < give_up and _BUSY.search(answer[2]):
            await asyncio.sleep(0.05)
            answer = await own(method, path, headers, body, query)
        return answer

    app.SERVICE_HANDLERS["cloudformation"] = handle
