"""Tasks: MiniStack's records, each with real processes."""

import contextlib
import contextvars
import itertools
import json
import os
import re
import signal
import threading
import time
from collections.abc import Collection, Mapping
from typing import Any

from ministack.services import ecr, ecs, eventbridge, secretsmanager

from simulators.aws.authorization import Need, denial_of
from simulators.aws.conditions import Condition, is_on
from simulators.aws.ecs import credentials
from simulators.aws.ecs.container import Container
from simulators.aws.ecs.image import CannotPull, CannotStart, is_cached
from simulators.aws.ecs.volumes import Volumes
from simulators.aws.service_principals import can_enter
from simulators.ports import own_address

# Requests in a rehearsal last at most a second, in production a minute.
STOP_SECONDS = 5.0
# Real seconds that a second of ECS takes: hooks and health checks wait 30 s and more.
SECOND = 0.02
_own_run_task, _own_mark_stopped = ecs._run_task, ecs._mark_task_stopped
_containers: dict[str, dict[str, Container]] = {}
"""Containers by task and name."""
_starting: dict[str, threading.Lock] = {}
_tokens: dict[str, str] = {}
cut_off: set[str] = set()
"""Subnets in which nothing is placed."""
UNHEALTHY = "Task failed container health checks"
_AGENT = "aws-guardduty-agent-"
_AGENT_EXIT_CODE = 137
# Exit code of a container whose dependency failed before it could start (aws/amazon-ecs-agent #3218).
_NEVER_STARTED = 143
_ENDS_LIKE_A_WHOLE_ARN = re.compile(r"-[A-Za-z0-9]{6}$")
_numbers = itertools.count()


def run(request: Mapping[str, Any]) -> Any:
    """RunTask: the same client token is the same task."""
    token = request.get("clientToken")
    if token in _tokens:
        known = ecs._tasks[_tokens[token]]
        return (
            200,
            {"Content-Type": "application/x-amz-json-1.1"},
            json.dumps({"tasks": [ecs._sanitize(known)], "failures": []}, default=str).encode(),
        )
    if refusal := _refusal(request["taskDefinition"]):
        return refusal
    answered = _own_run_task({**request, "count": request.get("count", 1)})
    if answered[0] != 200:
        return answered
    for described in json.loads(answered[2])["tasks"]:
        if token:
            _tokens[token] = described["taskArn"]
        place = request.get("networkConfiguration", {}).get("awsvpcConfiguration", {}).get("subnets", [])
        task = ecs._tasks[described["taskArn"]]
        _start(task, request.get("overrides", {}), place)
        for number, container in enumerate(task["containers"]):
            container["runtimeId"] = f"{described['taskArn'].rpartition('/')[2]}-{number}"
            if request.get("enableExecuteCommand"):
                container["managedAgents"] = [{"name": "ExecuteCommandAgent", "lastStatus": "RUNNING"}]
    return answered


def _refusal(task_definition: str) -> Any:
    """ECS's error if it cannot assume one of the task's roles (its text: boto3 #1878)."""
    key = ecs._resolve_td_key(task_definition)
    definition = ecs._task_defs.get(key, {})
    for role in filter(None, map(definition.get, ("taskRoleArn", "executionRoleArn"))):
        if not can_enter("ecs-tasks.amazonaws.com", role):
            text = (
                f"ECS was unable to assume the role '{role}' that was provided for this task. Please verify that the "
                "role being passed has the proper trust relationship and permissions and that your IAM user has "
                "permissions to pass this role."
            )
            return refused("ClientException", text)
    return None


def refused(kind: str, message: str) -> Any:
    """An error as ECS and ECR answer it."""
    body = json.dumps({"__type": kind, "message": message}).encode()
    return 400, {"Content-Type": "application/x-amz-json-1.1"}, body


