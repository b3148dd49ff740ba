"""An instance for each way of Redis, of which one serves."""

import json
from collections.abc import Iterator
from typing import Any

from tests.templates import of_type

Templates = dict[str, dict[str, Any]]


def alarms(templates: Templates) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, alarm in of_type(templates, "AWS::CloudWatch::Alarm"):
        yield where, alarm["Properties"]


def test_only_the_redis_in_use_has_alarms_and_a_gate_and_all_stay_reachable(every_redis: Templates) -> None:
    resources = every_redis["dev/Redis"]["Resources"]
    about = {
        dimension["Value"]
        for where, alarm in alarms(every_redis)
        if "/Redis/" in where and alarm.get("Namespace") == "Infra/Redis"
        for dimension in alarm["Dimensions"]
        if dimension["Name"] == "Instance"
    }
    assert about == {"next", "jobs"}, "only those that are used wake anybody"
    gates = json.dumps(
        [each["Properties"]["Url"] for each in resources.values() if each["Type"] == "Custom::RedisGate"]
    )
    assert [name for name in ("main", "next", "last", "jobs") if f"Instances{name}Url" in gates] == ["next", "jobs"]
    probes = {
        each["Properties"]["Environment"]["Variables"]["INSTANCE"]
        for each in resources.values()
        if each["Type"] == "AWS::Lambda::Function"
        and each["Properties"]["Handler"] == "infra_runtime.redis.monitor.handler"
    }
    assert probes == {"main", "next", "last", "jobs"}
    # Exports that the API has imported stay, so the switch can be deployed.
    exported = json.dumps(every_redis["dev/Redis"]["Outputs"])
    assert "InstancesmainUrl" in exported
    assert "InstancesnextUrl" in exported
    (task,) = [
        each
        for where, each in of_type(every_redis, "AWS::ECS::TaskDefinition", name="dev/Api")
        if where.startswith("dev/Api/Service")
    ]
    secrets = {each["Name"]: each["ValueFrom"] for each in task["Properties"]["ContainerDefinitions"][0]["Secrets"]}
    assert "InstancesnextUrl" in json.dumps(secrets["REDIS_URL"])
