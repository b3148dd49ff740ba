"""The state of one Cloudflare user's zones and account."""

import copy
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulators.cloudflare.analytics import SampledTraffic
from simulators.cloudflare.vendor import PLANS, Plan, PlanName


def identity() -> str:
    return uuid.uuid4().hex


_IPV4 = (
    "103.21.244.0/22 103.22.200.0/22 103.31.4.0/22 104.16.0.0/13 104.24.0.0/14 108.162.192.0/18 131.0.72.0/22 "
    "141.101.64.0/18 162.158.0.0/15 172.64.0.0/13 173.245.48.0/20 188.114.96.0/20 190.93.240.0/20 197.234.240.0/22 "
    "198.41.128.0/17"
)

# A new zone's, as far as we touch them.
_SETTINGS: dict[str, Any] = {
    "ssl": "full",
    "min_tls_version": "1.0",
    "always_use_https": "off",
    "tls_1_3": "on",
    "security_header": {
        "strict_transport_security": {
            "enabled": False,
            "max_age": 0,
            "include_subdomains": False,
            "preload": False,
            "nosniff": False,
        }
    },
    "tiered_caching": "off",
    "0rtt": "off",
}
_BOTS = {"enable_js": False, "fight_mode": False}
_SUPER_BOTS = {
    "enable_js": False,
    "optimize_wordpress": False,
    "sbfm_definitely_automated": "allow",
    "sbfm_likely_automated": "allow",
    "sbfm_static_resource_protection": False,
    "sbfm_verified_bots": "allow",
}


@dataclass
class Zone:
    name: str
    plan_name: PlanName = "pro"
    status: str = "active"
    paused: bool = False
    kind: str = "full"
    """`full`, or `partial` if its name servers are elsewhere."""
    account: str = field(default_factory=identity)
    id: str = field(default_factory=identity)
    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    rulesets: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Rulesets by phase."""
    settings: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(_SETTINGS))
    locked: set[str] = field(default_factory=set)
    """Settings that cannot be changed on the plan."""
    bots: dict[str, Any] = field(default_factory=dict)
    routes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Routes to Workers, by id."""
    traffic: SampledTraffic = field(default_factory=SampledTraffic)
    """Requests and events at the edge."""
    connectors: list[dict[str, Any]] = field(default_factory=list)
    purged: list[str] = field(default_factory=list)
    """Purged prefixes."""
    purges: list[float] = field(default_factory=list)
    """Times of purge requests, by `World.now`."""
    edge_certificate: str = "active"
    """Status of the universal certificate: `initializing` or `pending_validation` for up to a day in a new zone."""
    client_certificates: dict[str, dict[str, Any]] = field(default_factory=dict)
    associations: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers_with: int | None = None
    """Status with which Cloudflare itself answers every request, in an outage of its own."""
    certificate_seconds: float = 2.0
    """How long a client certificate takes to be deployed or removed; at Cloudflare, minutes."""

    def __post_init__(self) -> None:
        if not self.bots:
            self.bots = dict(_SUPER_BOTS if self.plan.super_bot_fight_mode else _BOTS)

    @property
    def plan(self) -> Plan:
        return PLANS[self.plan_name]

    def described(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status,
            "paused": self.paused,
            "type": self.kind,
            "name_servers": ["ada.ns.cloudflare.com", "bob.ns.cloudflare.com"],
            "account": {"id": self.account, "name": "the product's account"},
            "plan": {"id": identity(), "name": f"{self.plan_name} website", "legacy_id": self.plan_name},
        }


@dataclass
class World:
    zones: list[Zone]
    tokens: dict[str, str] = field(default_factory=dict)
    """Status by token."""
    account_owned: set[str] = field(default_factory=set)
    """Those of `tokens` that belong to the account and not to a person."""
    forbidden: str = ""
    """Pattern of the paths for which every token lacks the permission; empty: of none."""
    now: Callable[[], float] = time.monotonic
    """Seconds."""
    scripts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Workers, by name."""
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    ipv4: list[str] = field(default_factory=_IPV4.split)
