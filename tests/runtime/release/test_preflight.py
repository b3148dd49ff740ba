"""What is read of a service is read whole."""

from typing import Any

from infra_runtime.release.preflight import tasks_of

SERVICE = {"clusterArn": "cluster", "serviceName": "api"}


class Ecs:
    """Lists tasks two at a time; the last page may be empty."""

    def __init__(self, tasks: list[str]) -> None:
        self.tasks = tasks

    def get_paginator(self, operation: str) -> "Ecs":
        assert operation == "list_tasks"
        return self

    def paginate(self, *, cluster: str, serviceName: str, desiredStatus: str) -> list[dict[str, Any]]:  # noqa: N803
        assert (cluster, serviceName, desiredStatus) == ("cluster", "api", "STOPPED")
        return [{"taskArns": self.tasks[at : at + 2]} for at in range(0, len(self.tasks) + 1, 2)]

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> dict[str, Any]:
        assert tasks, "InvalidParameterException: Tasks cannot be empty"
        return {"tasks": [{"taskArn": each} for each in tasks]}


def test_all_tasks_of_a_service_are_found_however_many_pages_there_are() -> None:
    for count in (0, 1, 2, 5):
        names = [f"task-{number}" for number in range(count)]
        found = tasks_of(Ecs(names), SERVICE, desiredStatus="STOPPED")
        assert [each["taskArn"] for each in found] == names
