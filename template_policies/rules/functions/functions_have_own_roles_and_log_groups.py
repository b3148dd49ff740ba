"""No two functions or tasks share a role, and no two functions share a log group."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import TASK

FUNCTION = "AWS::Lambda::Function"


@policy(
    reason="A shared role has the wrong permissions. Operators look for a function's log in its own group.",
    failure=Failure.ROLE_TAKEN_OVER,
    reads={FUNCTION: ("Role", "LoggingConfig", "VpcConfig"), TASK: ("TaskRoleArn", "ExecutionRoleArn")},
)
def check(graph: Graph) -> Iterator[Violation]:
    for path in ("Role", "LoggingConfig.LogGroup"):
        seen: dict[str, str] = {}
        for each in graph.of(FUNCTION):
            target = each.target(path)
            if target is None:
                continue
            if target.where in seen:
                yield each.violation(path, f"is {target.where}, which {seen[target.where]} has")
            seen[target.where] = each.where
    taken: dict[str, str] = {}
    for task in graph.of(TASK):
        for path in ("TaskRoleArn", "ExecutionRoleArn"):
            role = task.target(path)
            if role is not None and taken.setdefault(role.where, task.where + path) != task.where + path:
                yield task.violation(path, f"is {role.where}, which {taken[role.where]} has")
    for each in graph.of(FUNCTION):
        if each.get("VpcConfig") is not None:
            groups = [one.type for one in each.targets("VpcConfig.SecurityGroupIds")]
            if groups != ["AWS::EC2::SecurityGroup"]:
                yield each.violation("VpcConfig.SecurityGroupIds", "must be one group: the default one is closed")
