"""Secrets Manager dates what it does to the millisecond; MiniStack cuts to the second."""

from typing import Any

from ministack.services import secretsmanager


def install() -> None:
    """As in the example of DescribeSecret (API Reference): "LastChangedDate": 1523477145.729."""
    # MiniStack writes int(time.time()) in each operation, so only the name `int` is common to all of them.
    secretsmanager.int = _milliseconds


def _milliseconds(value: Any) -> int | float:
    return round(value, 3) if isinstance(value, float) else int(value)
