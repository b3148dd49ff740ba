"""A container runs without root and capabilities, on a read-only filesystem, with its own log group."""

import re
from collections.abc import Iterator
from typing import Any

from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.containers import PREPARES, TASK, containers
from template_policies.graph import short

# Docker's, and so Fargate's, default capabilities (aws/containers-roadmap #409).
DEFAULT_CAPABILITIES = {
    *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "NET_RAW"),
    *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
}
PATH = "ContainerDefinitions"
# Ten megabytes at least: errors fill one in a second.
_BUFFER = re.compile(r"[1-9]\d{7,}b")


@policy(
    reason="Injected code can then change neither the image nor its own limits (FSBP ECS.4, 5, 20).",
    failure=Failure.ROLE_TAKEN_OVER,
    reads={TASK: (PATH, "PidMode", "IpcMode", "NetworkMode", "RequiresCompatibilities"), "AWS::Logs::LogGroup": ()},
)
def check(graph: Graph) -> Iterator[Violation]:
    for task in graph.of(TASK):
        yield from task.expect("NetworkMode", "awsvpc")
        yield from task.expect("RequiresCompatibilities", ["FARGATE"])
        for path in ("PidMode", "IpcMode"):
            if task.get(path) is not None:
                yield task.violation(path, "is set: containers must not see processes of others")
        for container in containers(task):
            name = container.get("Name")
            wanted: dict[str, object] = {"ReadonlyRootFilesystem": True, "Privileged": None}
            wanted["User"] = "0:0" if name == PREPARES else "1000:1000"
            for key, value in wanted.items():
                if container.get(key) != value:
                    yield task.violation(
                        f"{PATH}.{name}.{key}", f"is {short(container.get(key))}, must be {short(value)}"
                    )
            capabilities = container.get("LinuxParameters", {}).get("Capabilities", {})
            dropped = set(capabilities.get("Drop", []))
            left = set() if "ALL" in dropped else DEFAULT_CAPABILITIES - dropped
            # The container that prepares volumes needs FOWNER to change modes of others' folders.
            if set(capabilities) - {"Drop"} or left != ({"FOWNER"} if name == PREPARES else set()):
                yield task.violation(
                    f"{PATH}.{name}.LinuxParameters", f"leaves {sorted(left)} and adds {short(capabilities.get('Add'))}"
                )
            yield from _logs(graph, task, container)


def _logs(graph: Graph, task: Resource, container: dict[str, Any]) -> Iterator[Violation]:
    path = f"{PATH}.{container.get('Name')}.LogConfiguration"
    logs = container.get("LogConfiguration", {})
    options = logs.get("Options", {})
    # Undelivered logs must not block a container that serves users.
    mode = "non-blocking" if container.get("Name") == "app" else "blocking"
    if logs.get("LogDriver") != "awslogs" or options.get("mode") != mode:
        yield task.violation(path, f"is {short(options.get('mode'))}, must be awslogs, {mode}")
    if mode == "non-blocking" and not _BUFFER.fullmatch(str(options.get("max-buffer-size"))):
        size = short(options.get("max-buffer-size"))
        yield task.violation(path, f"has max-buffer-size {size}, must be ten megabytes or more, as 26214400b")
    group = graph.target(task.stack, options.get("awslogs-group"))
    if group is None or group.type != "AWS::Logs::LogGroup":
        yield task.violation(path, "must refer to a log group")
    if options.get("awslogs-region") != graph.environment.aws.region or not options.get("awslogs-stream-prefix"):
        yield task.violation(path, "must have the environment's region and a prefix")
