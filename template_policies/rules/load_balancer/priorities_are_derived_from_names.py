"""A rule's priority is derived from its service's name."""

from collections.abc import Iterator

from config.services import priority
from template_policies import Failure, Graph, Violation, policy
from template_policies.owners import owner

RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"


@policy(
    reason="A number that depends on the order in a file changes for one service when another one is added: see "
    "listener_rules_are_frozen.",
    failure=Failure.BAD_RELEASE,
    reads={RULE: ("Priority",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for rule in graph.of(RULE):
        own = owner(graph, rule)
        if own is not None:
            yield from rule.expect("Priority", priority(own.name, own.slot))
