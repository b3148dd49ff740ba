"""Cloudflare rules are created one after the other, then DNS records, then redirects to them."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.cloudflare import KIND


@policy(
    reason="Once a name resolves, its protection must exist, and the target of a redirect must resolve. "
    "Cloudflare's rulesets take one change at a time.",
    failure=Failure.CLOUDFLARE_CHANGES,
    reads={KIND: ("DependsOn", "ServiceToken")},
)
def check(graph: Graph) -> Iterator[Violation]:
    ours = {each.logical_id: each for each in graph.of(KIND) if each.stack == "Edge"}
    before = {name: set(each.items("DependsOn")) & set(ours) for name, each in ours.items()}
    first = [name for name, others in before.items() if not others]
    if len(first) != 1:
        for name in first:
            yield ours[name].violation("DependsOn", f"is empty, as for {len(first)} resources, must be for one only")
        return
    order = list(first)
    while behind := [name for name, others in before.items() if order[-1] in others and name not in order]:
        if len(behind) != 1:
            yield ours[behind[0]].violation("DependsOn", f"creates {', '.join(behind)} in parallel")
            return
        order += behind
    if len(order) != len(ours):
        yield ours[order[-1]].violation("DependsOn", f"leaves {len(ours) - len(order)} without an order")
    last = [name for name in order if name.startswith(("Names", "Redirects"))]
    if order[-len(last) :] != last or not last[0].startswith("Names"):
        yield ours[order[-1]].violation("DependsOn", "is created last, must be the DNS records, then their redirects")
    for each in graph.of(KIND):
        function = each.target("ServiceToken")
        if function is None or function.type != "AWS::Lambda::Function":
            yield each.violation("ServiceToken", "must refer to the provider")
