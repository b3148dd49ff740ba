"""A custom resource is created after all permissions of its function."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import IDENTITY, policies_of
from template_policies.policy import EVERYTHING


@policy(
    reason="IAM denies the calls of a function that starts too early: the first deployment of a new account "
    "rolls back.",
    failure=Failure.REFUSED,
    reads={EVERYTHING: ("DependsOn", "ServiceToken"), "AWS::Lambda::Function": ("Role", "DependsOn"), **IDENTITY},
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in graph.resources.values():
        if not each.type.startswith("Custom::"):
            continue
        function = each.target("ServiceToken")
        if function is None or function.type != "AWS::Lambda::Function":
            yield each.violation("ServiceToken", "must refer to a function")
            continue
        role = function.target("Role")
        if function.stack != each.stack or role is None:
            continue  # An earlier stack is complete.
        for needed in policies_of(graph, role):
            # CDK's own singletons are waited for through the function.
            waits = {*each.items("DependsOn"), *function.items("DependsOn")}
            if needed.logical_id not in waits:
                yield each.violation("DependsOn", f"must have {needed.logical_id}")
