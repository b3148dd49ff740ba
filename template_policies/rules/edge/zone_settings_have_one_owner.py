"""Zone-wide settings are declared by the one environment that owns the zone."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.cloudflare import KIND, named

ONCE = {"singletons/zone", "rules/ddos_l7", "notifications/all"}


@policy(
    reason="Two owners would overwrite each other's settings at every deployment.",
    failure=Failure.CLOUDFLARE_CHANGES,
    reads={KIND: ("Document",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    found = named(graph)
    if graph.environment.cloudflare.zone is not None:
        for each in sorted(ONCE - set(found)):
            yield graph.missing(KIND, f"is missing: {each}", stack="Edge")
        return
    for each in sorted(ONCE & set(found)):
        yield found[each][0].violation("Document", f"is {each}, which the zone's owner declares")
    waf = found.get("rules/http_request_firewall_managed")
    if waf is not None and {rule.get("action") for rule in waf[1].get("rules", [])} != {"skip"}:
        yield waf[0].violation("Document", "does more than exempt: the zone's owner runs the rulesets")
