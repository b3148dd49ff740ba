"""In-memory ECS, CloudFormation and DynamoDB with the calls that a release needs; they refuse what AWS refuses."""

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import ClientError

REPOSITORY = "111122223333.dkr.ecr.eu-central-1.amazonaws.com/api"
IMAGE = f"{REPOSITORY}@sha256:{'a' * 64}"
OLD = f"{REPOSITORY}@sha256:{'b' * 64}"
MIGRATION = "arn:aws:ecs:eu-central-1:111122223333:task-definition/migration:7"
SERVICE = "arn:aws:ecs:eu-central-1:111122223333:service/cluster/api"


class Manifests:
    """ECR, of manifests and blobs by digest. A blob's address holds it."""

    class exceptions:  # noqa: N801
        class ImageNotFoundException(Exception):
            pass

    def __init__(self, manifests: Mapping[str, Any], blobs: Mapping[str, Any] | None = None) -> None:
        self.manifests, self.blobs = manifests, blobs or {}

    def describe_images(self, *, repositoryName: str, imageIds: Any) -> dict[str, Any]:  # noqa: N803
        return {"imageDetails": [{"repositoryName": repositoryName}]}

    def batch_get_image(self, *, repositoryName: str, imageIds: Any, acceptedMediaTypes: Any) -> dict[str, Any]:  # noqa: N803
        asked = [each["imageDigest"] for each in imageIds]
        found = [{"imageManifest": json.dumps(self.manifests[each])} for each in asked if each in self.manifests]
        return {"images": found, "failures": [{"failureCode": "ImageNotFound"}] if not found else []}

    def get_download_url_for_layer(self, *, repositoryName: str, layerDigest: str) -> dict[str, Any]:  # noqa: N803
        blob = base64.b64encode(json.dumps(self.blobs[layerDigest]).encode()).decode()
        return {"downloadUrl": f"data:application/json;base64,{blob}"}


class Dynamo:
    class exceptions:  # noqa: N801  (boto3's name)
        class ConditionalCheckFailedException(Exception):
            pass

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}

    def put_item(self, *, TableName: str, Item: dict[str, Any], ConditionExpression: str, **given: Any) -> None:  # noqa: N803
        key = (Item["service"]["S"], Item["id"]["S"])
        there = self.items.get(key, {})
        for condition in ConditionExpression.split(" AND "):
            if condition.startswith("attribute_not_exists("):
                holds = condition[len("attribute_not_exists(") : -1] not in there
            else:
                name, value = condition.split(" = ")
                name = given.get("ExpressionAttributeNames", {}).get(name, name)
                holds = there.get(name) == given["ExpressionAttributeValues"][value]
            if not holds:
                raise self.exceptions.ConditionalCheckFailedException
        # An item is 400 KiB at most (DynamoDB guide, "Constraints").
        assert (
            sum(len(value) for each in Item.values() for value in each.values() if hasattr(value, "__len__")) < 409600
        )
        self.items[key] = Item

    def get_item(self, *, TableName: str, Key: dict[str, Any], ConsistentRead: bool, **given: Any) -> dict[str, Any]:  # noqa: N803
        found = self.items.get((Key["service"]["S"], Key["id"]["S"]))
        if found and (only := given.get("ProjectionExpression")):
            found = {only: found[only]}
        return {"Item": found} if found else {}

    def delete_item(self, *, TableName: str, Key: dict[str, Any]) -> None:  # noqa: N803
        self.items.pop((Key["service"]["S"], Key["id"]["S"]), None)

    def update_item(self, *, Key: dict[str, Any], UpdateExpression: str, **given: Any) -> None:  # noqa: N803
        item = self.items[Key["service"]["S"], Key["id"]["S"]]
        if given.get("ConditionExpression") == "#o = :running" and item["outcome"]["S"] != "running":
            raise self.exceptions.ConditionalCheckFailedException
        names = given.get("ExpressionAttributeNames", {})
        for assignment in UpdateExpression.removeprefix("SET ").split(", "):
            name, value = assignment.split(" = ")
            item[names.get(name, name)] = given["ExpressionAttributeValues"][value]

    def query(self, *, ExpressionAttributeValues: dict[str, Any], Limit: int, **_: Any) -> dict[str, Any]:  # noqa: N803
        wanted = ExpressionAttributeValues[":s"]["S"]
        found = sorted((key, item) for key, item in self.items.items() if key[0] == wanted)
        return {"Items": [item for _, item in reversed(found)][:Limit]}


