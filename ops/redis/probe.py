"""Finds the probe of an instance in its stack, and invokes it."""

from collections.abc import Mapping
from typing import Any

from ops.functions import Clients, ask, find


def ask_probe(clients: Clients, stack: str, instance: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """What the probe answers. Raises `OperatorError` when there is none or it fails, and what boto3 raises."""
    what = f"probe of {instance}"
    function = find(clients, stack, "redis.monitor", {"INSTANCE": instance}, what=what)
    document: dict[str, Any] = ask(clients, function, event, what=f"{stack}: the {what}")
    return document
