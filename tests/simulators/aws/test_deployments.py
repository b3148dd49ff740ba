"""A service without a load balancer is deployed in the emulator as ECS documents it, and its tasks are replaced."""

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import boto3
import pytest

from infra_runtime.release.preflight import deployments, tasks_of
from simulators.aws.process import Emulator
from tests.simulators.aws.conftest import KEYS, LOG

WORKS = "echo working; while true; do sleep 0.1; done"
Seen = Mapping[str, Any]


def client(running: Emulator, service: str) -> Any:
    return boto3.client(service, endpoint_url=running.url, **KEYS)


class Service:
    """A service by its name, as CloudFormation deploys it."""

    def __init__(self, running: Emulator, name: str) -> None:
        self._name, self._ecs = name, client(running, "ecs")
        self._cloudformation = client(running, "cloudformation")

    def deploy(self, script: str, *, health: str | None = None, tasks: int = 1, beside: Seen | None = None) -> str:
        """Status of the stack afterwards. `health` is the script of its health check, `beside` are other resources."""
        container = {
            "Name": "app",
            "Image": "public.ecr.aws/docker/library/busybox:1.37.0-musl",
            "Command": ["sh", "-c", script],
            "LogConfiguration": {"LogDriver": "awslogs", "Options": LOG},
            **({"HealthCheck": _check(health)} if health else {}),
        }
        definition = {"Family": self._name, "Cpu": "256", "Memory": "512", "ContainerDefinitions": [container]}
        service = {
            "Cluster": "one",
            "TaskDefinition": {"Ref": "Definition"},
            "DesiredCount": tasks,
            "DeploymentConfiguration": {"DeploymentCircuitBreaker": {"Enable": True, "Rollback": True}},
        }
        resources = {
            "Definition": {"Type": "AWS::ECS::TaskDefinition", "Properties": definition},
            "Service": {"Type": "AWS::ECS::Service", "Properties": service},
            **(beside or {}),
        }
        stacks = self._cloudformation
        pages = stacks.get_paginator("describe_stacks").paginate()
        is_new = self._name not in {each["StackName"] for page in pages for each in page["Stacks"]}
        act = stacks.create_stack if is_new else stacks.update_stack
        act(StackName=self._name, TemplateBody=json.dumps({"Resources": resources}))
        give_up = time.monotonic() + 60
        while (status := self._status()).endswith("_IN_PROGRESS"):
            assert time.monotonic() < give_up, status
            time.sleep(0.1)
        return status

    def _status(self) -> str:
        return str(self._cloudformation.describe_stacks(StackName=self._name)["Stacks"][0]["StackStatus"])

    @property
    def reasons(self) -> str:
        events = self._cloudformation.describe_stack_events(StackName=self._name)["StackEvents"]
        return "\n".join(each.get("ResourceStatusReason", "") for each in events)

    @property
    def described(self) -> Seen:
        made = self._cloudformation.list_stack_resources(StackName=self._name)["StackResourceSummaries"]
        (arn,) = [each["PhysicalResourceId"] for each in made if each["ResourceType"] == "AWS::ECS::Service"]
        return dict(self._ecs.describe_services(cluster="one", services=[arn])["services"][0])

    def force_new_deployment(self) -> None:
        self._ecs.update_service(cluster="one", service=self.described["serviceName"], forceNewDeployment=True)

    def tasks(self, status: str = "RUNNING") -> list[str]:
        """ARNs of the tasks with this desired status."""
        return [str(each["taskArn"]) for each in tasks_of(self._ecs, self.described, desiredStatus=status)]

    def task(self, arn: str) -> Seen:
        return dict(self._ecs.describe_tasks(cluster="one", tasks=[arn])["tasks"][0])

    def deployments(self) -> list[Seen]:
        """The service's deployments, the newest last."""
        arns = [each["serviceDeploymentArn"] for each in deployments(self._ecs, self.described)]
        found = self._ecs.describe_service_deployments(serviceDeploymentArns=arns)["serviceDeployments"]
        return sorted(found, key=lambda each: float(each["createdAt"].timestamp()))

    def wait(self, holds: Callable[[], bool]) -> None:
        give_up = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < give_up, (self.described["events"], self.tasks(), self.tasks("STOPPED"))
            time.sleep(0.1)