class Ecs:
    """One target revision; tasks that were started stay as a test puts them."""

    def __init__(self, image: str = IMAGE) -> None:
        self.image = self.migrated_image = image
        self.tasks: dict[str, dict[str, Any]] = {}
        self.runs: list[dict[str, Any]] = []
        self.failures: list[dict[str, Any]] = []
        self.began = datetime.now(UTC)
        self.over: set[str] = set()
        """ARNs of deployments that have ended; all others are under way."""
        self.gone: set[str] = set()
        """ARNs of deployments whose service was deleted."""

    def describe_service_deployments(self, serviceDeploymentArns: list[str]) -> dict[str, Any]:  # noqa: N803
        if self.gone & set(serviceDeploymentArns):
            raise ClientError({"Error": {"Code": "ServiceNotFoundException"}}, "DescribeServiceDeployments")
        found = [
            {"status": "ROLLBACK_SUCCESSFUL" if each in self.over else "IN_PROGRESS", "createdAt": self.began}
            for each in serviceDeploymentArns
        ]
        return {"serviceDeployments": found, "failures": []}

    def stop_task(self, *, cluster: str, task: str, reason: str) -> dict[str, Any]:
        """The container has a while to end (API Reference, StopTask)."""
        self.tasks[task] |= {"desiredStatus": "STOPPED", "stoppedReason": reason}
        return {"task": self.tasks[task]}

    def describe_service_revisions(self, serviceRevisionArns: list[str]) -> dict[str, Any]:  # noqa: N803
        (arn,) = serviceRevisionArns
        if "unknown" in arn:
            return {"serviceRevisions": [], "failures": [{"arn": arn, "reason": "MISSING"}]}
        network = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}}
        revision = {"clusterArn": "cluster", "serviceArn": SERVICE, "taskDefinition": "app:3",
                    "networkConfiguration": network}  # fmt: skip
        return {"serviceRevisions": [revision]}

    def describe_task_definition(self, taskDefinition: str) -> dict[str, Any]:  # noqa: N803
        if taskDefinition == MIGRATION:
            log = {"options": {"awslogs-group": "g", "awslogs-stream-prefix": "migrate"}}
            container = {"name": "migrate", "image": self.migrated_image, "logConfiguration": log}
        else:
            container = {"name": "app", "image": self.image, "dockerLabels": {"infra.migration": MIGRATION}}
        return {"taskDefinition": {"containerDefinitions": [container]}}

    def run_task(self, **request: Any) -> dict[str, Any]:
        self.runs.append(request)
        if self.failures:
            return {"tasks": [], "failures": self.failures}
        arn = f"arn:aws:ecs:r:a:task/cluster/{request['clientToken']}"
        self.tasks.setdefault(
            arn,
            {
                "taskArn": arn,
                "startedBy": request["startedBy"],
                "lastStatus": "PROVISIONING",
                "desiredStatus": "RUNNING",
                # GuardDuty Runtime Monitoring adds the first one (aws-cdk #32877).
                "containers": [{"name": "aws-guardduty-agent-mfjGLB", "exitCode": 137}, {"name": "migrate"}],
            },
        )
        return {"tasks": [self.tasks[arn]], "failures": []}

    def list_tasks(self, *, cluster: str, **filters: str) -> dict[str, Any]:
        """`startedBy` must be the only filter (API Reference); without a status, those that are to run."""
        assert len(filters) == 1 or "startedBy" not in filters, "InvalidParameterException"
        wanted = {"desiredStatus": "RUNNING", **filters}
        assert wanted.pop("family", "migration") == "migration"
        found = [arn for arn, each in self.tasks.items() if wanted.items() <= each.items()]
        return {"taskArns": found}

    def get_paginator(self, name: str) -> Any:
        assert name == "list_tasks"
        return self

    def paginate(self, **request: str) -> list[dict[str, Any]]:
        return [{"taskArns": []}, self.list_tasks(**request)]

    def describe_tasks(self, *, cluster: str, tasks: list[str]) -> dict[str, Any]:
        return {"tasks": [self.tasks[each] for each in tasks]}

    def end(self, code: int | None, reason: str = "Essential container in task exited") -> None:
        for each in self.tasks.values():
            each |= {"lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stoppedAt": datetime.now(UTC)}
            each.setdefault("stoppedReason", reason)
            if code is not None:
                each["containers"][1]["exitCode"] = code


class Logs:
    def __init__(self, *lines: str, late: int = 0, code: str = "ResourceNotFoundException") -> None:
        self.lines, self.late, self.code = lines, late, code

    def get_log_events(self, *, limit: int, **_: Any) -> dict[str, Any]:
        if self.late:
            self.late -= 1
            raise ClientError({"Error": {"Code": self.code, "Message": "no"}}, "GetLogEvents")
        return {"events": [{"message": line} for line in self.lines[-limit:]]}


