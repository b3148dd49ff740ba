"""Services with a REST API that MiniStack lacks."""

import json
import re
import urllib.parse
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from ministack import app
from ministack.core import iam_actions, router

Answer = tuple[int, dict[str, str], bytes]
Handler = Callable[[str, str, dict[str, str], bytes, dict[str, Any]], Awaitable[Answer]]
_JSON = {"Content-Type": "application/json"}


def handler(
    routes: Sequence[tuple[str, str, str]],
    service: Callable[[], Any],
    failure: type[Exception],
    *,
    missing: str,
    wrong: str,
) -> Handler:
    """`routes` are (method, pattern of the path, operation of the service). `missing` and `wrong` are codes of errors.

    Operations get the path's groups and the body, and raise `failure`, which has a `code`.
    """

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Answer:
        # On a thread: an operation may call other services, or ask the zone's name servers.
        from ministack.core.concurrency import run_reentrant

        for verb, pattern, operation in routes:
            if verb == method and (found := re.fullmatch(pattern, urllib.parse.unquote(path.rstrip("/")))):
                request = {**found.groupdict(), **json.loads(body or b"{}")}
                try:
                    answer = await run_reentrant(partial(getattr(service(), operation), **request))
                except failure as error:
                    code = str(getattr(error, "code", wrong))
                    return _error(404 if code == missing else 400, code, str(error))
                # A copy: MiniStack adds the headers of each answer, its length among them.
                return 200, dict(_JSON), json.dumps(answer).encode()
        return _error(400, wrong, f"{method} {path}")

    return handle


def _error(status: int, code: str, message: str) -> Answer:
    return status, {**_JSON, "x-amzn-ErrorType": code}, json.dumps({"message": message}).encode()


def install(name: str, handle: Handler) -> None:
    app.SERVICE_HANDLERS[name] = handle
    router.SERVICE_PATTERNS[name] = {"target_prefixes": [], "host_patterns": []}
    # Else MiniStack would allow every call.
    iam_actions.SERVICE_TO_IAM_NAMESPACE[name] = name
    iam_actions._BOTOCORE_SERVICE_MAP[name] = [name]
