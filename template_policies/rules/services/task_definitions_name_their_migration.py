"""A task definition names the migration task definition of the same image."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import TASK, main_container
from template_policies.graph import short
from template_policies.owners import owner

LABEL = "infra.migration"


@policy(
    reason="A release, or going back, must run the migrations of that very version and of no other.",
    failure=Failure.BAD_MIGRATION,
    reads={TASK: ("ContainerDefinitions",), "AWS::ECS::Service": ("TaskDefinition",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for service in graph.of("AWS::ECS::Service"):
        own, task = owner(graph, service), service.target("TaskDefinition")
        if task is None or task.type != TASK:
            yield service.violation("TaskDefinition", "must refer to a task definition")
            continue
        if own is None or own.host is None or own.service.migrations is None:
            continue
        container = main_container(task)
        migration = graph.target(task.stack, container.get("DockerLabels", {}).get(LABEL))
        if migration is None or migration.type != TASK:
            yield task.violation("ContainerDefinitions", f"must refer to the migration in the label {LABEL}")
            continue
        runs = main_container(migration)
        if runs.get("Image") != container.get("Image"):
            yield migration.violation("ContainerDefinitions", "has another image than the service that it migrates for")
        if runs.get("Command") != list(own.service.migrations.command):
            yield migration.violation(
                "ContainerDefinitions",
                f"runs {short(runs.get('Command'))}, must {short(own.service.migrations.command)}",
            )
