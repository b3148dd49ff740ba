"""Scheduled: requests what users request, by public names and from outside the VPC, and publishes the results.

It requests each target once a minute, all at the same time. A failed request is repeated before it counts: one lost
packet is no incident.
"""

import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from infra_runtime.aws import client
from infra_runtime.contract.check_targets import PASS_HEADER, CheckTarget
from infra_runtime.contract.metrics import CHECKS, CheckMetric, emit
from infra_runtime.json_fields import field_of
from infra_runtime.reporting import reported

# Values of cf-cache-status for what Cloudflare caches. With DYNAMIC or BYPASS, S3 would bill every view.
_CACHEABLE = frozenset({"HIT", "MISS", "EXPIRED", "REVALIDATED", "STALE", "UPDATING"})
# User-Agent. Cloudflare refuses clients without one.
_NAME = "infra-check/1"
_SECONDS = 8.0
_REDIRECTS = 3
_AGAIN_AFTER_SECONDS = 2.0


@dataclass(frozen=True)
class CheckAnswer:
    milliseconds: float
    trouble: str | None
    status: int | None = None


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    """Publishes CheckFailed and CheckMilliseconds for each target."""
    targets = [CheckTarget(**each) for each in json.loads(os.environ["TARGETS"])]
    _put_the_object()
    for target, answer in zip(targets, _all(targets), strict=True):
        failed = float(answer.trouble is not None)
        values = {CheckMetric.FAILED.value: failed, CheckMetric.TIME.value: answer.milliseconds}
        dimensions = {"Environment": os.environ["ENVIRONMENT"], "Check": target.name}
        emit(CHECKS, dimensions, values, url=target.url, trouble=answer.trouble, status=answer.status)
    for target in (CheckTarget(**each) for each in json.loads(os.environ.get("DEPENDENCIES", "[]"))):
        lost = lost_dependencies(target)
        if lost is not None:
            dimensions = {"Environment": os.environ["ENVIRONMENT"], "Check": target.name}
            emit(CHECKS, dimensions, {CheckMetric.LOST.value: float(bool(lost))}, url=target.url, lost=lost)


@cache
def _put_the_object() -> None:
    """Uploads the object that the media check requests, unless it exists; once for each start of the function."""
    where = {"Bucket": os.environ["MEDIA_BUCKET"], "Key": os.environ["MEDIA_KEY"]}
    s3 = client("s3", seconds=5)
    try:
        s3.put_object(**where, Body=b"as it should be\n", ContentType="text/plain", IfNoneMatch="*")
    except s3.exceptions.ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] != 412:
            print(json.dumps({"trouble": f"the media object cannot be put: {error}"}))  # noqa: T201


@cache
def _pass() -> str:
    found: str = client("secretsmanager", seconds=5).get_secret_value(SecretId=os.environ["PASS_SECRET"])[
        "SecretString"
    ]
    return found


def _all(targets: Sequence[CheckTarget]) -> list[CheckAnswer]:
    with ThreadPoolExecutor(len(targets)) as pool:
        return list(pool.map(_twice, targets))


def _twice(target: CheckTarget) -> CheckAnswer:
    first = check(target)
    if first.trouble is None:
        return first
    time.sleep(_AGAIN_AFTER_SECONDS)
    return check(target)


def check(target: CheckTarget) -> CheckAnswer:
    """Requests the target as a browser does: a new connection, redirects followed on the same host only."""
    began = time.monotonic()
    headers = {"User-Agent": _NAME} | ({PASS_HEADER: _pass()} if target.needs_pass else {})
    try:
        with httpx.Client(timeout=_SECONDS, headers=headers) as http:
            response, url = http.get(target.url), target.url
            for _ in range(_REDIRECTS):
                if not response.is_redirect:
                    break
                url = urljoin(url, response.headers["location"])
                if urlsplit(url).netloc != urlsplit(target.url).netloc:
                    break
                response = http.get(url)
    except httpx.HTTPError as error:
        return CheckAnswer((time.monotonic() - began) * 1000, f"{type(error).__name__}: {error}")
    elapsed = (time.monotonic() - began) * 1000
    return CheckAnswer(elapsed, _trouble(target, response), response.status_code)


def lost_dependencies(target: CheckTarget) -> list[str] | None:
    """Fields without the expected value; None when the service could not be reached, or lacks a field."""
    headers = {PASS_HEADER: _pass()} if target.needs_pass else {}
    try:
        with httpx.Client(timeout=_SECONDS, headers={"User-Agent": _NAME, **headers}) as http:
            document = http.get(target.url).json()
    except (httpx.HTTPError, ValueError):
        return None
    expected = target.dependencies or {}
    found = {name: field_of(document, name) for name in expected}
    if None in found.values():
        return None
    return [name for name, value in found.items() if value != expected[name]]


def _trouble(target: CheckTarget, response: httpx.Response) -> str | None:
    if response.status_code != 200:
        challenged = " (a challenge)" if response.headers.get("cf-mitigated") == "challenge" else ""
        return f"HTTP {response.status_code}{challenged}"
    if target.browser_seconds is None:
        return None
    kept = response.headers.get("cache-control", "")
    if f"max-age={target.browser_seconds}" not in kept.replace(" ", "").split(","):
        return f"cache-control is {kept!r}, without max-age={target.browser_seconds}"
    if (status := response.headers.get("cf-cache-status")) not in _CACHEABLE:
        return f"cf-cache-status is {status}: the edge does not keep it"
    return None
