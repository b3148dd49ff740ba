"""One client of each AWS service for all invocations of a function: making one costs more than most of its calls."""

from functools import cache
from typing import Any

import boto3


@cache
def client(service: str) -> Any:
    return boto3.client(service)
