"""Probes one Redis twice a minute from inside the VPC, and publishes metrics.

Also the gate before the tasks: the custom resource of the instance whose URL they get succeeds only when that URL is
one of the contract and the published client can enforce limits with what is behind it.
"""

import json
import logging
import os
import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx

from infra_runtime.aws import client
from infra_runtime.contract.metrics import QUEUES, REDIS, QueueMetric, RedisMetric, emit
from infra_runtime.contract.redis_url import InvalidRedisUrl, RedisTarget, parse, require_deployable
from infra_runtime.custom_resource import Request, Result, serve
from infra_runtime.redis import health, inventory, queues, readonly_commands
from infra_runtime.redis.failure_reasons import ERRORS, EXPLANATIONS, Reason, reason_for
from infra_runtime.redis.probe import Report, probe
from infra_runtime.reporting import reported

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)

ROUNDS = 2
SECONDS_BETWEEN = 30.0
# Time-out for Secrets Manager: to connect, and to answer.
_SECRET_SECONDS = 2
# A new server's name takes a while to resolve. The answer to CloudFormation needs some time, too.
_RETRY_SECONDS, _RESERVE_SECONDS = 5.0, 20.0
_last: dict[str, str] = {}
_queues = queues.Watch()


@reported
def handler(event: Mapping[str, Any], context: Any) -> Any:
    if "RequestType" in event:
        deadline = time.monotonic() + context.get_remaining_time_in_millis() / 1000 - _RESERVE_SECONDS
        return serve(event, lambda request: verify(request, deadline=deadline))
    if event.get("report"):
        report, service = _round()
        waiting = {name: size.waiting for name, size in _sizes().items()} if report.connected else {}
        return report.document() | {"service": service.found} | ({"waiting": waiting} if waiting else {})
    if "ask" in event:
        return readonly_commands.ask(_target(), event["ask"])
    if event.get("inventory"):
        return _inventory()
    for number in range(ROUNDS):
        started = time.monotonic()
        _watch()
        if number < ROUNDS - 1:
            time.sleep(max(0.0, SECONDS_BETWEEN - (time.monotonic() - started)))
    return None


def verify(request: Request, *, deadline: float) -> Result:
    """Raises `Unverified` with the last reason when nothing has answered well until the deadline."""
    identity = f"redis/{os.environ['INSTANCE']}"
    if request.kind == "Delete":
        return Result(request.physical_id or identity)
    target = _target()
    require_deployable(target)
    while not (report := _probe(target)).usable:
        if time.monotonic() + _RETRY_SECONDS > deadline:
            raise Unverified(os.environ["INSTANCE"], report.reason or Reason.UNKNOWN)
        time.sleep(_RETRY_SECONDS)
    return Result(identity)


class Unverified(Exception):
    """Tasks that were given this URL would have no Redis."""

    def __init__(self, instance: str, reason: Reason) -> None:
        super().__init__(
            f"{instance}: {EXPLANATIONS[reason]} [{reason}]; see docs/runbooks/redis-connection-failure.md"
        )


def _dimensions() -> dict[str, str]:
    return {"Environment": os.environ["ENVIRONMENT"], "Instance": os.environ["INSTANCE"]}


def _target() -> RedisTarget:
    """The secret as it is now, or as it was when it could last be read. Raises `InvalidRedisUrl`."""
    identity = os.environ["URL_SECRET"]
    try:
        manager = client("secretsmanager", seconds=_SECRET_SECONDS)
        _last[identity] = manager.get_secret_value(SecretId=identity)["SecretString"]
    except Exception as error:
        logger.warning("the secret cannot be read: %s", type(error).__name__)
        if identity not in _last:
            raise
    return parse(_last[identity])


def _probe(target: RedisTarget) -> Report:
    previews = os.environ.get("PREVIEW_KEY_PREFIX")
    may_evict = os.environ.get("EVICTION") != "false"
    return probe(target, key_prefixes=("", previews) if previews else ("",), may_evict=may_evict)


def _round() -> tuple[Report, health.Health]:
    try:
        target = _target()
    except InvalidRedisUrl as error:
        logger.error("%s", error)
        report = Report(connected=False, reason=Reason.BAD_URL, tried=1, failed=1)
    except Exception:  # Of AWS: without the URL, the state of Redis is unknown.
        report = Report(connected=False, reason=Reason.NO_SECRET, tried=1, failed=1)
    else:
        report = _probe(target)
    urls = [each for each in os.environ.get("HEALTH_URLS", "").split(",") if each]
    return report, health.ask_all(urls, _http())


def _watch() -> None:
    report, service = _round()
    reason = report.reason
    if reason is None and service.connected is False:
        reason = Reason.SERVICE_DISCONNECTED
    values: dict[str, float] = {
        # For the alarm: if either of the two has no Redis, rate limiting is off.
        RedisMetric.UNUSABLE: int(not report.usable or service.connected is False),
        RedisMetric.CONNECTION_FAILURE: int(not report.connected),
        RedisMetric.ERROR_RATE: report.failed / report.tried * 100,
    }
    if report.latency_ms is not None:
        values[RedisMetric.PING] = report.latency_ms
    if report.writable is not None:
        values[RedisMetric.WRITE_OK] = int(report.writable)
    if service.connected is not None:
        values[RedisMetric.SERVICE_CONNECTION_FAILURE] = int(not service.connected)
    emit(REDIS, _dimensions(), values, **report.document() | {"reason": reason, "service": service.found})
    for name, size in (_sizes() if report.connected else {}).items():
        values = {QueueMetric.WAITING: size.waiting, QueueMetric.STUCK: _queues.minutes_stuck(name, size)}
        emit(QUEUES, {"Environment": os.environ["ENVIRONMENT"], "Service": name}, values)


def _sizes() -> dict[str, queues.Size]:
    """Size of each worker's queue, if it could be measured."""
    declared = json.loads(os.environ.get("QUEUES", "{}"))
    try:
        return queues.sizes(_target(), declared) if declared else {}
    except ERRORS as error:
        logger.warning("no sizes of queues: %s", EXPLANATIONS[reason_for(error)])
        return {}


def _inventory() -> dict[str, float] | None:
    try:
        found = inventory.take(_target()).metrics()
    except (*ERRORS, InvalidRedisUrl) as error:
        # The probe's rounds report whether Redis can be used at all.
        reason = Reason.BAD_URL if isinstance(error, InvalidRedisUrl) else reason_for(error)
        logger.warning("no inventory: %s", EXPLANATIONS[reason])
        return None
    emit(REDIS, _dimensions(), found)
    return found


@cache
def _http() -> httpx.Client:
    return httpx.Client()