class Ecr:
    """One repository. A tag belongs to one image for good."""

    def __init__(self, *references: str) -> None:
        self.tags: dict[str, set[str]] = {each.partition("@")[2]: set() for each in references}

    def batch_get_image(
        self,
        *,
        repositoryName: str,  # noqa: N803
        imageIds: list[dict[str, str]],  # noqa: N803
        acceptedMediaTypes: list[str],  # noqa: N803
    ) -> dict[str, Any]:
        kind = "application/vnd.oci.image.index.v1+json"
        assert kind in acceptedMediaTypes
        found = [each["imageDigest"] for each in imageIds if each["imageDigest"] in self.tags]
        # The manifest stands for what its digest is made of.
        return {"images": [{"imageManifest": each, "imageManifestMediaType": kind} for each in found]}

    def describe_images(
        self,
        *,
        repositoryName: str,  # noqa: N803
        imageIds: list[dict[str, str]],  # noqa: N803
    ) -> dict[str, Any]:
        found = [(each["imageDigest"], sorted(self.tags[each["imageDigest"]])) for each in imageIds]
        # An image without a tag has no imageTags (ECR API reference, ImageDetail: not required).
        return {"imageDetails": [{"imageDigest": each} | ({"imageTags": tags} if tags else {}) for each, tags in found]}

    def put_image(
        self,
        *,
        repositoryName: str,  # noqa: N803
        imageManifest: str,  # noqa: N803
        imageManifestMediaType: str,  # noqa: N803
        imageTag: str,  # noqa: N803
    ) -> None:
        assert not any(imageTag in tags for tags in self.tags.values()), "ImageTagAlreadyExistsException"
        self.tags[imageManifest].add(imageTag)


class CloudFormation:
    """One stack and its events."""

    def __init__(self, status: str = "UPDATE_COMPLETE") -> None:
        self.status, self.updates, self.refuses = status, [], ""  # type: ignore[var-annotated]
        self.events: list[dict[str, Any]] = []
        self.loses_tokens = False
        """Whether every event but the first one of an update has no token."""

    def get_paginator(self, name: str) -> "CloudFormation":
        assert name == "describe_stack_events"
        return self

    def paginate(self, StackName: str) -> list[dict[str, Any]]:  # noqa: N803
        """The newest first, in pages of two."""
        newest = [{"LogicalResourceId": StackName, **each} for each in reversed(self.events)]
        return [{"StackEvents": newest[at : at + 2]} for at in range(0, len(newest), 2)]

    def happens(self, status: str, token: str | None, *, kind: str = "AWS::CloudFormation::Stack") -> None:
        event = {"ResourceType": kind, "ResourceStatus": status, "Timestamp": datetime.now(UTC)}
        if kind == "AWS::CloudFormation::Stack":
            self.status = status
        else:
            event["LogicalResourceId"] = "Service"
        self.events.append(event | ({"ClientRequestToken": token} if token else {}))

    def end(self, status: str) -> None:
        """The update that goes on."""
        token = None if self.loses_tokens else self.updates[-1]["ClientRequestToken"]
        self.happens("UPDATE_FAILED" if "ROLLBACK" in status else "UPDATE_COMPLETE", token, kind="AWS::ECS::Service")
        if "ROLLBACK" in status:
            self.happens("UPDATE_ROLLBACK_IN_PROGRESS", token)
        self.happens(status, token)

    def describe_stacks(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        return {"Stacks": [{"StackStatus": self.status, "Parameters": [{"ParameterKey": "Image"}],
                            "Capabilities": ["CAPABILITY_IAM"]}]}  # fmt: skip

    def get_template(self, StackName: str) -> dict[str, Any]:  # noqa: N803
        return {"TemplateBody": {"Resources": {}}}

    def update_stack(self, **request: Any) -> None:
        if self.refuses:
            raise ClientError({"Error": {"Code": "ValidationError", "Message": self.refuses}}, "UpdateStack")
        self.updates.append(request)
        self.happens("UPDATE_IN_PROGRESS", request["ClientRequestToken"])


class Ssm:
    def __init__(self, value: str) -> None:
        self.value = value

    def get_parameter(self, Name: str) -> dict[str, Any]:  # noqa: N803
        return {"Parameter": {"Value": self.value}}

    def put_parameter(self, *, Name: str, Value: str, Overwrite: bool) -> None:  # noqa: N803
        self.value = Value
