"""The account may administer each key, within its own IAM policies."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import resource_statements

KEY = "AWS::KMS::Key"


@policy(
    reason="A key whose policy omits the account can be neither changed nor deleted without AWS Support.",
    failure=Failure.DATA_LOST,
    reads={KEY: ("KeyPolicy",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    root = [("AWS", f"arn:aws:iam::{graph.environment.aws.account}:root")]
    managed = {
        each.resource.where
        for each in resource_statements(graph, KEY)
        if each.allows and each.principals == root and each.actions == ["kms:*"] and each.resources == ["*"]
    }
    for key in graph.of(KEY):
        if key.where not in managed:
            yield key.violation("KeyPolicy", "must allow the account kms:* on *")
    for each in resource_statements(graph, KEY):
        if each.resources != ["*"] or not each.allows:
            yield each.violation("must allow, on *, which is the key itself")
