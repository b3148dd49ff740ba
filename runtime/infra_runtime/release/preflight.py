"""Checks before a release, of what would be too late or go unnoticed afterwards."""

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from botocore.exceptions import ClientError

from infra_runtime.contract.database_names import TAKES_OVER_TAG
from infra_runtime.contract.revision import SERVICE
from infra_runtime.release.image_platform import platforms_in
from infra_runtime.service_secrets import UnusableSecret, last_change

logger = logging.getLogger(__name__)

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
UNDER_WAY = ["PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS"]


@dataclass(frozen=True)
class ReleasedService:
    """The service to release, and its resources."""

    name: str
    stack: str
    parameter: str
    """Name of the SSM parameter that holds its image."""
    repository: str
    """URI, without tag or digest."""
    platform: str
    """Platform of its tasks, like linux/arm64."""
    secrets: tuple[str, ...]
    """Names of those that people have stored and tasks of its image read, workers and jobs included."""
    database: str | None = None
    """Name of the instance that it uses."""


@dataclass(frozen=True)
class ReleaseProblem:
    """Why not now: what, and what to do."""

    check: str
    what: str
    todo: str


Kind = Literal["release", "rollback"]


@dataclass(frozen=True)
class ReleasePreflight:
    clients: Any
    """`client(service)` as boto3's sessions have it."""
    service: ReleasedService

    def problems(self, image: str, kind: Kind) -> list[ReleaseProblem]:
        """Everything that is wrong, at once.

        A rollback may begin under alarms, which are why it begins, and to an image in which a hole was found since.
        """
        found = list(self._image(image, scanned=kind == "release"))
        found += unusable_secrets(self.clients, self.service.secrets)
        found += self._database()
        found += self._stack()
        found += self._running(image, alarms=kind == "release")
        return found

    def _image(self, image: str, *, scanned: bool) -> Iterator[ReleaseProblem]:
        found = image_in(
            self.clients, self.service.name, self.service.repository, image, platform=self.service.platform
        )
        if isinstance(found, ReleaseProblem):
            yield found
            return
        if scanned:
            yield from self._scan(image.partition("@")[2])

    def _scan(self, digest: str) -> Iterator[ReleaseProblem]:
        """Not from DescribeImages, which omits enhanced scanning (containers-roadmap #1662)."""
        ecr, name = self.clients.client("ecr"), self.service.repository.partition("/")[2]
        try:
            found = ecr.describe_image_scan_findings(repositoryName=name, imageId={"imageDigest": digest}, maxResults=1)
        except ecr.exceptions.ScanNotFoundException:
            found = {"imageScanStatus": {"status": "never begun"}}
        status = found["imageScanStatus"]["status"]
        # ACTIVE is enhanced scanning, which goes on for ever.
        if status not in ("COMPLETE", "ACTIVE"):
            yield ReleaseProblem("scan", f"the scan of {digest[:19]}… is {status}", "wait for it, or start one")
        critical = found.get("imageScanFindings", {}).get("findingSeverityCounts", {}).get("CRITICAL", 0)
        if critical:
            yield ReleaseProblem(
                "scan", f"{critical} critical vulnerabilities in {digest[:19]}…", "build it on a newer base"
            )

    def _database(self) -> Iterator[ReleaseProblem]:
        """While a restored database takes over, new tasks may find none, or migrate the one that is replaced."""
        if self.service.database is None:
            return
        for page in self.clients.client("rds").get_paginator("describe_db_instances").paginate():
            for each in page["DBInstances"]:
                if {"Key": TAKES_OVER_TAG, "Value": self.service.database} in each.get("TagList", []):
                    what = f"{each['DBInstanceIdentifier']} is about to serve"
                    yield ReleaseProblem("database", what, "wait for infra restore, or undo it: infra restore back ENV")

    def _stack(self) -> Iterator[ReleaseProblem]:
        stack = stack_of(self.clients, self.service.stack)
        status = stack["StackStatus"]
        if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"):
            yield ReleaseProblem(
                "stack", f"{self.service.stack} is {status}", "wait, or see docs/runbooks/release-failed.md"
            )

    def _running(self, image: str, *, alarms: bool) -> Iterator[ReleaseProblem]:
        every = list(services_of(self.clients, self.service.stack))
        for service in every:
            for each in under_way(self.clients, service):
                yield ReleaseProblem("deployment", f"{each['serviceDeploymentArn']} is {each['status']}", "wait for it")
        if image == self.clients.client("ssm").get_parameter(Name=self.service.parameter)["Parameter"]["Value"]:
            yield ReleaseProblem("image", f"{image} runs already", "nothing")
        for service in every:
            if not service["loadBalancers"]:
                continue  # a worker: no traffic, and no alarm that could send its release back
            if alarms:
                yield from self._alarms(service)
            yield from self._weights(service)

    def _alarms(self, service: Mapping[str, Any]) -> Iterator[ReleaseProblem]:
        """ECS ignores an alarm that is on when a deployment starts: it would gate nothing."""
        states = release_alarms(self.clients, service)
        for name, state in states.items():
            if state == "ALARM":
                yield ReleaseProblem("alarm", f"{name} fires, so it would roll nothing back", "wait for its end")
            elif state is None:
                yield ReleaseProblem("alarm", f"{name} does not exist", f"deploy {self.service.stack}")

    def _weights(self, service: Mapping[str, Any]) -> Iterator[ReleaseProblem]:
        weights = live_weights(self.clients, service)
        serving = [group for group, weight in weights.items() if weight > 0]
        if len(serving) != 1:
            text = ", ".join(f"{group.split('/')[-2]} {weight}" for group, weight in weights.items())
            yield ReleaseProblem("traffic", f"production is divided: {text}", "see docs/runbooks/release-failed.md")
            return
        health = self.clients.client("elbv2").describe_target_health(TargetGroupArn=serving[0])
        states = [each["TargetHealth"]["State"] for each in health["TargetHealthDescriptions"]]
        if "healthy" not in states:
            yield ReleaseProblem(
                "traffic",
                "production points at a target group without a healthy target",
                "docs/runbooks/service-down.md",
            )


