"""What each Cloudflare plan can do, as far as we use it.

From Cloudflare's own table behind its documentation's plan tables (cloudflare-docs, src/content/plans/index.json, and
the partial "rate-limiting-availability-by-plan"; read 2026-11). The API's OpenAPI document contradicts it in places.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from infra_runtime.contract.cloudflare_phases import (
    CACHE,
    CUSTOM_WAF,
    DDOS,
    LATE_TRANSFORM,
    MANAGED_WAF,
    RATE_LIMIT,
    REDIRECT,
)

PlanName = Literal["free", "pro", "business", "enterprise"]


@dataclass(frozen=True)
class Plan:
    name: PlanName
    rules: Mapping[str, int]
    """Most rules that a zone may have, by phase."""
    managed_waf: bool
    """Cloudflare Managed Ruleset and OWASP Core Ruleset."""
    super_bot_fight_mode: bool
    acts_on_likely_bots: bool
    """Super Bot Fight Mode can challenge "likely automated" requests, not only "definitely automated" ones."""
    rate_limit_by_host: bool
    """The expression of a rate limit may name a host; otherwise a limit applies to the whole zone."""
    longest_rate_period: int
    """Seconds."""
    longest_mitigation: int
    """Seconds."""
    least_edge_ttl: int
    """Seconds."""


def _rules(cache: int, managed: int, custom: int, rate: int, ddos: int) -> Mapping[str, int]:
    # Transform rules of each kind and single redirects have the same limit as cache rules.
    of_cache = dict.fromkeys((CACHE, LATE_TRANSFORM, REDIRECT), cache)
    return MappingProxyType({**of_cache, MANAGED_WAF: managed, CUSTOM_WAF: custom, RATE_LIMIT: rate, DDOS: ddos})


PLANS: Mapping[PlanName, Plan] = MappingProxyType(
    {
        "free": Plan("free", _rules(10, 0, 5, 1, 1), False, False, False, False, 10, 10, 7200),
        # Cloudflare publishes no limit for deployments of managed rulesets; ten is more than we need.
        "pro": Plan("pro", _rules(25, 10, 20, 2, 1), True, True, False, True, 60, 3600, 3600),
        "business": Plan("business", _rules(50, 10, 100, 5, 1), True, True, True, True, 600, 86400, 1),
        "enterprise": Plan("enterprise", _rules(300, 100, 1000, 5, 1), True, True, True, True, 65535, 86400, 1),
    }
)
