"""When jobs get a release's image, and what EventBridge tells the function that runs them."""

import json
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk import assertions
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_sns as sns

from infra_constructs.alarms.alarm import Severity
from infra_constructs.container_task import ContainerEnvironment
from infra_constructs.jobs import JobProps, Jobs
from infra_constructs.release.ledger import ReleaseLedger
from infra_constructs.retention import Retention
from infra_constructs.service import Autoscaled
from infra_constructs.worker import Worker, WorkerProps
from infra_runtime.jobs.control import JobDefinition
from tests.tasks import image

JOB = JobProps(
    schedule="rate(1 hour)", command=("/app", "clean"), cpu=256, memory_mib=512, minutes=10, retries=1,
    overdue_minutes=120,
)  # fmt: skip


@pytest.fixture
def resources(
    template_of: Callable[..., assertions.Template], vpc: Callable[[cdk.Stack], ec2.IVpc]
) -> dict[str, dict[str, Any]]:
    """Resources of a worker with two jobs, by logical id."""

    def make(stack: cdk.Stack) -> None:
        network = vpc(stack)
        cluster = ecs.Cluster(stack, "Cluster", vpc=network)
        access = ec2.SecurityGroup(stack, "Access", vpc=network)
        released = image(stack)
        worker = Worker(
            stack, "Worker", cluster=cluster, security_group=access, image=released, settings=ContainerEnvironment(),
            props=WorkerProps(
                command=("/app", "work"), cpu=256, memory_mib=512, tasks=Autoscaled(min_tasks=1, max_tasks=1),
                spot=False, health_command=None,
            ),
        )  # fmt: skip
        Jobs(
            stack, "Jobs", environment="trial", service="api", runs=worker.service, cluster=cluster,
            security_group=access, image=released, settings=ContainerEnvironment(),
            ledger=ReleaseLedger(stack, "Ledger", retention=Retention.disposable(reason="a test")),
            topics={each: sns.Topic(stack, f"Topic{each}") for each in Severity}, jobs={"clean": JOB, "mail": JOB},
        )  # fmt: skip

    found: dict[str, dict[str, Any]] = template_of(make).to_json()["Resources"]
    return found


def of_type(resources: dict[str, dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in resources.items() if name.startswith("Jobs") and each["Type"] == kind}


def test_a_release_gives_jobs_its_image_once_the_service_serves_it(resources: dict[str, dict[str, Any]]) -> None:
    (service,) = [name for name, each in resources.items() if each["Type"] == "AWS::ECS::Service"]
    definitions = of_type(resources, "AWS::ECS::TaskDefinition")
    assert len(definitions) == 2
    assert all(service in each["DependsOn"] for each in definitions.values())
    (function,) = of_type(resources, "AWS::Lambda::Function").values()
    assert definitions.keys() <= set(function["DependsOn"]), "it knows no job before its task definition is there"


def test_the_function_reads_its_jobs(resources: dict[str, dict[str, Any]]) -> None:
    (function,) = of_type(resources, "AWS::Lambda::Function").values()
    found = [JobDefinition(**each) for each in json.loads(function["Properties"]["Environment"]["Variables"]["JOBS"])]
    families = {each["Properties"]["Family"] for each in of_type(resources, "AWS::ECS::TaskDefinition").values()}
    assert {each.definition for each in found} == families
    assert [(each.name, each.minutes, each.retries, each.overdue_minutes) for each in found] == [
        ("clean", 10, 1, 120), ("mail", 10, 1, 120),
    ]  # fmt: skip


def test_a_schedule_says_when_its_run_was_due(resources: dict[str, dict[str, Any]]) -> None:
    """The function needs it so that an event that is delivered twice starts one run."""
    rules = [each["Properties"] for each in of_type(resources, "AWS::Events::Rule").values()]
    (target,) = next(each["Targets"] for each in rules if each["Description"] == "Runs the job clean")
    assert target["InputTransformer"] == {
        "InputPathsMap": {"time": "$.time"}, "InputTemplate": '{"job":"clean","due":<time>}',
    }  # fmt: skip


def test_a_job_that_is_removed_starts_no_more_and_is_stopped_while_it_has_its_role(
    resources: dict[str, dict[str, Any]],
) -> None:
    """CloudFormation deletes what depends on something before that."""
    made = of_type(resources, "Custom::Job")
    assert {each["Properties"]["Job"] for each in made.values()} == {"clean", "mail"}
    definitions = of_type(resources, "AWS::ECS::TaskDefinition")
    rules = of_type(resources, "AWS::Events::Rule").values()
    for name, each in made.items():
        (definition,) = definitions.keys() & set(each["DependsOn"])
        assert definitions[definition]["Properties"]["Family"] == each["Properties"]["Family"]
        description = f"Runs the job {each['Properties']['Job']}"
        (schedule,) = [rule for rule in rules if rule["Properties"]["Description"] == description]
        assert name in schedule["DependsOn"]
