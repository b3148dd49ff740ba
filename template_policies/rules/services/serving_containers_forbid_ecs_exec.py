"""ECS Exec is off for serving containers; `infra exec` starts a separate task."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import IDENTITY, statements

SERVICE = "AWS::ECS::Service"


@policy(
    reason="A shell in a serving container reads users' data and the login, and its changes are in no image.",
    failure=Failure.ROLE_TAKEN_OVER,
    reads={SERVICE: ("EnableExecuteCommand",), **IDENTITY},
)
def check(graph: Graph) -> Iterator[Violation]:
    for service in graph.of(SERVICE):
        if service.get("EnableExecuteCommand") not in (None, False):
            yield service.violation("EnableExecuteCommand", "is on, must be off")
    for each in statements(graph):
        opens = any(action.startswith("ssmmessages:") for action in each.actions)
        if opens and (not each.holders or any("OneOff" not in holder for holder in each.holders)):
            yield each.violation("opens a shell, which only the task of `infra exec` may")
