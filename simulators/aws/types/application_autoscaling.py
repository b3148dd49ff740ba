"""AWS::ApplicationAutoScaling::ScalableTarget and ScalingPolicy, with the API to read them back."""

import json
import time
from typing import Any
from uuid import uuid4

from ministack import app
from ministack.core import router
from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region

from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, client, register

_SERVICE = "application-autoscaling"
_targets = AccountRegionScopedDict()
_policies = AccountRegionScopedDict()


def _key(item: Properties) -> str:
    return f"{item['ResourceId']}|{item['ScalableDimension']}|{item['ServiceNamespace']}"


class _Target:
    name = "AWS::ApplicationAutoScaling::ScalableTarget"

    def create(self, properties: Properties) -> Provisioned:
        client(_SERVICE).register_scalable_target(
            ServiceNamespace=properties["ServiceNamespace"],
            ResourceId=properties["ResourceId"],
            ScalableDimension=properties["ScalableDimension"],
            MinCapacity=int(properties["MinCapacity"]),
            MaxCapacity=int(properties["MaxCapacity"]),
        )
        return Provisioned(_key(properties), {"Id": _key(properties)})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        resource, dimension, namespace = physical_id.split("|")
        client(_SERVICE).deregister_scalable_target(
            ServiceNamespace=namespace, ResourceId=resource, ScalableDimension=dimension
        )


class _Policy:
    name = "AWS::ApplicationAutoScaling::ScalingPolicy"

    def create(self, properties: Properties) -> Provisioned:
        resource, dimension, namespace = properties["ScalingTargetId"].split("|")
        arn = client(_SERVICE).put_scaling_policy(
            PolicyName=properties["PolicyName"],
            PolicyType=properties["PolicyType"],
            ServiceNamespace=namespace,
            ResourceId=resource,
            ScalableDimension=dimension,
            TargetTrackingScalingPolicyConfiguration=properties["TargetTrackingScalingPolicyConfiguration"],
        )["PolicyARN"]
        return Provisioned(arn, {"Arn": arn})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        _policies.pop(physical_id, None)


def _register_scalable_target(request: dict[str, Any]) -> dict[str, Any]:
    if request["MinCapacity"] > request["MaxCapacity"]:
        raise ResourceRefused("Maximum capacity cannot be less than minimum capacity")
    if request["ServiceNamespace"] == "ecs":
        _, cluster, service = request["ResourceId"].split("/")
        if not client("ecs").describe_services(cluster=cluster, services=[service])["services"]:
            raise ResourceRefused(f"ECS service doesn't exist: {request['ResourceId']}")
    _targets[_key(request)] = {**request, "CreationTime": time.time(), "RoleARN": ""}
    return {}


def _deregister_scalable_target(request: dict[str, Any]) -> dict[str, Any]:
    _targets.pop(_key(request), None)
    for arn in [arn for arn, policy in _policies.items() if _key(policy) == _key(request)]:
        _policies.pop(arn)
    return {}


def _put_scaling_policy(request: dict[str, Any]) -> dict[str, Any]:
    if _key(request) not in _targets:
        raise ResourceRefused("No scalable target registered for service namespace, resource ID and scalable dimension")
    for arn, policy in _policies.items():
        if _key(policy) == _key(request) and policy["PolicyName"] == request["PolicyName"]:
            _policies[arn] = {**policy, **request}
            return {"PolicyARN": arn}
    arn = (
        f"arn:aws:autoscaling:{get_region()}:{get_account_id()}:scalingPolicy:{uuid4()}"
        f":resource/{request['ServiceNamespace']}/{request['ResourceId']}:policyName/{request['PolicyName']}"
    )
    _policies[arn] = {**request, "PolicyARN": arn, "CreationTime": time.time()}
    return {"PolicyARN": arn}


def _matching(items: Any, request: dict[str, Any]) -> list[dict[str, Any]]:
    resources = request.get("ResourceIds") or ([request["ResourceId"]] if "ResourceId" in request else None)
    return [
        item
        for item in items
        if item["ServiceNamespace"] == request["ServiceNamespace"]
        and (resources is None or item["ResourceId"] in resources)
    ]


_ACTIONS = {
    "RegisterScalableTarget": _register_scalable_target,
    "DeregisterScalableTarget": _deregister_scalable_target,
    "DescribeScalableTargets": lambda request: {"ScalableTargets": _matching(_targets.values(), request)},
    "PutScalingPolicy": _put_scaling_policy,
    "DescribeScalingPolicies": lambda request: {"ScalingPolicies": _matching(_policies.values(), request)},
}


async def _handle(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> tuple[int, dict[str, str], bytes]:
    from ministack.core.concurrency import run_reentrant

    content = {"Content-Type": "application/x-amz-json-1.1"}
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    if action not in _ACTIONS:
        return 400, content, json.dumps({"__type": "UnknownOperationException", "message": action}).encode()
    try:
        answer = await run_reentrant(_ACTIONS[action], json.loads(body or b"{}"))
    except ResourceRefused as refused:
        return 400, content, json.dumps({"__type": "ValidationException", "message": str(refused)}).encode()
    return 200, content, json.dumps(answer).encode()


def install() -> None:
    register(_Target())
    register(_Policy())
    app.SERVICE_HANDLERS[_SERVICE] = _handle
    router.SERVICE_PATTERNS[_SERVICE] = {"target_prefixes": ["AnyScaleFrontendService"], "host_patterns": []}
