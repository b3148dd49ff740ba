"""Why a deployment went back: ECS's reason, the alarm behind it, and a task that failed with the end of its log."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError

from infra_runtime.contract.revision import APP, containers_of, log_of, named
from infra_runtime.release.log_text import plain
from infra_runtime.release.preflight import deployments, services_of, tasks_of

logger = logging.getLogger(__name__)

_LINES = 10
_LONGEST_LINE = 500


def rollback_reason(clients: Any, stack: str, *, since: datetime) -> str | None:
    """Why the newest deployment of the stack rolled back; None when none did. `since` is when its release began.

    Facts first, then the last lines of the task's log, each on a line of its own.
    """
    ecs = clients.client("ecs")
    rolled: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []
    for service in services_of(clients, stack):
        arns = [each["serviceDeploymentArn"] for each in deployments(ecs, service, createdAt={"after": since})]
        # DescribeServiceDeployments takes twenty.
        for at in range(0, len(arns), 20):
            described = ecs.describe_service_deployments(serviceDeploymentArns=arns[at : at + 20])["serviceDeployments"]
            rolled += [(each, service) for each in described if each["status"].startswith(("ROLLBACK", "STOPPED"))]
    if not rolled:
        return None
    newest, service = max(rolled, key=lambda each: each[0]["createdAt"])
    facts = [newest.get("rollback", {}).get("reason") or newest.get("statusReason")]
    facts += _alarms(clients, newest.get("alarms", {}).get("triggeredAlarmNames", []))
    lines: list[str] = []
    # When the circuit breaker has counted enough failed tasks, ECS's reason is just that.
    if (task := next(failed_tasks(ecs, service, since=since), None)) is not None:
        facts.append(how_it_ended(task))
        lines = _last_lines(clients, task)
    return "; ".join(filter(None, facts)) + quoted(lines) or None


def failed_tasks(ecs: Any, service: Mapping[str, Any], *, since: datetime) -> Iterator[Mapping[str, Any]]:
    """Tasks of a service that ended by themselves or were unhealthy. ECS forgets them after an hour or so."""
    for task in tasks_of(ecs, service, desiredStatus="STOPPED"):
        by_itself = task.get("stopCode") in ("EssentialContainerExited", "TaskFailedToStart")
        # ECS's words for both kinds of health checks begin so.
        is_unhealthy = str(task.get("stoppedReason")).startswith("Task failed ")
        if task["createdAt"] >= since and (by_itself or is_unhealthy):
            yield task


def how_it_ended(task: Mapping[str, Any]) -> str:
    """A task of a service that is STOPPED: as ECS says it, and with which code."""
    app = named(task["containers"], APP)
    messages = [task["stoppedReason"], app.get("reason"), f"exit code {app['exitCode']}" if "exitCode" in app else None]
    return f"task {task['taskArn'].rpartition('/')[2]}: {', '.join(filter(None, messages))}"


def quoted(lines: Sequence[str]) -> str:
    """Lines of a log, to follow a sentence."""
    return "".join(f"\n  | {line[:_LONGEST_LINE]}" for line in lines)


def _alarms(clients: Any, names: Sequence[str]) -> list[str]:
    """What each alarm says to people, its runbook included."""
    if not names:
        return []
    pages = clients.client("cloudwatch").get_paginator("describe_alarms").paginate(AlarmNames=list(names))
    found = [each for page in pages for each in page["MetricAlarms"]]
    return [f"{each['AlarmName']}: {each.get('AlarmDescription') or each['StateReason']}" for each in found]


def _last_lines(clients: Any, task: Mapping[str, Any]) -> list[str]:
    """None when the task never came to write any. A log that cannot be read leaves the rest of the reason."""
    try:
        container = named(containers_of(clients.client("ecs"), task["taskDefinitionArn"]), APP)
        stream = log_of(container, task["taskArn"])
        found = clients.client("logs").get_log_events(**stream, startFromHead=False, limit=_LINES)["events"]
    except ClientError as error:
        logger.info("no log of %s: %s", task["taskArn"], error)
        return []
    return [line for each in found if (line := plain(each["message"]))]