def _check(script: str) -> dict[str, Any]:
    return {"Command": ["CMD", "sh", "-c", script], "Interval": 10, "Timeout": 5, "Retries": 3, "StartPeriod": 30}


@pytest.fixture
def service(running: Emulator, request: pytest.FixtureRequest) -> Service:
    return Service(running, request.node.name.replace("_", "-")[:60])


def test_new_tasks_take_over_and_old_ones_end(service: Service) -> None:
    assert service.deploy(WORKS) == "CREATE_COMPLETE", service.reasons
    before = service.tasks()
    assert service.deploy(f"echo new; {WORKS}") == "UPDATE_COMPLETE"
    assert len(before) == len(service.tasks()) == 1
    assert service.tasks() != before
    assert service.task(before[0])["stoppedReason"] == "Scaling activity initiated by deployment"
    assert [each["status"] for each in service.deployments()] == ["SUCCESSFUL", "SUCCESSFUL"]


def test_two_deployments_at_once_leave_the_tasks_of_one(service: Service) -> None:
    """As two events do that start the same function: neither sees the other's deployment."""
    service.deploy(WORKS)
    before = service.tasks()
    service.force_new_deployment()
    service.force_new_deployment()
    service.wait(lambda: [each["status"] for each in service.deployments()] == ["SUCCESSFUL"] * 3)
    assert len(service.tasks()) == 1
    assert service.tasks() != before


def test_three_tasks_that_do_not_start_trip_the_breaker_and_the_old_one_goes_on(service: Service) -> None:
    service.deploy(WORKS)
    before = service.tasks()
    assert service.deploy(WORKS, health="exit 1") == "UPDATE_ROLLBACK_COMPLETE"
    assert service.tasks() == before
    assert "'ECS Deployment Circuit Breaker was triggered'" in service.reasons
    newest = service.deployments()[-1]
    assert newest["status"] == "ROLLBACK_SUCCESSFUL"
    assert newest["rollback"]["reason"] == (
        "Service deployment rolled back because the circuit breaker threshold was exceeded."
    )
    failed = [service.task(arn) for arn in service.tasks("STOPPED")]
    assert [each["stoppedReason"] for each in failed] == ["Task failed container health checks"] * 3
    assert {each["healthStatus"] for each in failed} == {"UNHEALTHY"}


def test_without_a_deployment_to_go_back_to_ecs_says_so(service: Service) -> None:
    assert service.deploy("exit 3", health="exit 0") == "ROLLBACK_COMPLETE"
    assert "'ECS Deployment Circuit Breaker was triggered'" in service.reasons


def test_a_healthy_task_is_distinguished_from_one_without_a_health_check_yet(service: Service) -> None:
    assert service.deploy(WORKS, health="exit 0") == "CREATE_COMPLETE"
    (arn,) = service.tasks()
    assert service.task(arn)["healthStatus"] == "HEALTHY"


def test_without_a_health_check_a_task_that_runs_is_good_enough_and_is_replaced_when_it_ends(service: Service) -> None:
    """Reported in aws/containers-roadmap #1206."""
    assert service.deploy("sleep 1; exit 7") == "CREATE_COMPLETE"
    service.wait(lambda: len(service.tasks("STOPPED")) >= 2)
    ended = [service.task(arn) for arn in service.tasks("STOPPED")]
    assert {each["stoppedReason"] for each in ended} == {"Essential container in task exited"}
    assert {each["containers"][0]["exitCode"] for each in ended} == {7}


def test_a_task_that_a_person_stops_is_replaced(service: Service, running: Emulator) -> None:
    assert service.deploy(WORKS) == "CREATE_COMPLETE"
    (first,) = service.tasks()
    client(running, "ecs").stop_task(cluster="one", task=first, reason="a trial")
    service.wait(lambda: len(service.tasks()) == 1 and service.tasks() != [first])
    assert service.task(first)["stoppedReason"] == "a trial"


