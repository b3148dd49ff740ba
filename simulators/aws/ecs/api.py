"""Calls of ECS and ECR that MiniStack answers without data: deployments, revisions, scans, and running tasks."""

import contextvars
import json
import os
import threading
import urllib.parse
from collections.abc import Mapping
from typing import Any

from ministack.services import ecr, ecs

from simulators.aws.ecs import deployment, task
from simulators.aws.ecs.blue_green import BlueGreen
from simulators.aws.ecs.rolling import Rolling

_SUMMARY = (
    "serviceDeploymentArn", "serviceArn", "clusterArn", "startedAt", "createdAt", "finishedAt", "status",
    "statusReason",
)  # fmt: skip
_STOPPABLE = ("PENDING", "IN_PROGRESS", "STOP_REQUESTED", "ROLLBACK_REQUESTED", "ROLLBACK_IN_PROGRESS")
_own_describe_images = ecr._describe_images
_own_layer_url = ecr._get_download_url_for_layer
_own_list_tasks = ecs._list_tasks
_own_update_service = ecs._update_service


def _answer(document: Mapping[str, Any]) -> Any:
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(document).encode()


def _described(request: Mapping[str, Any]) -> Any:
    found = [deployment.deployments[arn] for arn in request["serviceDeploymentArns"] if arn in deployment.deployments]
    return _answer({"serviceDeployments": found, "failures": []})


def _listed(request: Mapping[str, Any]) -> Any:
    wanted = request["service"].rpartition("/")[2]
    found = [
        {key: each[key] for key in _SUMMARY if key in each}
        | {"targetServiceRevisionArn": each["targetServiceRevision"]["arn"]}
        for each in reversed(deployment.deployments.values())
        if each["serviceArn"].rpartition("/")[2] == wanted
        and ("status" not in request or each["status"] in request["status"])
        and each["createdAt"] > request.get("createdAt", {}).get("after", 0)
    ]
    return _answer({"serviceDeployments": found})


def _revisions(request: Mapping[str, Any]) -> Any:
    known = deployment.revisions
    arns = request["serviceRevisionArns"]
    return _answer(
        {
            "serviceRevisions": [known[arn] for arn in arns if arn in known],
            "failures": [{"arn": arn, "reason": "MISSING"} for arn in arns if arn not in known],
        }
    )


def _stop_deployment(request: Mapping[str, Any]) -> Any:
    """Amazon ECS Developer Guide, "Stopping Amazon ECS service deployments"; errors by the API Reference."""
    arn = request["serviceDeploymentArn"]
    if (found := deployment.deployments.get(arn)) is None:
        return task.refused("ServiceDeploymentNotFoundException", f"There is no service deployment {arn}.")
    if request.get("stopType", "ROLLBACK") != "ROLLBACK":
        return task.refused("InvalidParameterException", "The valid values are ROLLBACK.")
    if found["status"] not in _STOPPABLE:
        return task.refused("ConflictException", f"The service deployment is {found['status']} and cannot be stopped.")
    if found["status"] in ("PENDING", "IN_PROGRESS"):
        found["status"] = "ROLLBACK_REQUESTED"
    return _answer({"serviceDeploymentArn": arn})


def _tasks_listed(request: Mapping[str, Any]) -> Any:
    """Amazon ECS API Reference, ListTasks: `startedBy` must be the only filter. Assumed: that it is held to that."""
    filters = {"containerInstance", "desiredStatus", "family", "launchType", "serviceName"} & set(request)
    if "startedBy" in request and filters:
        return task.refused(
            "InvalidParameterException", f"startedBy must be the only filter; {sorted(filters)} was given."
        )
    return _own_list_tasks(request)


def _stop_task(request: Mapping[str, Any]) -> Any:
    found = ecs._resolve_task(request["task"], ecs._resolve_cluster_name(request.get("cluster", "default")))
    deployment.drain(found)
    task.stop(found["taskArn"], request.get("reason", "Task stopped by user"), "UserInitiated")
    deployment.replace(found)
    return _answer({"task": ecs._sanitize(found)})


def begin(service_arn: str, task_definition: str) -> deployment.Deployment:
    """A deployment with the service's own strategy; its `run` performs it."""
    is_balanced = deployment.service(service_arn).get("loadBalancers")
    return (BlueGreen if is_balanced else Rolling)(service_arn, task_definition)


def _update_service(request: Mapping[str, Any]) -> Any:
    """UpdateService by callers other than CloudFormation: answers at once, and deploys afterwards."""
    answered = _own_update_service(request)
    if answered[0] == 200 and (request.get("forceNewDeployment") or "taskDefinition" in request):
        described = json.loads(answered[2])["service"]
        new = begin(described["serviceArn"], described["taskDefinition"])
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(new.run,), daemon=True).start()
    return answered


def _nothing(*_: Any, **__: Any) -> None:
    """Tasks of services, and where they are registered, are the deployments' business."""


def _images(request: Mapping[str, Any]) -> Any:
    """DescribeImages with the result of a basic scan; see `simulators.aws.scanning`."""
    answered = _own_describe_images(request)
    if answered[0] != 200:
        return answered
    document = json.loads(answered[2])
    if request.get("imageIds") and not document["imageDetails"]:
        return task.refused("ImageNotFoundException", "The image does not exist in the repository")
    for each in document["imageDetails"]:
        manifest = ecr._find_image(each["repositoryName"], {"imageDigest": each["imageDigest"]})["imageManifest"]
        scan = json.loads(manifest).get("annotations", {})
        each["imageScanStatus"] = {"status": scan.get("scan", "COMPLETE")}
        each["imageScanFindingsSummary"] = {"findingSeverityCounts": {"CRITICAL": int(scan.get("critical", 0))}}
    return _answer(document)


def _layer_url(request: Mapping[str, Any]) -> Any:
    """A pre-signed URL of the layer in S3 (ECR API Reference, GetDownloadUrlForLayer)."""
    answered = _own_layer_url(request)
    if answered[0] != 200:
        return answered
    document = json.loads(answered[2])
    url = urllib.parse.urlsplit(document["downloadUrl"])
    return _answer({**document, "downloadUrl": f"{os.environ['AWS_ENDPOINT_URL']}{url.path}?ns={url.netloc}"})


def install() -> None:
    ecs._ACTION_MAP |= {
        "DescribeServiceDeployments": _described,
        "ListServiceDeployments": _listed,
        "DescribeServiceRevisions": _revisions,
        "StopServiceDeployment": _stop_deployment,
        "ListTasks": _tasks_listed,
        "RunTask": task.run,
        "StopTask": _stop_task,
        "UpdateService": _update_service,
    }
    ecs._reconcile_service_tasks = _nothing
    ecs._sync_service_targets = _nothing
    ecs._record_service_task_failure = deployment.replace
    ecr._describe_images = _images
    ecr._get_download_url_for_layer = _layer_url
