"""One client of each AWS service for all invocations of a function: creating one takes longer than most calls."""

from functools import cache
from typing import Any

import boto3
from botocore.config import Config


@cache
def client(service: str, *, seconds: int | None = None, config: Config | None = None) -> Any:
    """With `seconds`, at most that long for connecting and for each answer, and at most three attempts.

    AWS throttles calls at times, with an immediate answer: without retries, that would fail a deployment. Without
    `seconds`, `config` is used. Keep it as long as the function lives: each one gets its own client.
    """
    if seconds is None:
        return boto3.client(service, config=config)
    retries: Any = {"total_max_attempts": 3, "mode": "standard"}
    hasty = Config(connect_timeout=seconds, read_timeout=seconds, retries=retries)
    return boto3.client(service, config=hasty)