def test_a_task_that_becomes_unhealthy_is_replaced(service: Service, running: Emulator) -> None:
    file = running.images.parent / "is-well"
    file.touch()
    assert service.deploy(WORKS, health=f"test -e {file}") == "CREATE_COMPLETE"
    (first,) = service.tasks()
    file.unlink()
    service.wait(lambda: service.tasks("STOPPED") == [first])
    file.touch()
    service.wait(lambda: [service.task(arn)["healthStatus"] for arn in service.tasks()] == ["HEALTHY"])
    assert service.task(first)["stoppedReason"] == "Task failed container health checks"


def test_an_experiment_stops_a_third_of_the_tasks_and_others_take_their_place(
    service: Service, running: Emulator
) -> None:
    where = {"cluster": "one", "service": {"Fn::GetAtt": ["Service", "Name"]}}
    target = {"ResourceType": "aws:ecs:task", "SelectionMode": "PERCENT(34)", "Parameters": where}
    template = {
        "Description": "a third",
        "RoleArn": "arn:aws:iam::111122223333:role/fis",
        "StopConditions": [{"Source": "none"}],
        "Targets": {"some": target},
        "Actions": {"stop": {"ActionId": "aws:ecs:stop-task", "Targets": {"Tasks": "some"}}},
        "Tags": {"Name": "Third"},
    }
    made = {"Third": {"Type": "AWS::FIS::ExperimentTemplate", "Properties": template}}
    assert service.deploy(WORKS, tasks=3, beside=made) == "CREATE_COMPLETE", service.reasons
    before, fis = service.tasks(), client(running, "fis")
    (known,) = fis.list_experiment_templates()["experimentTemplates"]
    started = fis.start_experiment(experimentTemplateId=known["id"])["experiment"]["id"]

    def state() -> Mapping[str, Any]:
        found: Mapping[str, Any] = fis.get_experiment(id=started)["experiment"]["state"]
        return found

    service.wait(lambda: state()["status"] not in ("initiating", "running"))
    assert state()["status"] == "completed", state()
    service.wait(lambda: len(service.tasks()) == 3 and service.tasks() != before)
    (gone,) = set(before) - set(service.tasks())
    assert (service.task(gone)["stopCode"], service.task(gone)["stoppedReason"]) == (
        "UserInitiated", "Stopped by AWS FIS"
    )  # fmt: skip


def test_events_that_match_a_rule_are_written_into_its_log_group(running: Emulator) -> None:
    events, logs = client(running, "events"), client(running, "logs")
    logs.create_log_group(logGroupName="/aws/events/ended")
    pattern = {"source": ["test"], "detail": {"$or": [{"code": ["a"]}, {"why": [{"prefix": "Task failed "}]}]}}
    events.put_rule(Name="ended", EventPattern=json.dumps(pattern))
    arn = "arn:aws:logs:eu-central-1:111122223333:log-group:/aws/events/ended"
    events.put_targets(Rule="ended", Targets=[{"Id": "Log", "Arn": arn}])
    for detail in ({"code": "a"}, {"code": "b", "why": "Task failed ELB health checks"}, {"code": "b", "why": "done"}):
        entry = {"Source": "test", "DetailType": "ended", "Detail": json.dumps(detail)}
        events.put_events(Entries=[entry])
    written: list[Any] = logs.filter_log_events(logGroupName="/aws/events/ended")["events"]
    assert [json.loads(each["message"])["detail"]["code"] for each in written] == ["a", "b"]


def test_request_metrics_do_not_create_another_bucket(running: Emulator) -> None:
    """An environment adopts a bucket, and its function turns request metrics on."""
    s3 = client(running, "s3")
    s3.create_bucket(Bucket="counted", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    output = s3.put_bucket_metrics_configuration(Bucket="counted", Id="all", MetricsConfiguration={"Id": "all"})
    assert output["ResponseMetadata"]["HTTPStatusCode"] == 200
