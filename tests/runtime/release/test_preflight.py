"""What is read of a service is read whole."""

from typing import Any

import pytest

from infra_runtime.release.preflight import (
    Kind,
    ReleasedService,
    ReleasePreflight,
    ReleaseProblem,
    release_alarms,
    tasks_of,
)

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


class Alarms:
    """CloudWatch, which lists every alarm where none is named."""

    def client(self, service: str) -> "Alarms":
        assert service == "cloudwatch"
        return self

    def get_paginator(self, operation: str) -> "Alarms":
        assert operation == "describe_alarms"
        return self

    def paginate(self, *, AlarmNames: list[str]) -> list[dict[str, Any]]:  # noqa: N803
        there = {"api-errors": "OK", "somebody-elses": "ALARM"}
        named = [each for each in there if each in AlarmNames or not AlarmNames]
        return [{"MetricAlarms": [{"AlarmName": each, "StateValue": there[each]} for each in named]}]


@pytest.mark.parametrize("none", [{}, {"alarms": {"alarmNames": [], "rollback": False, "enable": False}}])
def test_a_worker_with_an_image_of_its_own_has_no_alarms_that_send_its_release_back(none: dict[str, Any]) -> None:
    """ECS leaves them out, or lists none: neither is an error, and other alarms of the account are not its own."""
    assert release_alarms(Alarms(), {"deploymentConfiguration": none}) == {}
    own = {"alarms": {"alarmNames": ["api-errors", "api-slow"], "rollback": True, "enable": True}}
    assert release_alarms(Alarms(), {"deploymentConfiguration": own}) == {"api-errors": "OK", "api-slow": None}


class Restoring:
    """RDS, in the midst of `infra restore`: the restored instance is about to get the name of the one that serves."""

    def __init__(self, *marked: str) -> None:
        self._marked = marked

    def client(self, service: str) -> "Restoring":
        assert service == "rds"
        return self

    def get_paginator(self, operation: str) -> "Restoring":
        assert operation == "describe_db_instances"
        return self

    def paginate(self) -> list[dict[str, Any]]:
        tags = [{"Key": "infra:takes-over", "Value": name} for name in self._marked]
        other = {"DBInstanceIdentifier": "other", "TagList": [{"Key": "a", "Value": "b"}]}
        return [{"DBInstances": [other]}, {"DBInstances": [{"DBInstanceIdentifier": "restored", "TagList": tags}]}]


@pytest.mark.parametrize("kind", ["release", "rollback"])
def test_nothing_is_released_while_a_restored_database_takes_over(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    for other in ("_image", "_stack", "_running"):
        monkeypatch.setattr(ReleasePreflight, other, lambda *_, **__: [])
    service = ReleasedService("api", "stack", "parameter", "repository", "linux/arm64", (), database="serving")
    found = ReleasePreflight(Restoring("serving"), service).problems("image", kind)
    assert found == [
        ReleaseProblem(
            "database", "restored is about to serve", "wait for infra restore, or undo it: infra restore back ENV"
        )
    ]
    for quiet in (Restoring(), Restoring("of-another-environment")):
        assert ReleasePreflight(quiet, service).problems("image", kind) == []
