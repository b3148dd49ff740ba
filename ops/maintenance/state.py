"""The state of an environment's maintenance: one SSM parameter, beside the declarations of the Cloudflare zone.

The drift check and `infra edge` compare the page with it like other declarations; a deployment never reads it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from config.model import Environment
from infra_runtime.contract.names import parameters
from infra_runtime.state_store import SsmStateStore
from ops.functions import Clients
from ops.releases.text import by, moment

KIND, NAME = "worker", "maintenance"
KEY = f"declared/{KIND}/{NAME}"


@dataclass(frozen=True, kw_only=True)
class Maintenance:
    by: str
    """ARN of the person or workflow that switched it on; for a workflow, also for whom."""
    since: str
    until: str
    """Both ISO 8601."""
    reason: str | None
    hosts: list[str]
    """Hosts that answer 503."""
    mute_rules: list[str]
    """Names of CloudWatch's mute rules."""
    is_over: bool
    """The window is over, but the hosts are still routed to the Worker."""


def store(name: str, environment: Environment, clients: Clients) -> SsmStateStore:
    return SsmStateStore(clients.client("ssm"), parameters(environment.product, name, "cloudflare"))


def maintenance(name: str, environment: Environment, clients: Clients) -> Maintenance | None:
    """None when it is off. Raises what boto3 raises."""
    document = store(name, environment, clients).get(KEY)
    return None if document is None else read(document, datetime.now(UTC))


def read(document: Mapping[str, Any], now: datetime) -> Maintenance:
    return Maintenance(
        by=document["by"],
        since=document["since"],
        until=document["until"],
        reason=document["reason"],
        hosts=[each.removesuffix("/*") for each in document["patterns"]],
        mute_rules=document["mute_rules"],
        is_over=now >= datetime.fromisoformat(document["until"]),
    )


def line(name: str, found: Maintenance) -> str:
    """The state as one line of text."""
    until = f"{moment(found.until)} UTC"
    if found.is_over:
        return (
            f"MAINTENANCE ENDED BY ITSELF at {until}: visitors still pass its Worker,"
            f" which is charged for every request; remove it with infra maintenance off {name}"
        )
    reason = f" ({found.reason})" if found.reason else ""
    return (
        f"MAINTENANCE since {moment(found.since)} until {until}, by {by(found.by)}{reason}: {', '.join(found.hosts)}"
        f" answer 503, and alarms are muted; end it with infra maintenance off {name}"
    )
