"""Rate limits, OWASP, DDoS sensitivity and notifications at Cloudflare match the environment's file."""

from collections.abc import Iterator, Mapping
from typing import Any

from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.cloudflare import KIND, declarations, named
from template_policies.graph import short


@policy(
    reason="A limit ten times as high stops no attacker, one ten times as low stops users.",
    failure=Failure.CLOUDFLARE_CHANGES,
    reads={KIND: ("Document",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    settings, domains = graph.environment.cloudflare, graph.environment.domains
    kinds = {"rules", "singletons", "records", "worker", "connector", "notifications", "preflight"}
    for declared, each in declarations(graph, "Edge", "Platform"):
        if each.get("zone") != domains.zone or each.get("kind") not in kinds or not each.get("name"):
            yield declared.violation(
                "Document",
                f"is {short([each.get('kind'), each.get('name'), each.get('zone')])}, must be of {domains.zone}",
            )
        if str(each.get("owner")).partition(".")[0] != graph.name:
            yield declared.violation("Document", f"is {each.get('owner')}'s, must be {graph.name}'s")
        if (
            each.get("kind") not in ("preflight", "singletons", "notifications")
            and each.get("adopt") is not settings.adopt
        ):
            yield declared.violation("Document", f"adopts {short(each.get('adopt'))}, must be {short(settings.adopt)}")
        if each.get("kind") == "rules":
            if each.get("phase") != each.get("name"):
                yield declared.violation("Document", f"has the phase {each.get('phase')}, must be {each.get('name')}")
            for rule in each.get("rules", []):
                if (
                    not (rule.get("name") and rule.get("expression") and rule.get("action"))
                    or rule.get("enabled") is False
                ):
                    yield declared.violation(
                        "Document", f"has {short(rule)}, must have name, expression and action, and be on"
                    )
    found: Mapping[str, tuple[Resource | None, dict[str, Any]]] = named(graph)
    where: Resource | None
    where, document = found.get("rules/http_ratelimit", (None, {}))
    limits = {rule.get("name"): rule.get("ratelimit", {}) for rule in document.get("rules", [])}
    for name, wanted in settings.rate_limits.items():
        own = limits.get(name, {})
        got = (own.get("requests_per_period"), own.get("period"), own.get("mitigation_timeout"))
        if where is not None and got != (wanted.requests, wanted.period_seconds, wanted.block_seconds):
            yield where.violation("Document", f"has {name} {short(got)}, must be as declared")
    for rule in document.get("rules", []):
        if where is not None and (
            rule.get("action") != "block" or "ip.src" not in rule.get("ratelimit", {}).get("characteristics", [])
        ):
            yield where.violation(
                "Document", f"has {rule.get('name')} {short(rule.get('action'))}, must block by address"
            )
    if settings.zone is None:
        return
    where, document = found.get("rules/ddos_l7", (None, {}))
    for rule in document.get("rules", []):
        overrides = rule.get("action_parameters", {}).get("overrides", {})
        if where is not None and overrides.get("sensitivity_level") != settings.zone.ddos_sensitivity:
            yield where.violation(
                "Document", f"has the sensitivity {short(overrides)}, must be {settings.zone.ddos_sensitivity}"
            )
    owasp = settings.zone.owasp
    where, document = found.get("rules/http_request_firewall_managed", (None, {}))
    rules = {rule.get("name"): rule for rule in document.get("rules", [])}
    if owasp is not None and where is not None:
        rule = rules.get("waf-owasp", {})
        overrides = rule.get("action_parameters", {}).get("overrides", {})
        scores = [(each.get("score_threshold"), each.get("action")) for each in overrides.get("rules", [])]
        levels = [each.get("category") for each in overrides.get("categories", []) if each.get("enabled") is False]
        off = [f"paranoia-level-{level}" for level in range(owasp.paranoia + 1, 5)]
        if rule.get("action") != "execute" or (owasp.threshold, owasp.action) not in scores or levels != off:
            yield where.violation("Document", f"has OWASP {short(overrides)}, must be as declared")
        if rules.get("waf-managed", {}).get("action") != "execute":
            yield where.violation("Document", "does not run Cloudflare's managed rules")
    where, document = found.get("notifications/all", (None, {}))
    emails = set(graph.environment.alarms.critical.email)
    for each in document.get("policies", []):
        if where is not None and set(each.get("emails", [])) != emails:
            yield where.violation(
                "Document", f"notifies {each.get('emails')} of {each.get('name')}, must notify {sorted(emails)}"
            )
