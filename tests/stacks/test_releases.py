"""What releases, rotation and rollback need of the templates, in every environment."""

from collections.abc import Iterator
from typing import Any

Templates = dict[str, dict[str, Any]]


def of_type(templates: Templates, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(stack, resource) of one type; at least one."""
    found = [
        (stack, resource)
        for stack, template in templates.items()
        for resource in template["Resources"].values()
        if resource["Type"] == kind
    ]
    assert found, f"no {kind} anywhere"
    yield from found


def statements(template: dict[str, Any], role: dict[str, Any]) -> list[dict[str, Any]]:
    """Of the policies that are attached to the role, which is named by a Fn::GetAtt of its ARN."""
    (name,) = [each[0] for each in role.values()]
    return [
        statement
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::IAM::Policy" and {"Ref": name} in resource["Properties"]["Roles"]
        for statement in resource["Properties"]["PolicyDocument"]["Statement"]
    ]


def test_every_task_may_pull_guarddutys_agent(templates: Templates) -> None:
    """GuardDuty Runtime Monitoring adds its container to each task and pulls it with the task's execution role."""
    for stack, definition in of_type(templates, "AWS::ECS::TaskDefinition"):
        pulled = {
            action
            for each in statements(templates[stack], definition["Properties"]["ExecutionRoleArn"])
            # CDK merges it with the pull of our own repository, which has the same actions.
            if any(str(arn).endswith(":repository/aws-guardduty-agent-fargate") for arn in each["Resource"])
            for action in each["Action"]
        }
        assert pulled == {"ecr:BatchCheckLayerAvailability", "ecr:GetDownloadUrlForLayer", "ecr:BatchGetImage"}, stack
