"""Secrets Manager and ECS date what they do to the millisecond; MiniStack cuts to the second.

The two are compared: a task that is older than a secret's change has to be replaced.
"""

from datetime import datetime
from typing import Any

from ministack.services import ecs, secretsmanager


def install() -> None:
    """Dates records to the millisecond, as in the example of DescribeSecret ("LastChangedDate": 1523477145.729)
    and in Task.CreatedAt ("seconds and milliseconds", AWS SDK for .NET).
    """
    # MiniStack writes int(time.time()) in each operation, so only the name `int` is common to all of them.
    secretsmanager.int = _milliseconds
    ecs._ts_to_epoch = _epoch


def _milliseconds(value: Any) -> int | float:
    return round(value, 3) if isinstance(value, float) else int(value)


def _epoch(value: Any) -> Any:
    """Seconds since 1970 of an ISO date, which MiniStack keeps to the millisecond; anything else as it is."""
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError):
        return value
