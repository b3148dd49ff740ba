"""TLS, caching and bot settings of the zone. One environment declares them for all environments in the zone."""

from collections.abc import Mapping
from typing import Any

from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider

# Not a choice: with less, Cloudflare would use plain HTTP to the load balancer, or accept any certificate from it.
TLS: Mapping[str, Any] = {
    "ssl": "strict",
    "min_tls_version": "1.2",
    "tls_1_3": "on",
    "always_use_https": "on",
    "security_header": {
        "strict_transport_security": {
            "enabled": True,
            "max_age": 31536000,
            # Proxied names send the header themselves; other names of the zone may not support HTTPS.
            "include_subdomains": False,
            "preload": False,
            "nosniff": True,
        }
    },
}
# One upper tier near the bucket: without it each of Cloudflare's data centers would fetch every object itself.
CACHE: Mapping[str, Any] = {"tiered_caching": "on", "smart_tiered_cache": "on"}


class ZoneSettings(Construct):
    """Settings that a zone has once. The provider stores the previous values, and restores them on delete."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: CloudflareProvider,
        super_bot_fight_mode: bool,
        acts_on_likely_bots: bool,
    ) -> None:
        super().__init__(scope, id_)
        provider.declare(
            self,
            "Resource",
            kind="singletons",
            name="zone",
            values={**TLS, **CACHE, "bot_management": _bots(super_bot_fight_mode, acts_on_likely_bots)},
        )


def _bots(super_bot_fight_mode: bool, acts_on_likely_bots: bool) -> dict[str, Any]:
    if not super_bot_fight_mode:
        # Bot Fight Mode covers the whole domain and no rule can skip it: it would challenge clients of the API and our
        # own checks (Cloudflare's documentation, "Bot Fight Mode", read 2026-11).
        return {"fight_mode": False}
    return {
        "enable_js": True,
        "sbfm_definitely_automated": "managed_challenge",
        **({"sbfm_likely_automated": "managed_challenge"} if acts_on_likely_bots else {}),
        # Search engines.
        "sbfm_verified_bots": "allow",
        # Mail clients and link previews load images; they are welcome bots.
        "sbfm_static_resource_protection": False,
    }
