"""One client of each AWS service for all invocations of a function: making one costs more than most of its calls."""

from functools import cache
from typing import Any

import boto3
from botocore.config import Config


@cache
def client(service: str, *, seconds: int | None = None) -> Any:
    """With `seconds`, of patience: one attempt, and no longer than that for connecting and for each answer."""
    if seconds is None:
        return boto3.client(service)
    hasty = Config(connect_timeout=seconds, read_timeout=seconds, retries={"total_max_attempts": 1})
    return boto3.client(service, config=hasty)
