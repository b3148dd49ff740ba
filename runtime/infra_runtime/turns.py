"""Work that takes longer than one invocation of a function: the function asks itself to go on."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra_runtime.aws import client

# CloudFormation waits an hour for a custom resource, and no longer (its guide, ServiceTimeout: 3600 at most).
_ANSWER_WITHIN = 3600 - 60


@dataclass(frozen=True)
class Turn:
    """One invocation of several, which share the hour: Lambda allows each a quarter of it, and AWS may need more."""

    following: Mapping[str, Any]
    """The event for the next one."""
    deadline: float
    """Seconds since 1970."""
    is_last: bool

    @classmethod
    def of(cls, event: Mapping[str, Any], *, now: float, deadline: float) -> "Turn":
        began = float(event.get("Began", now))
        end = began + _ANSWER_WITHIN
        return cls({**event, "Began": began}, min(deadline, end), deadline >= end)


def ask_itself(event: Mapping[str, Any]) -> None:
    """The function's role needs lambda:InvokeFunction on the function."""
    itself = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
    client("lambda").invoke(FunctionName=itself, InvocationType="Event", Payload=json.dumps(event).encode())
