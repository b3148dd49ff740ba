"""A task has CPU, memory and architecture from the environment's file, and its image from the release's parameter."""

from collections.abc import Iterator

from config.services import words
from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import TASK, main_container
from template_policies.owners import owner

ARCHITECTURES = {"arm64": "ARM64", "x86_64": "X86_64"}


@policy(
    reason="The next deployment would restore an image that is written into the template. An image of another "
    "architecture never starts.",
    failure=Failure.SUPPLY_CHAIN,
    reads={TASK: ("RuntimePlatform", "ContainerDefinitions", "Cpu", "Memory"), "Parameters": ("*",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    product = graph.environment.product
    for task in graph.of(TASK):
        own = owner(graph, task)
        if own is None:
            continue
        yield from task.expect("RuntimePlatform.CpuArchitecture", ARCHITECTURES[own.service.architecture])
        yield from task.expect("RuntimePlatform.OperatingSystemFamily", "LINUX")
        image = main_container(task).get("Image")
        name = image.get("Ref") if isinstance(image, dict) else None
        parameter = graph.templates[task.stack].get("Parameters", {}).get(name, {})
        if own.slot is not None:
            if parameter.get("Type") != "String" or name != f"{words(own.name)}Image":
                yield task.violation("ContainerDefinitions", "must take the preview's image from a parameter")
            continue
        released = own.service.runs or own.name
        wanted = f"/{product}/{graph.name}/{released}/image"
        if parameter.get("Type") != "AWS::SSM::Parameter::Value<String>" or parameter.get("Default") != wanted:
            yield task.violation("ContainerDefinitions", f"must take its image from the parameter {wanted}")
        if task.logical_id.startswith(("ServiceTask", f"{words(own.name)}ServiceTask")):
            yield from task.expect("Cpu", str(own.service.cpu))
            yield from task.expect("Memory", str(own.service.memory_mib))
