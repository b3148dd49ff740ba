"""`infra run` and `infra exec`: one command, or a shell, in a new task with the service's image and settings."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from infra_runtime.contract.revision import ONE_OFF, containers_of, named
from ops.console import Console
from ops.errors import OperatorError
from ops.functions import actor, resources
from ops.progress import working
from ops.releases.follow import LogReader
from ops.releases.target import ReleaseTarget

_EVERY_SECONDS = 1.0
_START_SECONDS = 300.0
TOOLS = ("aws", "session-manager-plugin")


def run(place: ReleaseTarget, command: Sequence[str], console: Console) -> int:
    """The command's own exit code; its output line by line. Raises `OperatorError` when it never came to run."""
    with started(place, command=command) as task, ExitStack() as until_its_first_line:
        container = named(containers_of(place.clients.client("ecs"), task.definition), ONE_OFF)
        reader = LogReader(place.clients, container, task.arn)
        until_its_first_line.enter_context(working(f"starting task {task.arn.rpartition('/')[2]}"))
        while True:
            state = task.described()
            for line in reader.new():
                until_its_first_line.close()
                console.print(line, highlight=False)
            if state["lastStatus"] == "STOPPED":
                break
            time.sleep(_EVERY_SECONDS)
        until_its_first_line.close()
        ended = named(state["containers"], ONE_OFF)
        if ended.get("exitCode") is None:
            raise OperatorError(f"the task never ran: {state.get('stoppedReason')} {ended.get('reason', '')}")
        # Log lines arrive a little later than the end of the task.
        time.sleep(_EVERY_SECONDS)
        for line in reader.new():
            console.print(line, highlight=False)
        if reason := ended.get("reason"):
            console.print(reason, highlight=False)
        return int(ended["exitCode"])


def shell(place: ReleaseTarget, command: str, console: Console) -> int:
    """A terminal in a task that ends with it. Raises `OperatorError` when this machine lacks what it needs."""
    require_tools(TOOLS)
    with started(place, entered=True) as task:
        console.print(f"waits for {task.arn.rpartition('/')[2]} to run", highlight=False)
        task.wait(agent_runs)
        return subprocess.run(
            [
                *("aws", "ecs", "execute-command", "--interactive", "--region", place.environment.aws.region),
                *("--cluster", task.cluster, "--task", task.arn, "--container", ONE_OFF, "--command", command),
            ],
            check=False,
        ).returncode


def require_tools(names: Sequence[str], *, path: str | None = None) -> None:
    """Raises `OperatorError`. `path` is PATH, of this process without it."""
    if missing := [each for each in names if shutil.which(each, path=path) is None]:
        text = ", ".join(missing)
        raise OperatorError(f"missing on this machine: {text} (AWS's command line and its plugin for sessions)")


def agent_runs(state: Mapping[str, Any]) -> bool:
    return any(
        agent["name"] == "ExecuteCommandAgent" and agent["lastStatus"] == "RUNNING"
        for agent in named(state["containers"], ONE_OFF).get("managedAgents", [])
    )


class _Task:
    def __init__(self, ecs: Any, begun: Mapping[str, Any]) -> None:
        """`begun` is RunTask's answer."""
        self._ecs, self._last = ecs, begun
        self.cluster, self.definition, self.arn = begun["clusterArn"], begun["taskDefinitionArn"], begun["taskArn"]

    def described(self) -> Mapping[str, Any]:
        """The task as last described: ECS may not know a task that has just begun (API reference, RunTask)."""
        (self._last,) = self._ecs.describe_tasks(cluster=self.cluster, tasks=[self.arn])["tasks"] or [self._last]
        return self._last

    def wait(self, holds: Callable[[Mapping[str, Any]], bool]) -> None:
        give_up = time.monotonic() + _START_SECONDS
        while not holds(state := self.described()):
            if state["lastStatus"] == "STOPPED" or time.monotonic() > give_up:
                raise OperatorError(
                    f"the task is not to be entered: {state['lastStatus']} {state.get('stoppedReason')}"
                )
            time.sleep(_EVERY_SECONDS)


@contextmanager
def started(place: ReleaseTarget, *, command: Sequence[str] | None = None, entered: bool = False) -> Iterator[_Task]:
    """Runs a task during the block and stops it at the end, also after an error."""
    ecs, service = place.clients.client("ecs"), place.described()
    definitions = resources(place.clients, place.stack, "AWS::ECS::TaskDefinition")
    definition = next(
        (arn for arn in definitions if any(each["name"] == ONE_OFF for each in containers_of(ecs, arn))), None
    )
    if definition is None:
        raise OperatorError(f"{place.stack} has no task for one command; deploy it first")
    answered = ecs.run_task(
        cluster=service["clusterArn"],
        taskDefinition=definition,
        networkConfiguration=service["networkConfiguration"],
        capacityProviderStrategy=[{"capacityProvider": "FARGATE", "weight": 1}],
        enableExecuteCommand=entered,
        startedBy="infra",
        # Who it was, for CloudTrail's readers and for the bill.
        tags=[{"key": "by", "value": _tag(actor() or place.clients.client("sts").get_caller_identity()["Arn"])}],
        overrides={"containerOverrides": [{"name": ONE_OFF, "command": list(command)}]} if command else {},
    )
    if failures := answered["failures"]:
        raise OperatorError(f"ECS started no task: {failures[0].get('reason')}")
    task = _Task(ecs, answered["tasks"][0])
    try:
        yield task
    finally:
        if task.described()["lastStatus"] != "STOPPED":
            ecs.stop_task(cluster=task.cluster, task=task.arn, reason="infra has ended")


def _tag(text: str) -> str:
    """The text with only the characters that a tag's value may have."""
    return "".join(letter if letter.isalnum() or letter in " _.:/=+-@" else " " for letter in text)[:256]
