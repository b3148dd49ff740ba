"""What is read of a service is read whole."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from infra_runtime.release.preflight import Kind, Preflight, Problem, Service, tasks_of, why_it_went_back

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
        monkeypatch.setattr(Preflight, other, lambda *_, **__: [])
    service = Service("api", "stack", "parameter", "repository", "linux/arm64", (), database="serving")
    found = Preflight(Restoring("serving"), service).problems("image", kind)
    assert found == [
        Problem("database", "restored is about to serve", "wait for infra restore, or undo it: infra restore back ENV")
    ]
    for quiet in (Restoring(), Restoring("of-another-environment")):
        assert Preflight(quiet, service).problems("image", kind) == []


BEGAN = datetime(2026, 11, 26, 8, tzinfo=UTC)
TRIPPED = "Service deployment rolled back because the circuit breaker threshold was exceeded."


class Account:
    """A stack of two services; the second one, a worker, has gone back. Everything of an earlier time is there, too."""

    def __init__(self, *tasks: Mapping[str, Any]) -> None:
        self.tasks = {f"task/{number}": each for number, each in enumerate(tasks)}

    def client(self, _: str) -> "Account":
        return self

    def get_paginator(self, operation: str) -> "Account":
        self.operation = operation
        return self

    def paginate(self, **request: Any) -> list[dict[str, Any]]:
        if self.operation == "list_stack_resources":
            found = [
                {
                    "ResourceType": "AWS::ECS::Service",
                    "PhysicalResourceId": f"service/cluster/{name}",
                    "LogicalResourceId": name,
                }
                for name in ("api", "mailer")
            ]
            return [{"StackResourceSummaries": found}]
        assert request["desiredStatus"] == "STOPPED"
        return [{"taskArns": [arn for arn, each in self.tasks.items() if each["of"] == request["serviceName"]]}]

    def describe_services(self, *, cluster: str, services: list[str]) -> dict[str, Any]:
        (arn,) = services
        return {"services": [{"serviceArn": arn, "serviceName": arn.rpartition("/")[2], "clusterArn": cluster}]}

    def list_service_deployments(self, *, service: str, **_: Any) -> dict[str, Any]:
        return {"serviceDeployments": [{"serviceDeploymentArn": service}]}

    def describe_service_deployments(self, *, serviceDeploymentArns: list[str]) -> dict[str, Any]:  # noqa: N803
        went_back = serviceDeploymentArns[0].endswith("mailer")
        status = (
            {"status": "ROLLBACK_SUCCESSFUL", "rollback": {"reason": TRIPPED}}
            if went_back
            else {"status": "SUCCESSFUL"}
        )
        return {"serviceDeployments": [{"createdAt": BEGAN, **status}]}

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> dict[str, Any]:
        assert cluster
        return {"tasks": [{"taskArn": arn, **self.tasks[arn]} for arn in tasks]}


def stopped(service: str, why: str, code: str, *, after_minutes: int = 1, **container: Any) -> dict[str, Any]:
    containers = [{"name": "prepare", "exitCode": 0}, {"name": "app", **container}]
    created = BEGAN + timedelta(minutes=after_minutes)
    return {"of": service, "stoppedReason": why, "stopCode": code, "createdAt": created, "containers": containers}


EXITED = ("Essential container in task exited", "EssentialContainerExited")
SCALED = ("Scaling activity initiated by deployment", "ServiceSchedulerInitiated")


def test_a_deployment_that_the_circuit_breaker_has_ended_is_explained_by_one_of_its_tasks() -> None:
    account = Account(
        stopped("mailer", *EXITED, after_minutes=-5, exitCode=1),
        stopped("mailer", *SCALED, exitCode=0),
        stopped("api", *EXITED, exitCode=2),
        stopped("mailer", *EXITED, exitCode=3),
    )
    assert why_it_went_back(account, "stack", since=BEGAN) == (
        f"{TRIPPED}; task 3: Essential container in task exited, exit code 3"
    )


def test_a_task_that_was_unhealthy_or_never_started_explains_it_as_well() -> None:
    unhealthy = stopped("mailer", "Task failed container health checks", "ServiceSchedulerInitiated", exitCode=137)
    assert "task 0: Task failed container health checks, exit code 137" in str(
        why_it_went_back(Account(unhealthy), "stack", since=BEGAN)
    )
    never = stopped("mailer", "Task failed to start", "TaskFailedToStart", reason="CannotPullContainerError: denied")
    assert "task 0: Task failed to start, CannotPullContainerError: denied" in str(
        why_it_went_back(Account(never), "stack", since=BEGAN)
    )
    assert why_it_went_back(Account(stopped("mailer", *SCALED, exitCode=0)), "stack", since=BEGAN) == TRIPPED
