"""What FIS may do in an environment, and that it would take our templates."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from config import game_days, services
from config.model import Environment
from simulators.aws.fis import ACTIONS, checked

KIND = "AWS::FIS::ExperimentTemplate"
# "Permissions" of each action (AWS FIS user guide, "AWS FIS Actions reference").
PERMISSIONS = {
    "aws:ecs:stop-task": {"ecs:DescribeTasks", "ecs:ListTasks", "ecs:StopTask"},
    "aws:rds:reboot-db-instances": {"rds:RebootDBInstance", "rds:DescribeDBInstances"},
    "aws:elasticache:replicationgroup-interrupt-az-power": {
        "elasticache:InterruptClusterAzPower", "elasticache:DescribeReplicationGroups"
    },
    "aws:network:disrupt-connectivity": {
        # Without those for prefix lists, which only their own scope needs.
        "ec2:CreateNetworkAcl", "ec2:CreateNetworkAclEntry", "ec2:CreateTags", "ec2:DeleteNetworkAcl",
        "ec2:DescribeNetworkAcls", "ec2:DescribeSubnets", "ec2:DescribeVpcs", "ec2:ReplaceNetworkAclAssociation",
    },
}  # fmt: skip
FOR_TAGS = "tag:GetResources"
Templates = Mapping[str, Mapping[str, Any]]


def experiments(templates: Templates) -> Iterator[tuple[Mapping[str, Any], str, Mapping[str, Any]]]:
    """(resources of its stack, logical id, properties) of each."""
    for template in templates.values():
        resources = template["Resources"]
        for name, each in resources.items():
            if each["Type"] == KIND:
                yield resources, name, each["Properties"]


def test_every_action_of_ours_is_one_that_the_reference_has() -> None:
    assert {each.value for each in game_days.Action} == set(ACTIONS) == set(PERMISSIONS)


def test_fis_would_take_every_template(templates: Templates) -> None:
    found = list(experiments(templates))
    assert len(found) > 4
    for _, _, properties in found:
        checked(properties)


def test_a_role_may_do_its_own_experiment_and_nothing_else(templates: Templates) -> None:
    for resources, name, properties in experiments(templates):
        (action,) = {each["ActionId"] for each in properties["Actions"].values()}
        role = properties["RoleArn"]["Fn::GetAtt"][0]
        (trust,) = resources[role]["Properties"]["AssumeRolePolicyDocument"]["Statement"]
        assert trust["Principal"] == {"Service": "fis.amazonaws.com"}
        assert set(trust["Condition"]) == {"StringEquals", "ArnLike"}, "another account's experiments are kept out"
        allowed = {
            action
            for each in resources.values()
            if each["Type"] == "AWS::IAM::Policy" and {"Ref": role} in each["Properties"]["Roles"]
            for statement in each["Properties"]["PolicyDocument"]["Statement"]
            for action in _several(statement["Action"])
        }
        assert allowed - {FOR_TAGS} == PERMISSIONS[action], name


def test_alarms_stop_every_experiment(templates: Templates) -> None:
    for resources, name, properties in experiments(templates):
        stops = [each["Value"]["Fn::GetAtt"][0] for each in properties["StopConditions"]]
        assert 1 <= len(stops) <= 5, name
        assert {resources[each]["Type"] for each in stops} == {"AWS::CloudWatch::Alarm"}, "no composite ones"


@pytest.mark.parametrize(("name", "mode"), [("production", "PERCENT(34)"), ("staging", "COUNT(1)")])
def test_a_third_of_three_tasks_is_one_and_so_is_a_third_of_two(name: str, mode: str, templates: Templates) -> None:
    found = [
        target["SelectionMode"]
        for each in templates[f"{name}/Observability"]["Resources"].values()
        if each["Type"] == KIND
        for target in each["Properties"]["Targets"].values()
        if target["ResourceType"] == "aws:ecs:task"
    ]
    assert set(found) == {mode}


def test_without_redundancy_there_is_nothing_to_show(loaded: dict[str, Environment]) -> None:
    assert [each.name for each in game_days.of(loaded["dev"]) if each.action] == []
    assert {each.action for each in game_days.of(loaded["production"])} >= set(game_days.Action)
    assert all(each.min_tasks > 1 for each in game_days.redundant(loaded["staging"]).values())
    assert services.load_balanced(loaded["dev"]), "there is a service, with one task"


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
