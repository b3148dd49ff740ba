"""The reason of a rollback is complete: the ledger has all that one needs to know."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from infra_runtime.release.rollback_reasons import rollback_reason

BEGAN = datetime(2026, 11, 26, 8, tzinfo=UTC)
ERRORS = "CRITICAL: More than one request in twenty fails. Runbook: docs/runbooks/service-errors.md"
TRIPPED = "Service deployment rolled back because the circuit breaker threshold was exceeded."


class Account:
    """A stack of two services, of which the worker was rolled back. It also has older events, tasks and logs."""

    def __init__(self, *tasks: Mapping[str, Any], rang: str | None = None) -> None:
        self.tasks = {f"task/{number}": each for number, each in enumerate(tasks)}
        self.rang = rang
        """The alarm that rolled the worker back."""
        self.log: list[str] | None = []
        """Log lines of every task; None when the log may not be read."""

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
        if self.operation == "describe_alarms":
            return [
                {"MetricAlarms": [{"AlarmName": each, "AlarmDescription": ERRORS} for each in request["AlarmNames"]]}
            ]
        assert request["desiredStatus"] == "STOPPED"
        return [{"taskArns": [arn for arn, each in self.tasks.items() if each["of"] == request["serviceName"]]}]

    def describe_services(self, *, cluster: str, services: list[str]) -> dict[str, Any]:
        (arn,) = services
        return {"services": [{"serviceArn": arn, "serviceName": arn.rpartition("/")[2], "clusterArn": cluster}]}

    def list_service_deployments(self, *, service: str, **_: Any) -> dict[str, Any]:
        return {"serviceDeployments": [{"serviceDeploymentArn": service}]}

    def describe_service_deployments(self, *, serviceDeploymentArns: list[str]) -> dict[str, Any]:  # noqa: N803
        rolled_back = serviceDeploymentArns[0].endswith("mailer")
        status = (
            {"status": "ROLLBACK_SUCCESSFUL", "rollback": {"reason": TRIPPED}}
            if rolled_back
            else {"status": "SUCCESSFUL"}
        )
        alarms = {"alarms": {"status": "TRIGGERED", "triggeredAlarmNames": [self.rang]}} if self.rang else {}
        return {"serviceDeployments": [{"createdAt": BEGAN, **status, **alarms}]}

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> dict[str, Any]:
        assert cluster
        return {"tasks": [{"taskArn": arn, "taskDefinitionArn": "app:3", **self.tasks[arn]} for arn in tasks]}

    def describe_task_definition(self, *, taskDefinition: str) -> dict[str, Any]:  # noqa: N803
        options = {"awslogs-group": "stack-logs", "awslogs-stream-prefix": "app"}
        return {"taskDefinition": {"containerDefinitions": [{"name": "app", "logConfiguration": {"options": options}}]}}

    def get_log_events(self, *, startFromHead: bool, limit: int, **stream: str) -> dict[str, Any]:  # noqa: N803
        assert not startFromHead
        assert stream["logGroupName"] == "stack-logs"
        assert stream["logStreamName"].startswith("app/app/")
        if self.log is None:
            raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "no"}}, "GetLogEvents")
        return {"events": [{"message": line} for line in self.log[-limit:]]}


def stopped(service: str, why: str, code: str, *, after_minutes: int = 1, **container: Any) -> dict[str, Any]:
    containers = [{"name": "prepare", "exitCode": 0}, {"name": "app", **container}]
    created = BEGAN + timedelta(minutes=after_minutes)
    return {"of": service, "stoppedReason": why, "stopCode": code, "createdAt": created, "containers": containers}


EXITED = ("Essential container in task exited", "EssentialContainerExited")
SCALED = ("Scaling activity initiated by deployment", "ServiceSchedulerInitiated")


CRASHED = stopped("mailer", *EXITED, exitCode=1)


def test_the_last_lines_of_a_task_that_failed_are_kept_with_the_reason() -> None:
    """ECS forgets the task within the hour, and only the person who released would have seen its log."""
    account = Account(CRASHED)
    account.log = ["listening", *(f"line {number}" for number in range(9)), "\x1b[31mError: no such thing\x1b[0m"]
    lines = str(rollback_reason(account, "stack", since=BEGAN)).splitlines()
    assert lines[0].endswith("exit code 1")
    assert lines[1:] == [*(f"  | line {number}" for number in range(9)), "  | Error: no such thing"]


def test_a_log_that_may_not_be_read_takes_nothing_from_the_reason() -> None:
    account = Account(CRASHED)
    account.log = None
    assert str(rollback_reason(account, "stack", since=BEGAN)).endswith("exit code 1")


def test_the_alarm_that_rolled_it_back_is_reported_with_its_meaning_and_runbook() -> None:
    assert rollback_reason(Account(rang="api-errors"), "stack", since=BEGAN) == f"{TRIPPED}; api-errors: {ERRORS}"


def test_a_deployment_that_the_circuit_breaker_has_ended_is_explained_by_one_of_its_tasks() -> None:
    account = Account(
        stopped("mailer", *EXITED, after_minutes=-5, exitCode=1),
        stopped("mailer", *SCALED, exitCode=0),
        stopped("api", *EXITED, exitCode=2),
        stopped("mailer", *EXITED, exitCode=3),
    )
    assert rollback_reason(account, "stack", since=BEGAN) == (
        f"{TRIPPED}; task 3: Essential container in task exited, exit code 3"
    )


def test_a_task_that_was_unhealthy_or_never_started_explains_it_as_well() -> None:
    unhealthy = stopped("mailer", "Task failed container health checks", "ServiceSchedulerInitiated", exitCode=137)
    assert "task 0: Task failed container health checks, exit code 137" in str(
        rollback_reason(Account(unhealthy), "stack", since=BEGAN)
    )
    never = stopped("mailer", "Task failed to start", "TaskFailedToStart", reason="CannotPullContainerError: denied")
    assert "task 0: Task failed to start, CannotPullContainerError: denied" in str(
        rollback_reason(Account(never), "stack", since=BEGAN)
    )
    assert rollback_reason(Account(stopped("mailer", *SCALED, exitCode=0)), "stack", since=BEGAN) == TRIPPED
