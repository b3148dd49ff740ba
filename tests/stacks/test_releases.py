"""What releases, rotation and rollback need of the templates, in every environment."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from infra_runtime.contract.releases import LISTED, RELEASED_TAG

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
    """Statements of the policies that are attached to the role, a Fn::GetAtt of its ARN."""
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


DAY = 24 * 60
Image = tuple[int, *tuple[str, ...]]
"""An image: age in minutes, and tags."""


def expired(rules: Sequence[dict[str, Any]], images: Sequence[Image]) -> set[int]:
    """Places of the images that ECR's lifecycle policy takes away.

    ECR User Guide, "Lifecycle policy evaluation rules": every rule looks at all images, also at those that another one
    has expired; an image that fits the tags of a rule is never expired by a rule of a higher number.
    """
    gone: set[int] = set()
    spoken_for: set[int] = set()
    for rule in sorted(rules, key=lambda each: int(each["rulePriority"])):
        selection = rule["selection"]
        fits = [number for number, (_, *tags) in enumerate(images) if _fits(selection, tags)]
        if selection["countType"] == "imageCountMoreThan":
            newest_first = sorted(fits, key=lambda number: images[number][0])
            marked = set(newest_first[selection["countNumber"] :])
        else:
            assert (selection["countType"], selection["countUnit"]) == ("sinceImagePushed", "days")
            marked = {number for number in fits if images[number][0] > selection["countNumber"] * DAY}
        gone |= marked - spoken_for
        spoken_for |= set(fits)
    return gone


def _fits(selection: dict[str, Any], tags: Sequence[str]) -> bool:
    match selection["tagStatus"]:
        case "any":
            return True
        case "untagged":
            return not tags
        case _:
            # With several prefixes, an image needs a tag for each.
            return all(any(tag.startswith(prefix) for tag in tags) for prefix in selection["tagPrefixList"])


def test_pull_requests_and_builds_take_no_place_among_the_releases(templates: Templates) -> None:
    for stack, repository in of_type(templates, "AWS::ECR::Repository"):
        if "LifecyclePolicy" not in repository["Properties"]:
            assert repository["Properties"]["RepositoryName"].endswith("/docker/library/busybox")
            continue
        rules = json.loads(repository["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        running = (30 * DAY, "release-1f3a")
        by_hand = (400 * DAY, "somebody-pushed-it")
        previews = [(minute, f"preview-{minute}") for minute in range(60)]
        layers = [(8 * DAY,), (1,)]
        images: list[Image] = [running, by_hand, *previews, (22 * DAY, "preview-old"), *layers]
        gone = expired(rules, images)
        assert {images[number] for number in gone} == {(22 * DAY, "preview-old"), (8 * DAY,)}, stack
        releases = [(minute, f"release-{minute}") for minute in range(60)]
        assert expired(rules, [*releases, *previews]) == set(range(50, 60)), "an end to what is kept"


def test_later_pushes_expire_no_released_image(templates: Templates) -> None:
    for stack, repository in of_type(templates, "AWS::ECR::Repository"):
        if "LifecyclePolicy" not in repository["Properties"]:
            continue  # the helper's, of one image
        rules = json.loads(repository["Properties"]["LifecyclePolicy"]["LifecyclePolicyText"])["rules"]
        pushed = [(minute, f"release-{minute}") for minute in range(400)]
        # The ledger knows so many releases, each of which a rollback may name.
        released = [(30 * DAY + age, f"release-of-{age}", f"{RELEASED_TAG}{age}") for age in range(LISTED)]
        assert expired(rules, [*pushed, *released]) == set(range(50, 400)), stack
        endless = [(age, f"{RELEASED_TAG}{age}") for age in range(3 * LISTED)]
        assert expired(rules, endless), "an end to what is kept"


def test_a_service_waits_for_the_permissions_of_its_tasks_and_hooks(templates: Templates) -> None:
    """ECS starts tasks and calls hooks at the first deployment already; a policy that comes after it would be a no."""
    for stack, service in of_type(templates, "AWS::ECS::Service"):
        hooks = service["Properties"]["DeploymentConfiguration"]["LifecycleHooks"]
        assert hooks
        resources = templates[stack]["Resources"]
        tasks = resources[service["Properties"]["TaskDefinition"]["Ref"]]["Properties"]
        for hook in hooks:
            handler = resources[hook["HookTargetArn"]["Fn::GetAtt"][0]]
            for role in (hook["RoleArn"], handler["Properties"]["Role"], tasks["ExecutionRoleArn"]):
                (name,) = [each[0] for each in role.values()]
                policies = [
                    logical_id
                    for logical_id, each in resources.items()
                    if each["Type"] == "AWS::IAM::Policy" and {"Ref": name} in each["Properties"]["Roles"]
                ]
                assert policies
                assert set(policies) <= set(service["DependsOn"]), f"{stack}: {policies}"


def test_containers_that_ecs_exec_enters_are_writable(templates: Templates) -> None:
    """Reported, as AWS documents a writable root only: containers-roadmap #1359 and #2824."""
    entered = [
        (stack, container)
        for stack, definition in of_type(templates, "AWS::ECS::TaskDefinition")
        for container in definition["Properties"]["ContainerDefinitions"]
        if container["Name"] == "one-off"
    ]
    assert entered
    for stack, container in entered:
        writable = {each["ContainerPath"] for each in container["MountPoints"] if not each["ReadOnly"]}
        assert writable == {"/tmp", "/managed-agents", "/var/lib/amazon/ssm", "/var/log/amazon/ssm"}, stack  # noqa: S108
