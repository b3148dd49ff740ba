"""A service is created after the permissions of its tasks and hooks, of what hooks run, and of ECS to call them."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.containers import TASK
from template_policies.iam import IDENTITY, policies_of

SERVICE = "AWS::ECS::Service"


@policy(
    reason="ECS starts tasks and calls hooks during the first deployment: before their permissions exist they "
    "are denied, and the stack rolls back.",
    failure=Failure.REFUSED,
    reads={
        SERVICE: ("DeploymentConfiguration", "DependsOn", "TaskDefinition"),
        TASK: ("ContainerDefinitions", "ExecutionRoleArn", "TaskRoleArn"),
        "AWS::Lambda::Function": ("Role",),
        **IDENTITY,
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for service in graph.of(SERVICE):
        waits = service.items("DependsOn")
        for role in _roles(graph, service):
            for each in policies_of(graph, role):
                if each.logical_id not in waits:
                    yield service.violation("DependsOn", f"must have {each.logical_id}")


def _roles(graph: Graph, service: Resource) -> Iterator[Resource]:
    task = service.target("TaskDefinition")
    tasks = [task] if task is not None else []
    # A hook runs the task definition that a container's label names: the migration of the same image.
    tasks += [
        each
        for one in list(tasks)
        for each in graph.referred(one.stack, one.get("ContainerDefinitions"))
        if each.type == TASK
    ]
    found = [each.target(role) for each in tasks for role in ("ExecutionRoleArn", "TaskRoleArn")]
    for hook in service.items("DeploymentConfiguration.LifecycleHooks"):
        function = graph.target(service.stack, hook.get("HookTargetArn"))
        found += [graph.target(service.stack, hook.get("RoleArn")), function and function.target("Role")]
    yield from (each for each in found if each is not None)
