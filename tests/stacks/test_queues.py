"""A queue in a Redis of its own, and a worker that takes its jobs from there: dev's file with both."""

import json
from typing import Any

import aws_cdk as cdk
import pytest

import app
from config import ENVIRONMENTS, load
from rehearsal.cloudwatch.alarms import severity_of
from rehearsal.variants import with_queue
from tests.conftest import _templates

Templates = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def queued(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Templates:
    folder = tmp_path_factory.mktemp("queue")
    environments = with_queue(ENVIRONMENTS, "dev", into=folder / "environments")
    root = cdk.App(context=context, outdir=str(folder / "cdk.out"))
    app.build(root, load(["dev"], directory=environments))
    root.synth()
    return _templates(folder / "cdk.out")


def of_type(templates: Templates, stack: str, kind: str) -> dict[str, dict[str, Any]]:
    found = templates[stack]["Resources"].items()
    return {name: each["Properties"] for name, each in found if each["Type"] == kind}


def secrets(templates: Templates, stack: str, task: str) -> dict[str, str]:
    """Of the service's own container; `task` begins the logical id of its definition."""
    definitions = of_type(templates, stack, "AWS::ECS::TaskDefinition")
    (definition,) = [each for name, each in definitions.items() if name.startswith(task)]
    return {each["Name"]: json.dumps(each["ValueFrom"]) for each in definition["ContainerDefinitions"][0]["Secrets"]}


def test_a_queue_evicts_nothing_beside_a_cache_that_does(queued: Templates) -> None:
    groups = of_type(queued, "dev/Redis", "AWS::ElastiCache::ParameterGroup")
    policies = {name: each["Properties"]["maxmemory-policy"] for name, each in groups.items()}
    assert sorted(policies.values()) == ["noeviction", "volatile-ttl"]
    assert [name for name, policy in policies.items() if policy == "noeviction"] == [
        name for name in policies if "jobs" in name.lower()
    ]
    asked = {
        each["Environment"]["Variables"]["INSTANCE"]: each["Environment"]["Variables"].get("EVICTION")
        for each in of_type(queued, "dev/Redis", "AWS::Lambda::Function").values()
        if "INSTANCE" in each.get("Environment", {}).get("Variables", {})
    }
    assert asked == {"main": None, "jobs": "false"}
    assert len(of_type(queued, "dev/Redis", "Custom::RedisGate")) == 2


def test_a_full_queue_wakes_somebody_and_its_keys_need_not_expire(queued: Templates) -> None:
    alarms = of_type(queued, "dev/Redis", "AWS::CloudWatch::Alarm")

    def about(what: str) -> dict[str, tuple[str, float]]:
        return {
            "jobs" if "jobs" in name.lower() else "main": (severity_of(each["AlarmActions"]), each["Threshold"])
            for name, each in alarms.items()
            if what in name
        }

    assert about("Memory") == {"main": ("warning", 80), "jobs": ("critical", 70)}
    assert set(about("KeysWithoutExpiry")) == {"main"}
    assert set(about("ConnectionFailure")) == {"main", "jobs"}


def test_a_worker_gets_the_queue_and_not_the_cache(queued: Templates) -> None:
    worker, api = secrets(queued, "dev/Api", "Mailer"), secrets(queued, "dev/Api", "ServiceTask")
    assert "jobs" in worker["REDIS_QUEUE_URL"].lower()
    assert "REDIS_URL" not in worker
    assert api["REDIS_QUEUE_URL"] == worker["REDIS_QUEUE_URL"] != api["REDIS_URL"]


def test_jobs_of_a_preview_reach_no_worker_of_the_environment(queued: Templates) -> None:
    preview = secrets(queued, "dev/Preview1", "ApiServiceTask")
    assert preview["REDIS_QUEUE_URL"] == preview["REDIS_URL"]
    assert "jobs" not in preview["REDIS_QUEUE_URL"].lower()