def _start(task: dict[str, Any], overrides: Mapping[str, Any], subnets: Collection[str]) -> None:
    definition = ecs._task_defs[ecs._resolve_td_key(task["taskDefinitionArn"])]
    every = definition["containerDefinitions"]
    if is_on(Condition.SIDECARS):
        _add_agent(task)
    port = next((each["containerPort"] for one in every for each in one.get("portMappings", [])), 0)
    address = own_address(int(port))
    task["attachments"] = [
        {
            "type": "ElasticNetworkInterface",
            "details": [{"name": "privateIPv4Address", "value": address}, *_placed(str(task["group"]), subnets)],
        }
    ]
    overridden = {each["name"]: each for each in overrides.get("containerOverrides", [])}
    arn = task["taskArn"]
    identity = arn.rpartition("/")[2]
    try:
        volumes = Volumes.of(definition, identity)
        _starting[arn], _containers[arn] = threading.Lock(), {}
        for one in every:
            _ask_for_execution(definition, one, arn)
            override: Mapping[str, Any] = overridden.get(one["name"], {})
            _containers[arn][one["name"]] = Container(
                one,
                address,
                ecs._resolve_container_secrets(one),
                identity,
                volumes,
                command=override.get("command"),
                variables={each["name"]: each["value"] for each in override.get("environment", [])},
                aws=credentials.variables(definition.get("taskRoleArn") or None, arn),
            )
        task["lastStatus"] = "PENDING"
        _start_what_can(arn)
    except (CannotPull, ecs._SecretResolutionError) as error:
        _mark_stopped(arn, str(error), "TaskFailedToStart")


def _placed(group: str, subnets: Collection[str]) -> list[dict[str, str]]:
    """The subnet with the fewest tasks of the group: Fargate spreads over zones (ECS guide, "Task placement")."""
    possible = [each for each in subnets if each not in cut_off]
    its_own = [subnet_of(arn) for arn, each in ecs._tasks.items() if each.get("group") == group and is_alive(arn)]
    return [{"name": "subnetId", "value": min(possible, key=its_own.count)}] if possible else []


def _start_what_can(arn: str) -> None:
    """Starts the containers whose dependencies meet their conditions (ECS API reference, "ContainerDependency")."""
    containers, task = _containers[arn], ecs._tasks[arn]
    with _starting[arn]:
        for name, container in containers.items():
            if container.is_started or task["lastStatus"] == "STOPPED":
                continue
            waits = [_dependency(arn, container, each) for each in container.definition.get("dependsOn", [])]
            if never := [each for each in waits if isinstance(each, str)]:
                record = _record(arn, name)
                record |= {"reason": f"CannotStartContainerError: {never[0]}", "exitCode": _NEVER_STARTED}
                _mark_stopped(arn, "Task failed to start", "TaskFailedToStart")
            elif all(waits):
                _start_container(arn, name, container)
        if task["lastStatus"] == "PENDING" and all(each.is_started for each in containers.values()):
            task["lastStatus"] = "RUNNING"


def _start_container(arn: str, name: str, container: Container) -> None:
    # The thread that sees the process end knows neither account nor region.
    context = contextvars.copy_context()
    try:
        container.start(lambda code: context.run(_ended, arn, name, code))
    except (CannotPull, CannotStart) as error:
        _mark_stopped(arn, str(error), "TaskFailedToStart")
        return
    if container.health_check is not None:
        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(_follow_health, arn, name, container), daemon=True).start()


def _follow_health(arn: str, name: str, container: Container) -> None:
    """ECS API Reference, HealthCheck: failures count from the end of the start period, or from the first success on."""
    check, failures, task = container.health_check, 0, ecs._tasks[arn]
    assert check is not None
    counts_from = time.monotonic() + int(check.get("startPeriod", 0)) * SECOND
    while failures < int(check.get("retries", 3)):
        time.sleep(int(check.get("interval", 30)) * SECOND)
        passed = container.passes()
        if not is_alive(arn):
            return
        if passed:
            failures, counts_from = 0, 0.0
            task["healthStatus"] = _record(arn, name)["healthStatus"] = "HEALTHY"
        elif time.monotonic() >= counts_from:
            failures += 1
    task["healthStatus"] = _record(arn, name)["healthStatus"] = "UNHEALTHY"
    # Tasks without a service run on, healthy or not.
    if task["group"].startswith("service:"):
        stop(arn, UNHEALTHY)
        ecs._record_service_task_failure(task)


