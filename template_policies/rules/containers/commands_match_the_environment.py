"""Each container runs the command in the environment's file; init and one-off containers run the standard one."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import TASK, main_container, preparing
from template_policies.graph import short
from template_policies.owners import owner

PATH = "ContainerDefinitions"
BUSYBOX = "/infra/busybox"
PREPARES = ["prepare", "/infra/rds-authority.pem", "/bin/busybox", BUSYBOX]
# Eight hours, the longest session in a one-off task.
WAITS = [BUSYBOX, "sleep", "28800"]
IMAGES_OWN = {"Ref": "AWS::NoValue"}


@policy(
    reason="A container with another command exits at once, which looks like a bad release; a skipped migration "
    "leaves the schema outdated.",
    failure=Failure.TASK_DIES,
    reads={TASK: (PATH,)},
)
def check(graph: Graph) -> Iterator[Violation]:
    tasks = graph.of(TASK)
    scripts = Counter(str(_script(preparing(task))) for task in tasks)
    usual = next((script for script, _ in scripts.most_common(1)), "")
    for task in tasks:
        container, prepare, own = main_container(task), preparing(task), owner(graph, task)
        name = container.get("Name")
        command = prepare.get("Command") or []
        if command[:2] != ["sh", "-c"] or command[3:7] != PREPARES or str(_script(prepare)) != usual:
            yield task.violation(f"{PATH}.prepare.Command", "must be the command of all other prepare containers")
        if name == "one-off":
            for key, wanted in (("EntryPoint", [BUSYBOX, "env"]), ("Command", WAITS)):
                if container.get(key) != wanted:
                    yield task.violation(f"{PATH}.{name}.{key}", f"is {short(container.get(key))}, must be {wanted}")
        elif container.get("EntryPoint") is not None:
            yield task.violation(f"{PATH}.{name}.EntryPoint", "must be the image's own")
        if own is None:
            continue
        if name == "migrate" and own.service.migrations is not None:
            wanted = list(own.service.migrations.command)
            if container.get("Command") != wanted:
                yield task.violation(
                    f"{PATH}.{name}.Command", f"is {short(container.get('Command'))}, must be {wanted}"
                )
        if name == "app" and own.host is not None:
            _, placeholder, released = (container.get("Command") or {}).get("Fn::If", (None, None, None))
            expected: Any = list(own.service.command) if own.service.command else IMAGES_OWN
            if released != expected:
                yield task.violation(f"{PATH}.{name}.Command", f"is {short(released)}, must be {short(expected)}")
            if (
                not placeholder
                or placeholder[:2] != ["node", "-e"]
                or f".listen({own.service.port})" not in placeholder[2]
            ):
                yield task.violation(
                    f"{PATH}.{name}.Command", f"must listen on {own.service.port} until the first release"
                )


def _script(prepare: dict[str, Any]) -> Any:
    return (prepare.get("Command") or [None] * 3)[2:3]
