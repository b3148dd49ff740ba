"""A custom resource that takes longer than one invocation of its function: the function invokes itself to continue."""

import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from infra_runtime.aws import client
from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.credentials import api_from
from infra_runtime.contract.secret_values import Secrets, deadline_of
from infra_runtime.custom_resource import Request, Result, serve

# CloudFormation waits an hour for a custom resource, and no longer (its guide, ServiceTimeout: 3600 at most).
_ANSWER_WITHIN = 3600 - 60


@dataclass(frozen=True)
class Invocation:
    """One invocation of several, which share the hour: Lambda allows each a quarter of it, and AWS may need more."""

    following: Mapping[str, Any]
    """The event for the next one."""
    deadline: float
    """Seconds since 1970."""
    is_last: bool

    @classmethod
    def of(cls, event: Mapping[str, Any], *, now: float, deadline: float) -> "Invocation":
        began = float(event.get("Began", now))
        end = began + _ANSWER_WITHIN
        return cls({**event, "Began": began}, min(deadline, end), deadline >= end)


def serve_over_invocations(
    event: Mapping[str, Any], context: Any, provide: Callable[[Request, Api, Invocation], Result | None]
) -> None:
    """Like `serve`, for functions that also write to the Cloudflare zone. `provide` returns None to continue later."""
    invocation = Invocation.of(event, now=time.time(), deadline=deadline_of(context))
    secrets = Secrets(client("secretsmanager"))

    def handle(request: Request) -> Result | None:
        return provide(request, api_from(secrets, os.environ["TOKEN_SECRET"], deadline=invocation.deadline), invocation)

    serve(event, handle, redact=secrets.redact)


def invoke_itself(event: Mapping[str, Any]) -> None:
    """The function's role needs lambda:InvokeFunction on the function."""
    itself = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
    client("lambda").invoke(FunctionName=itself, InvocationType="Event", Payload=json.dumps(event).encode())
