"""OWASP challenges no API of the environment, and no analytics path."""

import re
from collections.abc import Iterator

from config.plans import PLANS
from config.previews import hosts, slots
from config.services import public_hosts
from template_policies import Failure, Graph, Violation, policy
from template_policies.cloudflare import KIND, named
from template_policies.graph import short


@policy(
    reason="It applies to the whole zone, and programs cannot solve a challenge (posthog #100861).",
    failure=Failure.CLOUDFLARE_CHANGES,
    reads={KIND: ("Document",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    environment = graph.environment
    if not PLANS[environment.cloudflare.plan].managed_waf:
        return
    where, document = named(graph).get("rules/http_request_firewall_managed", (None, {}))
    rules = {each.get("name"): each for each in document.get("rules", [])}
    apis = public_hosts(environment, sites=False)
    apis += [
        host
        for slot in slots(environment)
        for name, host in hosts(environment, slot).items()
        if not environment.services[name].site
    ]
    wanted = {"except-api"} if apis else set()
    wanted |= {"except-analytics"} if environment.posthog is not None else set()
    missing = wanted - set(rules)
    if missing or where is None:
        if wanted:
            yield graph.missing(KIND, f"is missing: {', '.join(sorted(missing))}", stack="Edge")
        return
    spared, _, path = str(rules.get("except-api", {}).get("expression", "")).partition(" and ")
    if apis and (
        sorted(re.findall(r'"([^"]+)"', spared)) != sorted(apis) or path != 'starts_with(http.request.uri.path, "/")'
    ):
        yield where.violation("Document", f"exempts {short(spared)}{short(path)}, must exempt {short(apis)}")
    if environment.posthog is None and "except-analytics" in rules:
        yield where.violation("Document", "exempts analytics, which the environment does not have")
    for name in wanted:
        if rules[name].get("action") != "skip" or rules[name].get("logging") != {"enabled": False}:
            yield where.violation("Document", f"has {name} {short(rules[name])}, must skip without an event")
