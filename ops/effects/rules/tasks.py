"""What a task requires of its image, which no template shows, and the image before the first release."""

from collections.abc import Iterator, Mapping
from typing import Any

from ops.effects.changes import Difference, ResourceChange
from ops.effects.effect import Effect, Impact, effect_of
from ops.effects.template import plain, references, resources

_DEFINITION = "AWS::ECS::TaskDefinition"
_ASKED = ("Command", "EntryPoint", "HealthCheck", "User", "WorkingDirectory")


def effects(change: ResourceChange, difference: Difference) -> Iterator[Effect]:
    if change.old is None or change.new is None:
        return
    if change.type == "Custom::ImagePointer" and "Seed" in change.properties:
        yield _seed(change)
    if change.type != _DEFINITION:
        return
    was, is_ = _asked(change.old), _asked(change.new)
    if changed := tuple(sorted({name for _, name in was.keys() | is_.keys() if _differ(was, is_, name)})):
        yield effect_of(
            change, Impact.LOOK, "image", f"needs something else of its image ({', '.join(changed)})",
            "New tasks run the current image. If the image does not have what they need, they fail, ECS keeps the old "
            "tasks, and the stack is rolled back; users notice nothing."
            if _serves(change, difference)
            else "The next run fails if the last released image does not have it.",
            procedure="first release an image that supports the old and the new value", properties=change.properties,
        )  # fmt: skip


def _seed(change: ResourceChange) -> Effect:
    return effect_of(
        change, Impact.LOOK, "seed",
        f"has another seed ({change.was('Seed')} → {change.is_('Seed')})",
        "If nothing was released yet, the new bootstrap image runs; if its tasks do not start, the stack is rolled "
        "back. Released images stay.",
        properties=("Seed",),
    )  # fmt: skip


def _asked(definition: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """By container and property; the platform is the whole task's."""
    properties = definition["Properties"]
    found = {("", "RuntimePlatform"): plain(properties.get("RuntimePlatform"), {})}
    for container in properties.get("ContainerDefinitions", ()):
        if isinstance(container, Mapping) and "Name" in container:
            found |= {(container["Name"], name): plain(_released(container.get(name)), {}) for name in _ASKED}
    return found


def _released(value: Any) -> Any:
    """Without what is for the bootstrap image, which serves until the first release."""
    match value:
        case {"Fn::If": [str(condition), _, otherwise]} if condition.startswith("ReleaseIsBootstrap"):
            return otherwise
    return value


def _differ(was: Mapping[tuple[str, str], Any], is_: Mapping[tuple[str, str], Any], name: str) -> bool:
    """In a container that is there before and after: another one has an image of its own."""
    return any(was[key] != is_[key] for key in was.keys() & is_.keys() if key[1] == name)


def _serves(change: ResourceChange, difference: Difference) -> bool:
    """Whether a service keeps tasks of it running."""
    return any(
        each["Type"] == "AWS::ECS::Service" and (change.logical_id, None) in set(references(each))
        for each in resources(difference.after[change.stack]).values()
    )
