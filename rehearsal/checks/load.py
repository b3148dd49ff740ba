"""Constant traffic during a change. No request may fail."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rehearsal.account import Account
from rehearsal.checks.assertions import require, wait_until
from rehearsal.traffic import UserTraffic, traffic

# At least this many requests; `make soak` sends two thousand.
_REQUESTS = int(os.environ.get("ROTATION_REQUESTS", "100"))
_SECONDS = 300.0


@contextmanager
def unnoticed(account: Account, path: str) -> Iterator[UserTraffic]:
    """Users of the main service while the block runs. Raises `Failed` if one of their requests fails."""
    with traffic(account).flowing((path,)) as users:
        wait_until(lambda: users.requests > 0, lambda: "users send no requests", seconds=_SECONDS)
        yield users
        wait_until(lambda: users.requests >= _REQUESTS, lambda: f"{users.requests} requests", seconds=_SECONDS)
    failed = f"{len(users.failures)} of {users.requests} requests failed: {users.failures[:3]}"
    require(not users.failures, failed)
