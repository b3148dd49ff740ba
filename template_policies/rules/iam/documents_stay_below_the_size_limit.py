"""Policies of roles and users stay below IAM's size limits."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import ROLE
from template_policies.length import length

POLICY, MANAGED = "AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"
# IAM user guide, "IAM and AWS STS quotas": characters without white space; of all inline policies of one together.
_MOST_INLINE = {ROLE: 10240, "AWS::IAM::User": 2048}
_MOST = {ROLE: ("AssumeRolePolicyDocument", 2048), MANAGED: ("PolicyDocument", 6144)}


@policy(
    reason="IAM refuses more, and statements grow with services, jobs and secrets.",
    failure=Failure.REFUSED,
    reads={
        ROLE: ("AssumeRolePolicyDocument", "Policies"),
        "AWS::IAM::User": ("Policies",),
        POLICY: ("*",),
        MANAGED: ("PolicyDocument",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.of(*_MOST_INLINE):
        documents = [one.get("PolicyDocument", {}) for one in (*each.items("Policies"), *graph.users(each, POLICY))]
        found, most = sum(map(length, documents)), _MOST_INLINE[each.type]
        if found > most:
            yield each.violation("Policies", f"have {found} characters, must have {most} at most")
    for each in graph.of(*_MOST):
        path, most = _MOST[each.type]
        if (found := length(each.get(path, {}))) > most:
            yield each.violation(path, f"has {found} characters, must have {most} at most")
