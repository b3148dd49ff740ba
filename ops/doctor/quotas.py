"""AWS's quotas, compared with what an environment may need at most. A new account has small ones."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from config import services
from config.model import Environment
from infra_runtime.contract.revision import MIGRATION_CPU
from ops.doctor.finding import Finding
from ops.functions import Clients

_VCPU = 1024
# What our own functions need at the same time: each stack's custom resources, hooks of both services, the schedules.
_LAMBDA_CONCURRENCY = 50
# AWS's default, which a new account gets with time; assumed: the API takes no request for less.
_LAMBDA_DEFAULT = 1000
_NAT_INSTANCE_VCPUS = 2
# AWS's default (AWS General Reference, "Amazon EC2 endpoints and quotas"); some new accounts begin with 1.
_EC2_DEFAULT = 5
_OPEN = ("PENDING", "CASE_OPENED")


@dataclass(frozen=True, kw_only=True)
class QuotaNeed:
    """Codes are those of the Service Quotas API (AWS General Reference, "Service endpoints and quotas")."""

    service: str
    code: str
    name: str
    least: float
    """Below it, the first deployment or release fails."""
    most: float
    """At the configured maximum. Between the two, scaling stops early."""
    request: float
    why: str


def needs(environment: Environment, others: Sequence[Environment] = ()) -> Iterator[QuotaNeed]:
    """`others` live in the same account and region, and share its quotas."""
    for is_spot, code, name in (
        (False, "L-3032A538", "Fargate On-Demand vCPU resource count"),
        (True, "L-36FBB829", "Fargate Spot vCPU resource count"),
    ):
        together = [_vcpus(each, is_spot=is_spot) for each in (environment, *others)]
        least, most = (sum(pair[at] for pair in together) for at in (0, 1))
        if most:
            yield QuotaNeed(
                service="fargate", code=code, name=name, least=least, most=most, request=math.ceil(most),
                why=f"a release needs {least:g} vCPU, at max_tasks {most:g}; tasks beyond the quota do not "
                "start, and the deployment fails",
            )  # fmt: skip
    addresses = sum(_addresses(each) for each in (environment, *others))
    if addresses:
        yield QuotaNeed(
            service="ec2", code="L-0263D0A3", name="EC2-VPC Elastic IPs", least=addresses, most=addresses,
            request=addresses, why="each NAT gateway has one",
        )  # fmt: skip
    instances = sum(each.network.nat == "instance" for each in (environment, *others))
    if instances:
        vcpus = instances * _NAT_INSTANCE_VCPUS
        yield QuotaNeed(
            service="ec2", code="L-1216C47A", name="Running On-Demand Standard instances", least=vcpus, most=vcpus,
            request=max(vcpus, _EC2_DEFAULT), why="the NAT instance does not start (VcpuLimitExceeded)",
        )  # fmt: skip
    yield QuotaNeed(
        service="lambda", code="L-B99A9384", name="Concurrent executions", least=_LAMBDA_CONCURRENCY,
        most=_LAMBDA_CONCURRENCY, request=_LAMBDA_DEFAULT,
        why="functions beyond it are throttled: custom resources and release hooks time out",
    )  # fmt: skip


def _vcpus(environment: Environment, *, is_spot: bool) -> tuple[float, float]:
    """vCPUs during a release, at min_tasks and at max_tasks: one service blue and green, every other one once."""
    these = [each for each in services.on_ecs(environment).values() if each.spot == is_spot]
    least = sum(each.min_tasks * each.cpu for each in these) + max(
        (each.min_tasks * each.cpu for each in these), default=0
    )
    most = sum(each.max_tasks * each.cpu for each in these) + max(
        (each.max_tasks * each.cpu for each in these), default=0
    )
    if environment.previews is not None:
        # One task of each service, and a second while it is replaced.
        previewed = [each.cpu for each in services.previewed(environment).values() if each.spot == is_spot]
        slots = environment.previews.slots * 2 * sum(previewed)
        least, most = least + slots, most + slots
    if not is_spot:
        least, most = least + MIGRATION_CPU, most + MIGRATION_CPU
    return least / _VCPU, most / _VCPU


def _addresses(environment: Environment) -> int:
    match environment.network.nat:
        case "per-az":
            return len(environment.network.availability_zones)
        case "single":
            return 1
        case "instance":  # an address of EC2's, which does not count
            return 0


def quotas(environment: Environment, others: Sequence[Environment], clients: Clients) -> Iterator[Finding]:
    api = clients.client("service-quotas")
    for need in needs(environment, others):
        value = _value(api, need)
        if value >= need.most:
            continue
        where = f"quota {need.service} {need.code}"
        what = f"{need.name} is {value:g}, {need.most:g} may be needed"
        if value >= need.least:
            what += f" ({need.least:g} are enough to begin with)"
        if asked := _asked(api, need):
            yield Finding(
                where=where, what=f"{what}; {asked['DesiredValue']:g} are requested", why=need.why,
                fix=f"wait for AWS, or answer its support case {asked.get('CaseId', 'of the request')}",
            )  # fmt: skip
            continue
        request = {"ServiceCode": need.service, "QuotaCode": need.code, "DesiredValue": float(need.request)}
        yield Finding(
            where=where, what=what, why=need.why,
            fix="aws service-quotas request-service-quota-increase "
            f"--service-code {need.service} --quota-code {need.code} --desired-value {need.request:g}",
            repair=partial(api.request_service_quota_increase, **request),
        )  # fmt: skip


def _value(api: Any, need: QuotaNeed) -> float:
    names = {"ServiceCode": need.service, "QuotaCode": need.code}
    try:
        return float(api.get_service_quota(**names)["Quota"]["Value"])
    except api.exceptions.NoSuchResourceException:
        # An account that was never given another value has AWS's own.
        return float(api.get_aws_default_service_quota(**names)["Quota"]["Value"])


def _asked(api: Any, need: QuotaNeed) -> Mapping[str, Any] | None:
    pages = api.get_paginator("list_requested_service_quota_change_history_by_quota").paginate(
        ServiceCode=need.service, QuotaCode=need.code
    )
    every = (each for page in pages for each in page["RequestedQuotas"])
    return next((each for each in every if each["Status"] in _OPEN and each["DesiredValue"] >= need.most), None)
