"""A function may run only task definitions of its own stack, by their families."""

import re
from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import TASK
from template_policies.iam import IDENTITY, statements


@policy(
    reason="With another family, IAM denies the migration when a release starts it.",
    failure=Failure.BAD_MIGRATION,
    reads={TASK: ("Family",), **IDENTITY},
)
def check(graph: Graph) -> Iterator[Violation]:
    families = {(each.stack, str(each.get("Family"))): each for each in graph.of(TASK)}
    run = set()
    for each in statements(graph):
        if "ecs:RunTask" not in each.actions:
            continue
        for resource in each.resources:
            family = re.fullmatch(r"arn:aws:ecs:[^:]+:\d+:task-definition/([^:]+):\*", resource)
            place = (each.resource.stack, family[1] if family else resource)
            run.add(place)
            if place not in families:
                yield each.violation(f"runs {resource}, which is not a family of its stack")
    for place, task in families.items():
        if "Migration" in task.logical_id and place not in run:
            yield task.violation("Family", f"is {place[1]}, which no function may run")
