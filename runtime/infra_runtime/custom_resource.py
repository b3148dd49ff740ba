"""CloudFormation's protocol for custom resources: one event in, exactly one answer out."""

import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from traceback import format_exc
from typing import Any, Literal

from infra_runtime.reporting import report

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

# CloudFormation refuses answers of more than 4096 bytes, and then waits an hour for another.
_LONGEST_ANSWER = 4096
# Seconds. Without an answer CloudFormation waits for an hour.
_ANSWER_WAITS = (0.5, 1, 2, 4)


@dataclass(frozen=True)
class Request:
    """A request of CloudFormation. Every value in `properties` is a string, even if it is a number in the template."""

    kind: Literal["Create", "Update", "Delete"]
    properties: Mapping[str, Any]
    physical_id: str | None
    """None on Create."""
    former: Mapping[str, Any] = field(default_factory=dict)
    """Properties before an Update; empty otherwise."""


@dataclass(frozen=True)
class Result:
    """The result. A `physical_id` other than the old one makes CloudFormation delete the old one."""

    physical_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


class PartlyCreated(Exception):
    """A create that failed after it may have created something: the Delete that follows must find and remove it."""

    def __init__(self, physical_id: str, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}")
        self.physical_id = physical_id


Send = Callable[[str, bytes], None]


def serve(
    event: Mapping[str, Any],
    handle: Callable[[Request], Result | None],
    *,
    send: Send | None = None,
    redact: Callable[[str], str] = str,
) -> None:
    """Runs `handle` and sends CloudFormation the result. `redact` removes secrets from what is sent and logged.

    A failed Create answers with a physical id that `handle` never returns, so the Delete that follows is recognised
    here and does nothing: `handle` must leave nothing behind when it raises during Create, or raise `PartlyCreated`.
    If `handle` returns None, no answer is sent: it has started another invocation, which goes on.

    Raises only when the answer itself cannot be delivered.
    """
    send = send or _put
    never_created = f"never-created:{event['RequestId']}"
    physical_id = event.get("PhysicalResourceId")
    failed: Exception | None = None
    answer: dict[str, Any] = {key: event[key] for key in ("RequestId", "StackId", "LogicalResourceId")}
    try:
        if event["RequestType"] == "Delete" and str(physical_id).startswith("never-created:"):
            result: Result | None = Result(physical_id=str(physical_id))
        else:
            result = handle(
                Request(
                    kind=event["RequestType"],
                    properties=event["ResourceProperties"],
                    physical_id=physical_id,
                    former=event.get("OldResourceProperties", {}),
                )
            )
    except Exception as error:  # The one place where everything is caught: silence would block the stack for an hour.
        failed = error
        logger.error("%s of %s failed: %s", event["RequestType"], event["LogicalResourceId"], redact(format_exc()))
        reason = redact(str(error) if isinstance(error, PartlyCreated) else f"{type(error).__name__}: {error}")
        made = error.physical_id if isinstance(error, PartlyCreated) else never_created
        answer |= {"Status": "FAILED", "Reason": reason, "PhysicalResourceId": physical_id or made}
    else:
        if result is None:
            return
        answer |= {"Status": "SUCCESS", "PhysicalResourceId": result.physical_id, "Data": dict(result.attributes)}
    send(event["ResponseURL"], _fitting(answer))
    if failed is not None:
        report(failed, redact=redact)


def _fitting(answer: dict[str, Any]) -> bytes:
    """The answer in at most 4096 bytes: a reason is shortened, attributes that do not fit are a failure."""
    body = json.dumps(answer).encode()
    if len(body) > _LONGEST_ANSWER and "Data" in answer:
        del answer["Data"]
        answer |= {"Status": "FAILED", "Reason": f"the answer has {len(body)} bytes, {_LONGEST_ANSWER} are allowed"}
        body = json.dumps(answer).encode()
    while len(body) > _LONGEST_ANSWER:
        answer["Reason"] = answer["Reason"][: len(answer["Reason"]) * 3 // 4]
        body = json.dumps(answer).encode()
    return body


def _put(url: str, body: bytes) -> None:
    # The URL is signed without a content type: urllib's own would break the signature.
    request = urllib.request.Request(url, data=body, method="PUT", headers={"Content-Type": ""})
    for wait in (*_ANSWER_WAITS, None):
        try:
            with urllib.request.urlopen(request, timeout=10):
                return
        except OSError as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            if wait is None or refused:
                raise
            time.sleep(wait)
