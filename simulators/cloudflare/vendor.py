"""What Cloudflare allows, normalizes and refuses, each with its source. Knows nothing of our configuration.

Pages are from the repository cloudflare/cloudflare-docs, below src/content; all were read 2026-11-26. [plans] is
plans/index.json, the table behind the plan tables of the documentation.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

PlanName = Literal["free", "pro", "business", "enterprise"]

CACHE = "http_request_cache_settings"
MANAGED_WAF = "http_request_firewall_managed"
CUSTOM_WAF = "http_request_firewall_custom"
RATE_LIMIT = "http_ratelimit"
DDOS = "ddos_l7"
LATE_TRANSFORM = "http_request_late_transform"
REDIRECT = "http_request_dynamic_redirect"


@dataclass(frozen=True)
class Plan:
    name: PlanName
    rules: Mapping[str, int]
    """Most rules of a zone, by phase. No number is published for a phase that is not here."""
    connectors: int
    """[plans] rules.cloud_connector.num_rules"""
    least_edge_ttl: int
    """Seconds. [plans] cache.edge_cache_ttl.minimum"""
    managed_waf: bool
    """Cloudflare Managed Ruleset and OWASP Core Ruleset. [plans] security.waf_a_managed_rules.managed_ruleset_1, _2"""
    super_bot_fight_mode: bool
    """[plans] security.bots.super_bot_fight_mode"""
    acts_on_likely_bots: bool
    """docs/bots/plans/pro.mdx and biz-and-ent.mdx, "Additional features" """
    log_action: bool
    """[plans] security.waf_c_custom_rules.d_supported_actions"""
    regex: bool
    """[plans] security.waf_c_custom_rules.f_regex_support"""
    custom_block_response: bool
    """docs/waf/custom-rules/create-dashboard.mdx, "Configure a custom response for blocked requests" """
    rate_limit_fields: frozenset[str] | None
    """Fields allowed in a rate limit's expression; None: all. partials/waf/rate-limiting-availability-by-plan.mdx"""
    counted_by: frozenset[str]
    """Characteristics of a rate limit. As above, "Counting characteristics"."""
    longest_rate_period: int
    """Seconds. As above, "Counting periods"."""
    longest_mitigation: int
    """Seconds. As above, "Mitigation timeout periods"."""
    longest_comment: int
    """Characters, of a DNS record. [plans] dns.record_comments.character_limit"""


# partials/waf/rate-limiting-availability-by-plan.mdx, note 3, in seconds.
RATE_PERIODS = frozenset(
    {10, 15, 20, 30, 40, 45, 60, 90, 120, 180, 240, 300, 480, 600, 900, 1200, 1800, 2400, 3600, 65535, 86400}
)
# As above, "Available fields in rule expression". A verified bot has an older and a newer name.
_FREE_FIELDS = frozenset({"http.request.uri.path", "cf.client.bot", "cf.bot_management.verified_bot"})
_PRO_FIELDS = _FREE_FIELDS | {
    "http.host", "http.request.uri", "http.request.full_uri", "http.request.uri.query"
}  # fmt: skip
_BUSINESS_FIELDS = _PRO_FIELDS | {"http.request.method", "ip.src", "http.user_agent"}
# As above, "Counting characteristics"; their names are from docs/waf/rate-limiting-rules/parameters.mdx, which says of
# the location that it is mandatory.
LOCATION = "cf.colo.id"
_BY_ADDRESS = frozenset({LOCATION, "ip.src"})
_BY_VISITOR = _BY_ADDRESS | {"cf.unique_visitor_id"}


def _rules(*, new_limits: int, custom: int, rate: int) -> Mapping[str, int]:
    return MappingProxyType(
        {
            CACHE: new_limits,  # [plans] cache.cache_rules.rules
            LATE_TRANSFORM: new_limits,  # [plans] rules.transform_rules.num_rules
            REDIRECT: new_limits,  # docs/rules/url-forwarding, "Availability"
            CUSTOM_WAF: custom,  # [plans] security.waf_c_custom_rules.b_custom_rules
            RATE_LIMIT: rate,  # [plans] security.rate_limiting.rules; enterprise without add-on
            DDOS: 1,  # [plans] security.ddos.ruleset_overrides, and docs/ddos-protection/managed-rulesets/http
        }
    )


