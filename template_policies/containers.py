"""Containers of task definitions: the product's own, and the one that prepares its volumes."""

from typing import Any

from template_policies.graph import Graph, Resource

TASK = "AWS::ECS::TaskDefinition"
PREPARES = "prepare"


def containers(task: Resource) -> list[dict[str, Any]]:
    return [each for each in task.items("ContainerDefinitions") if isinstance(each, dict)]


def main_container(task: Resource) -> dict[str, Any]:
    """The container that runs the product's image; empty if there is none."""
    return next((each for each in containers(task) if each.get("Name") != PREPARES), {})


def preparing(task: Resource) -> dict[str, Any]:
    return next((each for each in containers(task) if each.get("Name") == PREPARES), {})


def variables(container: dict[str, Any]) -> dict[str, Any]:
    return {each["Name"]: each.get("Value") for each in container.get("Environment", []) if "Name" in each}


def secrets(container: dict[str, Any]) -> dict[str, Any]:
    return {each["Name"]: each.get("ValueFrom") for each in container.get("Secrets", []) if "Name" in each}


def tasks_without_users(graph: Graph) -> set[str]:
    """Stack/LogicalId of each task definition of a service without a load balancer."""
    return {
        task.where
        for each in graph.of("AWS::ECS::Service")
        if not each.get("LoadBalancers") and (task := each.target("TaskDefinition")) is not None
    }