def image_in(
    clients: Any, service: str, repository: str, image: str, *, platform: str
) -> Mapping[str, Any] | ReleaseProblem:
    """The image, as ECR describes it; `repository` is a URI."""
    uri, _, digest = image.partition("@")
    if uri != repository or not _DIGEST.fullmatch(digest):
        return ReleaseProblem("image", f"{image} is not one of {service}", f"{repository}@sha256:…")
    ecr, name = clients.client("ecr"), repository.partition("/")[2]
    try:
        (found,) = ecr.describe_images(repositoryName=name, imageIds=[{"imageDigest": digest}])["imageDetails"]
    except ecr.exceptions.ImageNotFoundException:
        return ReleaseProblem("image", f"{digest} is not in {name}", "push it first")
    try:
        built_for = platforms_in(ecr, name, digest)
    except (OSError, ValueError, KeyError, ClientError):
        # No reason to refuse it: tasks of another platform do not start, and the release goes back.
        logger.exception("%s: the platform of %s is unknown", service, digest)
        return dict(found)
    if platform not in built_for:
        what = f"{digest[:19]}… is for {', '.join(sorted(built_for)) or 'none'}; {service} runs on {platform}"
        return ReleaseProblem("platform", what, f"docker buildx build --platform {platform}")
    return dict(found)


def unusable_secrets(clients: Any, names: Sequence[str]) -> Iterator[ReleaseProblem]:
    """Secrets that are missing or unreadable: no new task could start, not even of an older image."""
    if not names:
        return
    manager = clients.client("secretsmanager")
    for name in names:
        try:
            last_change(manager, name)
        except UnusableSecret as error:
            yield ReleaseProblem("secret", str(error), error.todo)


def stack_of(clients: Any, name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = clients.client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return found


def service_of(clients: Any, stack: str) -> Mapping[str, Any]:
    """The ECS service that a stack is about, as ECS describes it. Raises `LookupError` when there is none."""
    for arn, logical_id in service_arns(clients, stack):
        if logical_id == SERVICE:
            return _described(clients, arn)
    raise LookupError(f"{stack} has no service")


def services_of(clients: Any, stack: str) -> Iterator[Mapping[str, Any]]:
    """The ECS services of a stack, workers included, as ECS describes them."""
    for arn, _ in service_arns(clients, stack):
        yield _described(clients, arn)


def service_arns(clients: Any, stack: str) -> Iterator[tuple[str, str]]:
    """(ARN, logical id) of each ECS service in a stack."""
    pages = clients.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    for page in pages:
        for each in page["StackResourceSummaries"]:
            if each["ResourceType"] == "AWS::ECS::Service":
                yield each["PhysicalResourceId"], each["LogicalResourceId"]


def _described(clients: Any, arn: str) -> Mapping[str, Any]:
    (found,) = clients.client("ecs").describe_services(cluster=arn.split("/")[1], services=[arn])["services"]
    return dict(found)


def deployments(ecs: Any, service: Mapping[str, Any], **filters: Any) -> Iterator[Mapping[str, Any]]:
    """All deployments of a service, unordered; `filters` are ListServiceDeployments', which boto3 does not paginate."""
    page = dict(filters)
    while True:
        listed = ecs.list_service_deployments(cluster=service["clusterArn"], service=service["serviceArn"], **page)
        yield from listed["serviceDeployments"]
        if not (token := listed.get("nextToken")):
            return
        page["nextToken"] = token


def tasks_of(ecs: Any, service: Mapping[str, Any], **filters: Any) -> Iterator[Mapping[str, Any]]:
    """All tasks of a service, unordered, without those that ECS has forgotten; `filters` are those of ListTasks."""
    of, cluster = {"serviceName": service["serviceName"], **filters}, service["clusterArn"]
    for page in ecs.get_paginator("list_tasks").paginate(cluster=cluster, **of):
        if page["taskArns"]:  # DescribeTasks takes a hundred, and a page has no more.
            yield from ecs.describe_tasks(cluster=cluster, tasks=page["taskArns"])["tasks"]


def under_way(clients: Any, service: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Deployments of a service that have not ended; ECS has one at a time."""
    return list(deployments(clients.client("ecs"), service, status=UNDER_WAY))


def live_weights(clients: Any, service: Mapping[str, Any]) -> dict[str, int]:
    """Weight of each target group in the rule that production comes by, as it is now."""
    advanced = service["loadBalancers"][0]["advancedConfiguration"]
    (rule,) = clients.client("elbv2").describe_rules(RuleArns=[advanced["productionListenerRule"]])["Rules"]
    (forward,) = [action for action in rule["Actions"] if action["Type"] == "forward"]
    return {each["TargetGroupArn"]: int(each["Weight"]) for each in forward["ForwardConfig"]["TargetGroups"]}


def release_alarms(clients: Any, service: Mapping[str, Any]) -> dict[str, str | None]:
    """State of each alarm that may send a release back, by name; None where it does not exist. A worker has none."""
    names: list[str] = service["deploymentConfiguration"].get("alarms", {}).get("alarmNames", [])
    if not names:
        return {}  # DescribeAlarms would list every alarm of the account.
    pages = clients.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNames=names)
    found = {each["AlarmName"]: each["StateValue"] for page in pages for each in page["MetricAlarms"]}
    return dict.fromkeys(names) | found
