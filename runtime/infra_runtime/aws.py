"""One client of each AWS service for all invocations of a function: making one costs more than most of its calls."""

from functools import cache
from typing import Any

import boto3
from botocore.config import Config


@cache
def client(service: str, *, seconds: int | None = None, config: Config | None = None) -> Any:
    """With `seconds`: no longer than that for connecting and for each answer, three times at most.

    AWS throttles anybody's call at times, and answers that at once: a call that is never repeated fails a deployment.
    Otherwise with `config`: one that lives as long as the function does, as there is a client for each.
    """
    if seconds is None:
        return boto3.client(service, config=config)
    retries: Any = {"total_max_attempts": 3, "mode": "standard"}
    hasty = Config(connect_timeout=seconds, read_timeout=seconds, retries=retries)
    return boto3.client(service, config=hasty)
