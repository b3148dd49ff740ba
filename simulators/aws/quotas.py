"""Service Quotas' API, and the quotas of a new account, enforced in AWS's words."""

import json
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ministack import app
from ministack.core import router
from ministack.core.responses import AccountRegionScopedDict, get_account_id, get_region
from ministack.services import ec2, ecs
from ministack.services.cloudformation import provisioners

from simulators.aws.conditions import Condition, is_on
from simulators.aws.ecs import task
from simulators.aws.resource_type import ResourceRefused

_SERVICE = "servicequotas"
# A person at AWS takes minutes to days.
_REVIEW_SECONDS = 1.0
_VCPU = 1024
_granted = AccountRegionScopedDict()
_requests = AccountRegionScopedDict()


@dataclass(frozen=True)
class _Quota:
    service: str
    name: str
    new_account: float
    default: float
    """AWS's default quota, which an account gets in time."""


_QUOTAS = {
    "L-3032A538": _Quota("fargate", "Fargate On-Demand vCPU resource count", 6, 6),
    "L-36FBB829": _Quota("fargate", "Fargate Spot vCPU resource count", 6, 6),
    "L-0263D0A3": _Quota("ec2", "EC2-VPC Elastic IPs", 5, 5),
    "L-1216C47A": _Quota("ec2", "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", 5, 5),
    "L-F678F1CE": _Quota("vpc", "VPCs per Region", 5, 5),
    "L-B99A9384": _Quota("lambda", "Concurrent executions", 10, 1000),
}


def _value(code: str) -> float:
    _review()
    return float(_granted.get(code, _QUOTAS[code].new_account))


def _review() -> None:
    for request in list(_requests.values()):
        if request["Status"] == "PENDING" and time.time() - request["Created"] >= _REVIEW_SECONDS:
            request["Status"] = "APPROVED"
            _granted[request["QuotaCode"]] = request["DesiredValue"]


def _described(code: str, value: float) -> dict[str, Any]:
    quota = _QUOTAS[code]
    arn = f"arn:aws:servicequotas:{get_region()}:{get_account_id()}:{quota.service}/{code}"
    return {
        "ServiceCode": quota.service, "QuotaArn": arn, "QuotaCode": code, "QuotaName": quota.name, "Value": value,
        "Unit": "None", "Adjustable": True, "GlobalQuota": False,
    }  # fmt: skip


def _code(request: dict[str, Any]) -> str:
    code = request["QuotaCode"]
    if code not in _QUOTAS or _QUOTAS[code].service != request["ServiceCode"]:
        raise _Wrong("NoSuchResourceException", "The request failed because the specified quota does not exist.")
    return str(code)


class _Wrong(Exception):
    """Code and message of an error."""


def _get(request: dict[str, Any]) -> dict[str, Any]:
    return {"Quota": _described(_code(request), _value(request["QuotaCode"]))}


def _default(request: dict[str, Any]) -> dict[str, Any]:
    return {"Quota": _described(_code(request), _QUOTAS[_code(request)].default)}


def _request(request: dict[str, Any]) -> dict[str, Any]:
    code, wanted = _code(request), float(request["DesiredValue"])
    if wanted <= _value(code):
        text = "You must provide a quota value greater than the current quota value"
        raise _Wrong("IllegalArgumentException", text)
    if any(each["QuotaCode"] == code and each["Status"] == "PENDING" for each in _requests.values()):
        raise _Wrong(
            "ResourceAlreadyExistsException", "Only one open service quota increase request is allowed per quota."
        )
    made = {
        "Id": uuid.uuid4().hex, "ServiceCode": request["ServiceCode"], "QuotaCode": code, "DesiredValue": wanted,
        "Status": "PENDING", "Created": time.time(),
    }  # fmt: skip
    _requests[made["Id"]] = made
    return {"RequestedQuota": made}


def _history(request: dict[str, Any]) -> dict[str, Any]:
    _review()
    return {"RequestedQuotas": [each for each in _requests.values() if each["QuotaCode"] == _code(request)]}


_ACTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "GetServiceQuota": _get,
    "GetAWSDefaultServiceQuota": _default,
    "RequestServiceQuotaIncrease": _request,
    "ListRequestedServiceQuotaChangeHistoryByQuota": _history,
}


async def _handle(
    method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]
) -> tuple[int, dict[str, str], bytes]:
    content = {"Content-Type": "application/x-amz-json-1.1"}
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    try:
        return 200, content, json.dumps(_ACTIONS[action](json.loads(body or b"{}"))).encode()
    except _Wrong as wrong:
        kind, message = wrong.args
        return 400, content, json.dumps({"__type": kind, "message": message}).encode()


def install() -> None:
    """Installs the quotas. Call it after the types."""
    app.SERVICE_HANDLERS[_SERVICE] = _handle
    router.SERVICE_PATTERNS[_SERVICE] = {"target_prefixes": ["ServiceQuotasV20190624"], "host_patterns": []}
    if not is_on(Condition.QUOTAS):
        for code, quota in _QUOTAS.items():
            _QUOTAS[code] = _Quota(quota.service, quota.name, 10_000, 10_000)
    _limit_tasks()
    _limit(
        "AWS::EC2::EIP", "L-0263D0A3", lambda: len(ec2._addresses), "The maximum number of addresses has been reached."
    )
    _limit("AWS::EC2::VPC", "L-F678F1CE", lambda: len(ec2._vpcs), "The maximum number of VPCs has been reached.")
    _limit_functions()


def _limit(name: str, code: str, count: Callable[[], int], refusal: str) -> None:
    handlers = provisioners._RESOURCE_HANDLERS[name]
    own = handlers["create"]

    def create(*arguments: Any) -> Any:
        if count() >= _value(code):
            raise ResourceRefused(f'Resource handler returned message: "{refusal}"')
        return own(*arguments)

    provisioners._RESOURCE_HANDLERS[name] = {**handlers, "create": create}


def _limit_tasks() -> None:
    own_start, own_api = task._own_run_task, ecs._ACTION_MAP["RunTask"]
    text = "You've reached the limit on the number of vCPUs you can run concurrently"

    def start(request: dict[str, Any]) -> Any:
        running = [each for each in ecs._tasks.values() if each["lastStatus"] != "STOPPED"]
        definition = ecs._task_defs[ecs._resolve_td_key(request["taskDefinition"])]
        units = sum(int(each["cpu"]) for each in running) + int(definition["cpu"]) * request.get("count", 1)
        if units / _VCPU > _value("L-3032A538"):
            raise ResourceRefused(text)
        return own_start(request)

    def answered(request: dict[str, Any]) -> Any:
        try:
            return own_api(request)
        except ResourceRefused as refused:
            wrong = {"__type": "LimitExceededException", "message": str(refused)}
            return 400, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(wrong).encode()

    task._own_run_task = start
    ecs._ACTION_MAP["RunTask"] = answered


def _limit_functions() -> None:
    own, running = app.SERVICE_HANDLERS["lambda"], 0

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        nonlocal running
        if not path.endswith("/invocations"):
            return await own(method, path, headers, body, query)
        if running >= _value("L-B99A9384"):
            wrong = {"Reason": "ConcurrentInvocationLimitExceeded", "Type": "User", "message": "Rate Exceeded."}
            kind = {"Content-Type": "application/json", "x-amzn-errortype": "TooManyRequestsException"}
            return 429, kind, json.dumps(wrong).encode()
        running += 1
        try:
            return await own(method, path, headers, body, query)
        finally:
            running -= 1

    app.SERVICE_HANDLERS["lambda"] = handle