def _dependency(arn: str, container: Container, wanted: Mapping[str, Any]) -> bool | str:
    """Whether the dependency is met; if it can never be, ECS's error message."""
    other, target = _containers[arn][wanted["containerName"]], container.definition
    code = _record(arn, wanted["containerName"]).get("exitCode")
    if wanted["condition"] == "START":
        return other.is_started
    if wanted["condition"] == "SUCCESS" and code not in (None, 0):
        # As aws/amazon-ecs-agent #3218 words it. Assumed: that Fargate does, too.
        return (
            "dependency graph: failed to resolve container ordering dependency "
            f"[{other.definition['name']}({other.definition['image']}) (STOPPED->RUNNING) -  Exit: {code}] for target "
            f"[{target['name']}({target['image']}) (NONE->RUNNING)] as dependency did not exit successfully."
        )
    return code is not None


def _record(arn: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in ecs._tasks[arn]["containers"] if each["name"] == name)
    return found


def _ask_for_execution(definition: Mapping[str, Any], container: Mapping[str, Any], arn: str) -> None:
    """What the agent does as the execution role before a container starts (ECS guide, "Task execution IAM role").

    Raises `ecs._SecretResolutionError` with what the task then stops with, `CannotPull` where an image is denied.
    """
    role = definition.get("executionRoleArn")
    if not role:
        return
    name, repository = arn.rpartition("/")[2], container["image"].partition("@")[0].partition(":")[0]
    registry, _, repository = repository.partition("/")
    region = arn.split(":")[3]
    if ".dkr.ecr." in registry:
        arn_of_repository = f"arn:aws:ecr:{region}:{registry.partition('.')[0]}:repository/{repository}"
        actions = ["BatchGetImage", "GetDownloadUrlForLayer"]
        if is_cached(repository):
            # The first pull imports; here each may be the first (ECR User Guide, "IAM permissions required to sync …").
            actions.append("BatchImportUpstreamImage")
            if repository not in ecr._repositories:
                actions.append("CreateRepository")
        pulls = [Need(f"ecr:{each}", arn_of_repository) for each in actions]
        if denied := denial_of(role, name, Need("ecr:GetAuthorizationToken", "*"), *pulls):
            raise CannotPull(f"CannotPullContainerError: {denied}")
    needs = [
        Need("secretsmanager:GetSecretValue", _secret(":".join(each["valueFrom"].split(":")[:7])))
        for each in container.get("secrets", [])
        if ":secretsmanager:" in each["valueFrom"]
    ]
    if log := container.get("logConfiguration", {}).get("options"):
        group = f"arn:aws:logs:{region}:{role.split(':')[4]}:log-group:{log['awslogs-group']}:log-stream:"
        stream = f"{group}{log['awslogs-stream-prefix']}/{container['name']}/{name}"
        needs += [Need(f"logs:{each}", stream) for each in ("CreateLogStream", "PutLogEvents")]
    if denied := denial_of(role, name, *needs):
        raise ecs._SecretResolutionError(f"ResourceInitializationError: {denied}")


def _secret(arn: str) -> str:
    """The complete ARN, for IAM: a task definition may leave out the suffix of seven characters.

    If the secret's name itself ends like such a suffix, Secrets Manager takes the partial ARN for a complete one (its
    API, "GetSecretValue"; the task's error: aws-samples/dify-self-hosted-on-aws #35).
    """
    if _ENDS_LIKE_A_WHOLE_ARN.search(arn):
        return arn
    return next((known["ARN"] for _, known in secretsmanager._secrets.items() if known["ARN"][:-7] == arn), arn)


def _add_agent(task: dict[str, Any]) -> None:
    """Adds GuardDuty's container, in every other task as the first one: no document promises an order."""
    number = next(_numbers)
    name = f"{_AGENT}{number:06d}"
    arn = f"{task['taskArn'].replace(':task/', ':container/')}/{name}"
    agent = {"containerArn": arn, "taskArn": task["taskArn"], "name": name, "lastStatus": "RUNNING"}
    task["containers"].insert(len(task["containers"]) * (number % 2), agent)


def _is_agent(container: Mapping[str, Any]) -> bool:
    return str(container["name"]).startswith(_AGENT)