PLANS: Mapping[PlanName, Plan] = MappingProxyType(
    {
        "free": Plan(
            "free", _rules(new_limits=10, custom=5, rate=1), connectors=10, least_edge_ttl=7200, managed_waf=False,
            super_bot_fight_mode=False, acts_on_likely_bots=False, log_action=False, regex=False,
            custom_block_response=False,
            rate_limit_fields=_FREE_FIELDS, counted_by=_BY_ADDRESS, longest_rate_period=10, longest_mitigation=10,
            longest_comment=100,
        ),
        "pro": Plan(
            "pro", _rules(new_limits=25, custom=20, rate=2), connectors=25, least_edge_ttl=3600, managed_waf=True,
            super_bot_fight_mode=True, acts_on_likely_bots=False, log_action=False, regex=False,
            custom_block_response=True,
            rate_limit_fields=_PRO_FIELDS, counted_by=_BY_ADDRESS, longest_rate_period=60, longest_mitigation=3600,
            longest_comment=500,
        ),
        "business": Plan(
            "business", _rules(new_limits=50, custom=100, rate=5), connectors=50, least_edge_ttl=1, managed_waf=True,
            super_bot_fight_mode=True, acts_on_likely_bots=True, log_action=False, regex=True,
            custom_block_response=True,
            rate_limit_fields=_BUSINESS_FIELDS, counted_by=_BY_VISITOR, longest_rate_period=600,
            longest_mitigation=86400, longest_comment=500,
        ),
        "enterprise": Plan(
            "enterprise", _rules(new_limits=300, custom=1000, rate=5), connectors=300, least_edge_ttl=1,
            managed_waf=True, super_bot_fight_mode=True, acts_on_likely_bots=True, log_action=True, regex=True,
            custom_block_response=True,
            rate_limit_fields=None, counted_by=_BY_VISITOR, longest_rate_period=65535, longest_mitigation=86400,
            longest_comment=500,
        ),
    }
)  # fmt: skip

# Records whose content is a host name: kept in lower case and without the dot at its end (external-dns #1906,
# pulumi-cloudflare #335, the acceptance test dns_record_cname_case of Cloudflare's Terraform provider).
NAMES_A_HOST = frozenset({"CNAME", "MX", "NS", "PTR", "SRV"})

# Defaults of a rate limit (terraform-provider-cloudflare #2722, recorded v4 http_ratelimit).
RATE_LIMIT_DEFAULTS: Mapping[str, object] = MappingProxyType({"requests_to_origin": False, "mitigation_expression": ""})

# How all of a query string comes back in a cache key (recorded v4 ruleset http_request_cache_settings).
STAR = "*"

# cloudflare-docs, purge-cache/index.mdx: of one account, requests for hosts, tags, prefixes or everything, as a bucket
# and what it is filled with each second.
PURGE_BUCKET: Mapping[PlanName, tuple[int, float]] = MappingProxyType(
    {"free": (25, 5 / 60), "pro": (25, 5), "business": (50, 10), "enterprise": (500, 50)}
)
# purge_by_prefix.mdx; the table of index.mdx allows 100 operations.
PURGE_AT_ONCE = 30

# Endpoints that refuse tokens of an account: an undated copy of Cloudflare's matrix; code and words as of page rules
# (cloudflare-docs #23256). A newer matrix may not list them any more.
NOT_FOR_ACCOUNTS = re.compile(r"/(tiered_caching|tiered_cache_smart_topology_enable|bot_management)$")

# By the last part of the path (the API's reference, "List Zones" and "List DNS Records"); 100 elsewhere.
LONGEST_PAGES: Mapping[str, int] = MappingProxyType({"zones": 50, "dns_records": 5_000_000})

# Limit of each user, for all tokens together (docs/fundamentals/api/reference/limits.mdx).
REQUESTS, WINDOW_SECONDS = 1200, 300

# Codes that no live test of @distilled.cloud/cloudflare has met, and where they are from.
UNOBSERVED_CODES: Mapping[int, str] = MappingProxyType(
    {
        971: "documentation, API rate limits", 6003: "assumed: a page that is too long",
        10400: "ours: not in the contract", 1000: "reported: an invalid token", 1001: "reported", 1006: "reported",
        1007: "assumed", 1011: "reported: account-owned tokens, cloudflare-docs #23256",
        1134: "assumed", 1136: "assumed", 1137: "assumed", 10000: "assumed",
        1142: "reported: shared facts 30", 1431: "assumed: a key of another certificate", 9005: "assumed",
        9021: "assumed", 9302: "assumed", 81044: "reported", 81053: "reported", 10002: "assumed", 10008: "assumed",
        10010: "assumed", 10011: "assumed", 10020: "reported", 20016: "assumed",
        20018: "reported: terraform-provider-cloudflare #7377", 20046: "assumed", 20087: "reported",
        20119: "assumed", 20120: "reported", 20127: "assumed", 20155: "assumed", 20156: "assumed",
        20217: "reported",
    }
)  # fmt: skip
