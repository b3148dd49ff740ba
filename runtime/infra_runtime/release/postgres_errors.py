"""What PostgreSQL has refused: drizzle-kit ends with 1 and does not say why, but the server's own log does."""

from datetime import datetime
from typing import Any

_MOST = 20


def refusals(logs: Any, group: str, *, since: datetime, login: str) -> list[str]:
    """The newest errors of logins that begin so; they arrive a minute late. None where there is no such log."""
    try:
        # A page may be empty, and the newest are on the last one.
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=int(since.timestamp() * 1000), filterPattern="ERROR"
        )
        events = [each for page in pages for each in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []
    told = [each["message"] for each in events if f":{login}" in each["message"]]
    return [f"PostgreSQL: {line.partition('ERROR:')[2].strip()}" for line in told[-_MOST:]]