def _mark_stopped(arn: str, reason: str, stop_code: str, code: int | None = None) -> None:
    task = ecs._tasks[arn]
    for each in filter(_is_agent, task["containers"]):
        each["exitCode"] = _AGENT_EXIT_CODE
    if task["lastStatus"] != "STOPPED":
        # MiniStack ignores tasks that are already to be stopped.
        task["desiredStatus"] = "RUNNING"
    if not _own_mark_stopped(arn, task, reason, stop_code, code):
        return
    for container in _containers.get(arn, {}).values():
        container.volumes.remove()
    _tell(task)


def _tell(task: Mapping[str, Any]) -> None:
    """Sends a state change to EventBridge (Amazon ECS Developer Guide, "Amazon ECS task state change events")."""
    entry = {
        "Source": "aws.ecs",
        "DetailType": "ECS Task State Change",
        "Detail": json.dumps(ecs._sanitize(task), default=str),
        "Resources": [task["taskArn"]],
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _ended(arn: str, name: str, code: int) -> None:
    task = ecs._tasks[arn]
    _record(arn, name).update(lastStatus="STOPPED", exitCode=code)
    if not _containers[arn][name].definition.get("essential", True):
        _start_what_can(arn)
    elif stop_code := task.get("stopCode"):
        _mark_stopped(arn, task["stoppedReason"], stop_code, code)
    else:
        _mark_stopped(arn, "Essential container in task exited", "EssentialContainerExited", code)


def stop(arn: str, reason: str, stop_code: str = "ServiceSchedulerInitiated") -> None:
    """Stops a task as ECS does: it may finish its work. Exit codes of its containers do not change the given reason."""
    task = ecs._tasks[arn]
    if task["lastStatus"] == "STOPPED":
        return
    task |= {"desiredStatus": "STOPPED", "stoppedReason": reason, "stopCode": stop_code}
    for name, container in _containers.get(arn, {}).items():
        if (code := container.stop(STOP_SECONDS)) is not None:
            _record(arn, name).update(lastStatus="STOPPED", exitCode=code)
    _mark_stopped(arn, reason, stop_code)


def stop_in_parallel(arns: list[str], reason: str) -> None:
    """Stops the tasks in parallel, like separate machines."""
    threads = [
        threading.Thread(target=contextvars.copy_context().run, args=(stop, arn, reason), daemon=True) for arn in arns
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def process_ids(arn: str) -> list[int]:
    """Process ids of the task's containers that have started."""
    return [each.process_id for each in _containers.get(arn, {}).values() if each.process_id is not None]


def address_of(arn: str) -> str:
    details = ecs._tasks[arn]["attachments"][0]["details"]
    return str(next(each["value"] for each in details if each["name"] == "privateIPv4Address"))


def subnet_of(arn: str) -> str | None:
    """The task's subnet; None if it was started without a network configuration."""
    details = [each for one in ecs._tasks[arn].get("attachments", []) for each in one["details"]]
    return next((str(each["value"]) for each in details if each["name"] == "subnetId"), None)


def lose(arn: str, reason: str) -> None:
    """Kills the task without waiting: it is unreachable."""
    ecs._tasks[arn] |= {"desiredStatus": "STOPPED", "stoppedReason": reason, "stopCode": "ServiceSchedulerInitiated"}
    for pid in process_ids(arn):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _mark_stopped(arn, reason, "ServiceSchedulerInitiated", 137)


def is_alive(arn: str) -> bool:
    return bool(ecs._tasks[arn]["lastStatus"] != "STOPPED")


def is_healthy(arn: str) -> bool:
    """Whether its containers are healthy. Without a health check, a task is healthy when it runs."""
    found, checks = ecs._tasks[arn], [each.health_check for each in _containers[arn].values()]
    wanted = "HEALTHY" if any(checks) else "UNKNOWN"
    return bool((found["lastStatus"], found["healthStatus"]) == ("RUNNING", wanted))


def why_stopped(arn: str) -> str:
    task = ecs._tasks[arn]
    one = next(each for each in task["containers"] if not _is_agent(each))
    why = one.get("reason") or f"exit code {one.get('exitCode')}"
    return f"{task['stoppedReason']} ({why})"
