"""The zone requires valid origin certificates and TLS 1.2 or newer, and redirects plain HTTP to HTTPS."""

from collections.abc import Iterator

from config.plans import PLANS
from template_policies import Failure, Graph, Violation, policy
from template_policies.cloudflare import KIND, named
from template_policies.graph import short

WANTED = {"ssl": "strict", "min_tls_version": "1.2", "tls_1_3": "on", "always_use_https": "on"}


@policy(
    reason="With full or flexible, anyone between Cloudflare and the origin can read everything.",
    failure=Failure.DISCLOSED,
    reads={KIND: ("Document",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    if graph.environment.cloudflare.zone is None or "singletons/zone" not in (found := named(graph)):
        return
    where, zone = found["singletons/zone"]
    values = zone.get("values", {})
    for key, value in WANTED.items():
        if values.get(key) not in ((value, "zrt") if key == "tls_1_3" else (value,)):
            yield where.violation("Document", f"has {key} {short(values.get(key))}, must be {value}")
    strict = values.get("security_header", {}).get("strict_transport_security", {})
    if strict.get("enabled") is not True or strict.get("max_age", 0) < 31536000 or strict.get("nosniff") is not True:
        yield where.violation("Document", f"has HSTS {short(strict)}, must be on for a year")
    bots = values.get("bot_management", {})
    if PLANS[graph.environment.cloudflare.plan].super_bot_fight_mode and (
        bots.get("sbfm_definitely_automated") != "managed_challenge" or bots.get("sbfm_verified_bots") != "allow"
    ):
        yield where.violation("Document", f"treats bots as {short(bots)}, must challenge definite bots")
    if values.get("tiered_caching") != "on":
        yield where.violation("Document", "has no tiered caching: each data centre would fetch from S3")
