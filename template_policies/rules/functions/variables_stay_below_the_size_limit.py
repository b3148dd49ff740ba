"""A function's variables have 4 KiB at most."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.length import length

FUNCTION = "AWS::Lambda::Function"
_MOST = 4096


@policy(
    reason="Lambda refuses more, measured as JSON (Lambda quotas; github-aws-runners/terraform-aws-github-runner "
    "#3594), and some hold a list of services, jobs or secrets.",
    failure=Failure.REFUSED,
    reads={FUNCTION: ("Environment",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(FUNCTION):
        found = length(each.get("Environment.Variables", {}))
        if found > _MOST:
            yield each.violation("Environment.Variables", f"has {found} bytes, must have {_MOST} at most")
