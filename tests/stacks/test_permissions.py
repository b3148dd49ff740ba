"""What AWS would never allow, although CloudFormation deploys it, in any policy of any environment."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.permissions import faults, overlap

Templates = dict[str, dict[str, Any]]
Statement = dict[str, Any]


def test_every_statement_can_be_allowed(templates: Templates, every_redis: Templates) -> None:
    assert faults(templates) == []
    assert faults(every_redis) == []


def _granting(action: str, template: dict[str, Any]) -> Iterator[Statement]:
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::IAM::Policy":
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                if action in statement["Action"]:
                    yield statement


def _only_the_revision(statement: Statement) -> None:
    statement["Resource"] = next(each for each in statement["Resource"] if "service-revision" in each)


def _misspelt(statement: Statement) -> None:
    statement["Action"] = "ecs:DescribeServiceRevision"


def _on_no_kind_it_knows(statement: Statement) -> None:
    statement["Resource"] = "arn:aws:ecs:eu-central-1:111122223333:cluster/main"


def _condition_of_another_service(statement: Statement) -> None:
    statement["Condition"] = {"StringEquals": {"cloudwatch:namespace": "App"}}


def _condition_of_another_action(statement: Statement) -> None:
    statement["Condition"] = {"Bool": {"ecs:enable-execute-command": "false"}}


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_only_the_revision, "ecs:DescribeServiceRevisions also needs a resource of type service:"),
        (_misspelt, "ecs:DescribeServiceRevision is no action"),
        (_on_no_kind_it_knows, "ecs:DescribeServiceRevisions knows no such resource:"),
        (_condition_of_another_service, "never has the condition key cloudwatch:namespace"),
        (_condition_of_another_action, "never has the condition key ecs:enable-execute-command"),
    ],
)
def test_a_statement_that_allows_nothing_is_named(
    spoil: Callable[[Statement], None], expected: str, templates: Templates
) -> None:
    spoilt = {**templates, "dev/Frontend": copy.deepcopy(templates["dev/Frontend"])}
    (statement,) = _granting("ecs:DescribeServiceRevisions", spoilt["dev/Frontend"])
    spoil(statement)
    assert any(expected in each for each in faults(spoilt)), faults(spoilt)


def test_an_action_without_resources_is_allowed_by_the_star_only(templates: Templates) -> None:
    spoilt = {**templates, "dev/Frontend": copy.deepcopy(templates["dev/Frontend"])}
    (statement,) = _granting("ecs:DescribeTaskDefinition", spoilt["dev/Frontend"])
    statement["Resource"] = "arn:aws:ecs:eu-central-1:111122223333:task-definition/api:1"
    assert any("ecs:DescribeTaskDefinition has no resource-level permissions" in each for each in faults(spoilt))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("arn:aws:s3:::bucket", "arn:*:s3:::\1", True),
        ("arn:aws:s3:::bucket", "arn:*:s3:::\1/*", False),
        ("arn:aws:s3:::bucket/*", "arn:*:s3:::\1", False),
        ("arn:aws:s3:::bucket/*", "arn:*:s3:::\1/*", True),
        ("arn:aws:ecs:*:*:service/*", "arn:*:ecs:*:*:service/*/*", True),
        ("*", "arn:*:ecs:*:*:service/*/*", True),
        ("arn:aws:ecs:*:*:service-deployment/*", "arn:*:ecs:*:*:service/*/*", False),
    ],
)
def test_patterns_overlap_where_an_arn_fits_both(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is expected


def _open_invitations(templates: Templates) -> list[str]:
    """Permissions of functions that a service may use for anybody's account."""
    return [
        f"{stack}/{logical_id}"
        for stack, template in templates.items()
        for logical_id, resource in template["Resources"].items()
        if resource["Type"] == "AWS::Lambda::Permission"
        and not {"SourceArn", "SourceAccount"} & set(resource["Properties"])
    ]


def test_services_call_functions_for_this_account_only(templates: Templates, every_redis: Templates) -> None:
    assert _open_invitations(templates) + _open_invitations(every_redis) == []
    rotations = [
        resource["Properties"]
        for template in templates.values()
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Permission"
        and resource["Properties"]["Principal"] == "secretsmanager.amazonaws.com"
    ]
    assert rotations
    for each in rotations:
        forgotten = {key: value for key, value in each.items() if key != "SourceAccount"}
        resources = {"Rotation": {"Type": "AWS::Lambda::Permission", "Properties": forgotten}}
        assert _open_invitations({"dev/Data": {"Resources": resources}}) == ["dev/Data/Rotation"]
