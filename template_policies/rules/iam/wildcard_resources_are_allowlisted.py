"""An action is granted on a wildcard only if it is on the list of those that need it."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import IDENTITY, statements
from template_policies.wildcards import is_wild, may_be_named_by


@policy(
    reason="cdk-nag acknowledges a resource, not an action, and accepted GetSecretValue, Decrypt and PassRole on *.",
    failure=Failure.ROLE_TAKEN_OVER,
    reads=IDENTITY,
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in statements(graph):
        if not each.allows:
            continue
        if "NotAction" in each.document or "NotResource" in each.document:
            yield each.violation("allows everything except what it names, must name what it allows")
        if not each.resources:
            yield each.violation("names no resource")
        for resource in each.resources:
            if is_wild(resource):
                for action in each.actions:
                    if not may_be_named_by(graph, action, resource):
                        yield each.violation(f"allows {action} on {resource}, must name the resource")
