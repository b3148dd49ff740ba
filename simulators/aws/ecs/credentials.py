"""The credentials endpoint of a task: temporary credentials of its task role.

On Fargate it listens on 169.254.170.2, inside of the task, and AWS_CONTAINER_CREDENTIALS_RELATIVE_URI names the path.
Tasks here share the loopback, which SDKs accept in AWS_CONTAINER_CREDENTIALS_FULL_URI (AWS SDKs and Tools Reference
Guide, "Container credential provider"; ECS guide, "Task IAM role").
"""

import json
import os
import uuid
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler

from simulators.aws.authorization import session
from simulators.http_server import send, serving

_LIFETIME = timedelta(hours=6)
_open = ExitStack()  # ends with the emulator
_offered: dict[str, bytes] = {}
"""Credentials by path."""


def variables(role_arn: str | None, task_arn: str) -> Mapping[str, str]:
    """Variables that ECS sets in a container (guide, "Amazon ECS environment variables"), and the emulator's URL."""
    region, task = task_arn.split(":")[3], task_arn.rpartition("/")[2]
    found = {"AWS_REGION": region, "AWS_DEFAULT_REGION": region, "AWS_EXECUTION_ENV": "AWS_ECS_FARGATE"}
    if role_arn is not None:
        found["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = _offer(role_arn, task)
    return {**found, "AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]}


def _offer(role_arn: str, task: str) -> str:
    """URL of credentials of the role, in a session that is named by the task's id."""
    keys = session(role_arn, task)
    document = {
        "RoleArn": role_arn,
        "AccessKeyId": keys["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"],
        "Token": keys["AWS_SESSION_TOKEN"],
        "Expiration": (datetime.now(UTC) + _LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    path = f"/v2/credentials/{uuid.uuid4()}"
    _offered[path] = json.dumps(document).encode()
    return f"{_root()}{path}"


@cache
def _root() -> str:
    return _open.enter_context(serving(_answer))


def _answer(request: BaseHTTPRequestHandler, _: bytes) -> None:
    found = _offered.get(request.path)
    send(request, 404 if found is None else 200, found or b'{"code": "InvalidIdInRequest"}')
