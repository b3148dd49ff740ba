"""A service is created after ECS's permission to call its hooks, and after the hooks' own permissions."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import IDENTITY, policies_of

SERVICE = "AWS::ECS::Service"


@policy(
    reason="ECS asks at the first deployment already: a permission that comes later is a no, and the stack rolls back.",
    failure=Failure.REFUSED,
    reads={
        SERVICE: ("DeploymentConfiguration", "DependsOn", "TaskDefinition"),
        "AWS::Lambda::Function": ("Role",),
        **IDENTITY,
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    for service in graph.of(SERVICE):
        waits = service.items("DependsOn")
        for hook in service.items("DeploymentConfiguration.LifecycleHooks"):
            function = graph.target(service.stack, hook.get("HookTargetArn"))
            roles = [graph.target(service.stack, hook.get("RoleArn")), function and function.target("Role")]
            for role in roles:
                for each in policies_of(graph, role) if role is not None else []:
                    if each.logical_id not in waits:
                        yield service.violation("DependsOn", f"must have {each.logical_id}")
