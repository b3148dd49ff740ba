"""Custom resource: the path of health checks changes only if running tasks answer the new one.

A change of a target group's path holds at once for every registered target (ELB API Reference, ModifyTargetGroup). ECS
would replace all tasks that do not answer it, and their successors, too. The target groups depend on this resource, so
that its failure rolls the stack back before they change.
"""

import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from infra_runtime.aws import client
from infra_runtime.custom_resource import Request, Result, serve
from infra_runtime.reporting import reported

_ATTEMPTS = 3
_PAUSE_SECONDS = 5
# As the load balancer's own check (infra_constructs.service).
_ANSWER_SECONDS = 5
_AT_ONCE = 32
_MOST_REPORTED = 5

Sleep = Callable[[float], None]


class NotAnswered(Exception):
    """Tasks that users reach do not answer the new path."""


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    serve(
        event,
        lambda request: converge(
            request, stack=event["StackId"], cloudformation=client("cloudformation"), balancer=client("elbv2")
        ),
    )


def converge(request: Request, *, stack: str, cloudformation: Any, balancer: Any, sleep: Sleep = time.sleep) -> Result:
    """`Path` is the new path of health checks; `TargetGroups` are their logical ids in `stack`.

    Asks only where the path changes, and only tasks that are healthy now: others serve no one. Raises `NotAnswered`
    and what boto3 raises.
    """
    path, names = request.properties["Path"], request.properties["TargetGroups"]
    if request.kind != "Delete":
        targets = list(_healthy(_changed(stack, names, path, cloudformation, balancer), balancer))
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            answers = pool.map(partial(_ask, path=path, sleep=sleep), targets)
            wrong = [answer for answer in answers if answer is not None]
        if wrong:
            raise NotAnswered(
                f"{len(wrong)} of {len(targets)} running tasks do not answer {path} with 200: "
                f"{'; '.join(wrong[:_MOST_REPORTED])}. First release an image that answers the old and the new path"
            )
    return Result(request.physical_id or f"{path} of {' and '.join(names)}")


def _changed(stack: str, names: list[str], path: str, cloudformation: Any, balancer: Any) -> list[str]:
    """ARNs of the target groups that exist and ask for another path."""
    pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=stack)
    found = [
        arn
        for page in pages
        for each in page["StackResourceSummaries"]
        if each["LogicalResourceId"] in names and (arn := each.get("PhysicalResourceId"))
    ]
    if not found:
        return []
    groups = balancer.describe_target_groups(TargetGroupArns=found)["TargetGroups"]
    return [each["TargetGroupArn"] for each in groups if each["HealthCheckPath"] != path]


def _healthy(groups: list[str], balancer: Any) -> Iterator[tuple[str, int]]:
    """(address, port) of each target."""
    for arn in groups:
        for each in balancer.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]:
            if each["TargetHealth"]["State"] == "healthy":
                yield each["Target"]["Id"], int(each["Target"]["Port"])


def _ask(target: tuple[str, int], *, path: str, sleep: Sleep) -> str | None:
    """What is wrong, or None."""
    address, port = target
    wrong = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            sleep(_PAUSE_SECONDS)
        # Not urllib: it would follow a redirect, and the load balancer does not.
        connection = http.client.HTTPConnection(address, port, timeout=_ANSWER_SECONDS)
        try:
            connection.request("GET", path)
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            wrong = f"{address}:{port}: {type(error).__name__}: {error}"
        else:
            if status == 200:
                return None
            wrong = f"{address}:{port} answers {status}"
        finally:
            connection.close()
    return wrong
