"""Errors of a migration from PostgreSQL's log: drizzle-kit exits with 1 and gives no reason."""

from datetime import datetime
from typing import Any

_MOST = 20


def refusals(logs: Any, group: str, *, since: datetime, login: str) -> list[str]:
    """The newest errors of logins that begin with `login`; empty without such a log. They arrive a minute late."""
    try:
        # A page may be empty, and the newest are on the last one.
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=int(since.timestamp() * 1000), filterPattern="ERROR"
        )
        events = [each for page in pages for each in page["events"]]
    except logs.exceptions.ResourceNotFoundException:
        return []
    lines = [each["message"] for each in events if f":{login}" in each["message"]]
    return [f"PostgreSQL: {line.partition('ERROR:')[2].strip()}" for line in lines[-_MOST:]]
