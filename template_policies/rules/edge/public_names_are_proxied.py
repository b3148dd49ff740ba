"""Every public name is proxied by Cloudflare to its origin, and is in the origin's certificate."""

import json
from collections.abc import Iterator

from config.previews import certified_hosts, hosts, load_balanced_hosts, slots
from config.services import hosts as own_hosts
from template_policies import Failure, Graph, Violation, policy
from template_policies.cloudflare import KIND, named
from template_policies.graph import short


@policy(
    reason="A record that is not proxied shows the origin's address, and goes past the firewall.",
    failure=Failure.CLOUDFLARE_CHANGES,
    reads={
        KIND: ("Document",),
        "Custom::ValidatedCertificate": ("Document", "ServiceToken"),
        "Custom::OriginLock": ("Document", "ServiceToken"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    environment = graph.environment
    found = named(graph).get("records/dns")
    if found is None:
        yield graph.missing(KIND, "is missing: records/dns", stack="Edge")
        return
    where, document = found
    records = document.get("records", [])
    for each in records:
        if each.get("proxied") is not True:
            yield where.violation("Document", f"has {each.get('host')} unproxied")
        if each.get("type") != "CNAME":
            yield where.violation("Document", f"has {each.get('host')} as {each.get('type')}, must be CNAME")
        host, leads = str(each.get("host")), str(each.get("content"))
        service = environment.domains.redirects.get(host)
        is_balanced = service is None and host in load_balanced_hosts(environment)
        if is_balanced and not leads.startswith("{Platform/LoadBalancer"):
            yield where.violation("Document", f"points {host} to {leads}, must point to the load balancer")
        if service is not None and leads != own_hosts(environment)[service]:
            yield where.violation("Document", f"points {host} to {leads}, must point to {service}")
    previews = {host for slot in slots(environment) for host in hosts(environment, slot).values()}
    wanted = {*own_hosts(environment).values(), *previews, environment.domains.media, *environment.domains.redirects}
    names = [each.get("host") for each in records]
    if set(names) != wanted or len(names) != len(set(names)):
        yield where.violation(
            "Document", f"has names {short(sorted(map(str, names)))}, must be {short(sorted(wanted))}"
        )
    for kind in ("Custom::ValidatedCertificate", "Custom::OriginLock"):
        if len(graph.of(kind)) != 1:
            yield graph.missing(kind, f"there are {len(graph.of(kind))}, must be one", stack="Platform")
        for each in graph.of(kind):
            try:
                decoded = json.loads(each.text(each.get("Document", "")))
            except ValueError:
                decoded = {}
            if (
                set(decoded.get("hosts", [])) != set(certified_hosts(environment))
                or decoded.get("zone") != environment.domains.zone
            ):
                yield each.violation(
                    "Document",
                    f"has hosts {short(decoded.get('hosts'))}, must be {short(certified_hosts(environment))}",
                )
            if each.target("ServiceToken") is None:
                yield each.violation("ServiceToken", "must refer to a function")
