"""A task definition is at most half as large as ECS allows."""

import json
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import TASK


@policy(
    reason="64 KiB (ECS service quotas, task definition size); references are short names for a little more.",
    failure=Failure.REFUSED,
    reads={TASK: ("*",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    for task in graph.of(TASK):
        size = len(json.dumps(task.properties).encode())
        if size >= 32 * 1024:
            yield task.violation("ContainerDefinitions", f"has {size} bytes, must be less than {32 * 1024}")
