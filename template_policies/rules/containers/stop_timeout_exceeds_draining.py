"""A container has one minute to stop, a worker two."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import TASK, main_container, tasks_without_users
from template_policies.graph import short


@policy(
    reason="Draining takes thirty seconds: a container that is killed earlier loses requests. A worker finishes "
    "its job, and 120 s is Fargate's maximum.",
    failure=Failure.TASK_DIES,
    reads={TASK: ("ContainerDefinitions",), "AWS::ECS::Service": ("LoadBalancers", "TaskDefinition")},
)
def check(graph: Graph) -> Iterator[Violation]:
    workers = tasks_without_users(graph)
    for task in graph.of(TASK):
        found, wanted = main_container(task).get("StopTimeout"), 120 if task.where in workers else 60
        if found != wanted:
            yield task.violation("ContainerDefinitions.StopTimeout", f"is {short(found)}, must be {wanted}")
        if main_container(task).get("LinuxParameters", {}).get("InitProcessEnabled") is not True:
            yield task.violation(
                "ContainerDefinitions.LinuxParameters", "must have an init process, which passes signals on"
            )
