"""Each service with its own image has a repository, a parameter with the released image, and a one-off task."""

import re
from collections.abc import Iterator

from config.services import released, words
from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import PREPARES, TASK, containers, main_container

POINTER = "Custom::ImagePointer"


@policy(
    reason="Without the parameter no stack of a service can be deployed; a later deployment would otherwise reset "
    "what runs.",
    failure=Failure.SUPPLY_CHAIN,
    reads={
        POINTER: ("Parameter", "Seed"),
        "AWS::ECR::Repository": ("RepositoryName",),
        TASK: ("ContainerDefinitions", "Cpu", "Memory"),
        "AWS::Lambda::Function": ("LoggingConfig",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    environment = graph.environment
    wanted = {f"/{environment.product}/{graph.name}/{name}/image" for name in released(environment)}
    pointers = [str(each.get("Parameter")) for each in graph.of(POINTER)]
    for each in graph.of(POINTER):
        yield from each.expect("Seed", environment.bootstrap_image)
        yield from each.expect("Parameter", *sorted(wanted))
    if sorted(pointers) != sorted(wanted):
        yield graph.missing(POINTER, f"are {sorted(pointers)}, must be {sorted(wanted)}", stack="Registry")
    for name, service in released(environment).items():
        ids = [each.logical_id for each in graph.of("AWS::ECR::Repository")]
        if not any(each.startswith(f"{words(name)}Repository") for each in ids):
            yield graph.missing("AWS::ECR::Repository", f"is missing: of {name}", stack="Registry")
        entered = [
            each for each in graph.of(TASK) if each.stack == words(name) and each.logical_id.startswith("OneOff")
        ]
        if len(entered) != 1:
            yield graph.missing(TASK, "is missing: the task of `infra exec`", stack=words(name))
        for each in entered:
            yield from each.expect("Cpu", str(service.cpu))
            yield from each.expect("Memory", str(service.memory_mib))
    of_functions = {
        group.where for each in graph.of("AWS::Lambda::Function") if (group := each.target("LoggingConfig.LogGroup"))
    }
    for task in graph.of(TASK):
        for container in containers(task):
            called = container.get("Name")
            image = task.text(container.get("Image"))
            if called == PREPARES and not re.search(r"/\{Registry/HelperRepository\w+\}:\d+\.\d+\.\d+-musl$", image):
                text = f"is {image}, must be the helper, by the tag of a version: a cache imports no digest"
                yield task.violation("ContainerDefinitions.prepare.Image", text)
            prefix = container.get("LogConfiguration", {}).get("Options", {}).get("awslogs-stream-prefix")
            if prefix != main_container(task).get("Name"):
                yield task.violation(f"ContainerDefinitions.{called}.LogConfiguration", f"has the prefix {prefix}")
            group = graph.target(
                task.stack, container.get("LogConfiguration", {}).get("Options", {}).get("awslogs-group")
            )
            if group is not None and group.where in of_functions:
                yield task.violation(f"ContainerDefinitions.{called}.LogConfiguration", f"logs into {group.where}")
