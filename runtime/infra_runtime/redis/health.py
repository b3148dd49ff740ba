"""Whether the services themselves report that they reach Redis (docs/redis-client.md)."""

from collections.abc import Sequence
from dataclasses import dataclass

import httpx

_SECONDS = 3.0


@dataclass(frozen=True)
class Health:
    """`connected` is None when the service gave no answer of the contract: that is not a fault of Redis."""

    connected: bool | None
    found: str


def ask(url: str, client: httpx.Client) -> Health:
    """Never raises for what the service does. 200 and 503 are both answers."""
    try:
        response = client.get(url, timeout=_SECONDS)
    except httpx.HTTPError as error:
        return Health(None, type(error).__name__)
    try:
        document = response.json()
    except ValueError:
        return Health(None, f"HTTP {response.status_code}, and no JSON")
    connected = document.get("connected") if isinstance(document, dict) else None
    if not isinstance(connected, bool):
        return Health(None, f"HTTP {response.status_code}, and no answer of the contract")
    return Health(connected, "connected" if connected else "not connected")


def ask_all(urls: Sequence[str], client: httpx.Client) -> Health:
    """False when a service reports that it is not connected; True when one reports that it is and none denies it."""
    if not urls:
        return Health(None, "not asked")
    answers = [ask(url, client) for url in urls]
    for wanted in (False, True):
        for each in answers:
            if each.connected is wanted:
                return each
    return answers[0]
