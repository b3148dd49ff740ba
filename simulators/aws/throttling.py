"""Throttles a share of all calls, once each, with the service's own error. The SDKs retry by themselves."""

import json
import os
import random
from pathlib import Path
from typing import Any

from ministack import app

from simulators.aws import THROTTLED
from simulators.aws.conditions import Condition, is_on
from simulators.aws.resource_type import OWN

# One of this many calls; AWS's share depends on what else the account does.
_ONE_IN = 150
_QUERY = {"cloudformation", "elasticache", "elasticloadbalancing", "iam", "rds", "sns", "sts"}
_JSON = {"application-autoscaling", "dynamodb", "ecr", "ecs", "events", "kms", "logs", "secretsmanager", "ssm"}
_dice = random.Random(14)


def install() -> None:
    """Installs throttling. Call it last."""
    if is_on(Condition.THROTTLING):
        for name in _QUERY | _JSON | {"s3"}:
            app.SERVICE_HANDLERS[name] = _turning_away(name, app.SERVICE_HANDLERS[name])


def _turning_away(name: str, own: Any) -> Any:
    has_just, every = False, Path(os.environ[THROTTLED]) / name

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        nonlocal has_just
        # A client with a signed URL has no SDK that retries; CloudFormation's own types try for hours.
        has_sdk = "authorization" in headers and OWN not in headers.get("user-agent", "")
        if has_sdk and every.exists():
            return _refusal(name)
        if has_sdk and not has_just and _dice.randrange(_ONE_IN) == 0:
            has_just = True
            return _refusal(name)
        has_just = False
        return await own(method, path, headers, body, query)

    return handle


def _refusal(name: str) -> tuple[int, dict[str, str], bytes]:
    """Each service's "Common errors"; S3's "Error responses"."""
    if name == "s3":
        error = "<Code>SlowDown</Code><Message>Please reduce your request rate.</Message>"
        return 503, {"Content-Type": "application/xml"}, f"<Error>{error}</Error>".encode()
    if name in _QUERY:
        error = "<Type>Sender</Type><Code>Throttling</Code><Message>Rate exceeded</Message>"
        return 400, {"Content-Type": "text/xml"}, f"<ErrorResponse><Error>{error}</Error></ErrorResponse>".encode()
    wrong = json.dumps({"__type": "ThrottlingException", "message": "Rate exceeded"})
    return 400, {"Content-Type": "application/x-amz-json-1.1"}, wrong.encode()
