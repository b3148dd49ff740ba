"""Single faults of templates: each drops, empties, flips, lowers, raises, widens, cuts or misdirects one thing."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from template_policies import Graph
from template_policies.graph import Resource

Place = tuple[str | int, ...]
# Another value of the same enumeration, for texts.
OTHERWISE = {
    "ENABLED": "DISABLED", "Enabled": "Suspended", "DISABLED": "ENABLED", "HTTPS": "HTTP", "verify": "off",
    "awsvpc": "host", "IMMUTABLE": "MUTABLE", "FARGATE": "FARGATE_SPOT", "FARGATE_SPOT": "FARGATE",
    "BLUE_GREEN": "ROLLING", "Retain": "Delete", "Snapshot": "Delete", "Delete": "Retain", "breaching": "notBreaching",
    "notBreaching": "breaching", "ignore": "notBreaching", "GreaterThanThreshold": "LessThanThreshold",
    "LessThanThreshold": "GreaterThanThreshold", "internet-facing": "internal", "non-blocking": "blocking",
    "blocking": "non-blocking", "required": "preferred", "SUCCESS": "START", "REJECT": "ACCEPT", "Allow": "Deny",
    "Deny": "Allow", "strict": "full", "strictest": "monitor", "on": "off", "block": "log", "Interface": "Gateway",
    "Interface ": "Gateway", "BucketOwnerEnforced": "ObjectWriter", "AES256": "aws:kms:dsse", "true": "false",
    "false": "true", "1000:1000": "0:0", "StringEquals": "StringLike", "PAY_PER_REQUEST": "PROVISIONED",
    "fixed-response": "forward", "ARM64": "X86_64", "arm64": "x86_64", "enhanced": "disabled", "SERVICE": "NONE",
    "volatile-ttl": "noeviction", "noeviction": "allkeys-lru", "gp3": "gp2", "advanced": "standard", "SNS": "EMAIL",
    "RetainExceptOnCreate": "Retain",
    "Sum": "SampleCount", "Maximum": "Minimum", "Minimum": "Maximum", "Average": "SampleCount", "ACTUAL": "FORECASTED",
}  # fmt: skip
_REFERS = {"Ref", "Fn::GetAtt", "Fn::ImportValue"}
# JSON in a text.
_DOCUMENTS = {"Document", "LifecyclePolicyText", "MonitorSpecification", "ThresholdExpression"}


@dataclass(frozen=True)
class Mutant:
    """One fault in one resource. `apply` changes the template in place and returns what undoes it."""

    resource: Resource
    how: str
    place: Place
    """Path within the resource: ("Properties", "MultiAZ"). Empty: the resource is removed."""
    apply: Callable[[], Callable[[], None]]
    document: bool = False
    """Path inside a JSON text, which `place` names."""
    within: str = ""

    @property
    def changed(self) -> str:
        """The changed property, as policies name what they read."""
        if not self.place:
            return "Type"
        return str(self.place[1] if self.place[0] == "Properties" and len(self.place) > 1 else self.place[0])

    @property
    def path(self) -> str:
        """The path without list positions, as no policy depends on them."""
        return ".".join(str(each) for each in self.place if not isinstance(each, int)) + self.within

    def __str__(self) -> str:
        return (
            f"{self.resource.graph.name}/{self.resource.where} ({self.resource.type}): {self.how} {self.path or 'it'}"
        )


def mutants(graph: Graph) -> Iterator[Mutant]:
    """All mutants, resource by resource."""
    for resource in list(graph.resources.values()):
        if resource.type == "AWS::CDK::Metadata":
            continue
        yield _removed(graph, resource)
        for key in ("DeletionPolicy", "UpdateReplacePolicy", "Condition"):
            if key in resource.raw:
                yield from _of(graph, resource, resource.raw, key, (key,))
        for number, name in enumerate(resource.items("DependsOn")):
            yield _set(
                resource,
                f"forgets {name} in",
                resource.raw,
                "DependsOn",
                ("DependsOn",),
                _without(resource.items("DependsOn"), number),
            )
        for key in list(resource.raw.get("Properties") or {}):
            yield from _of(graph, resource, resource.raw["Properties"], key, ("Properties", key))


def _without(items: list[Any], number: int) -> list[Any]:
    return [each for other, each in enumerate(items) if other != number]


def _removed(graph: Graph, resource: Resource) -> Mutant:
    resources = graph.templates[resource.stack]["Resources"]

    def apply() -> Callable[[], None]:
        raw = resources.pop(resource.logical_id)
        return lambda: resources.__setitem__(resource.logical_id, raw)

    return Mutant(resource, "removes", (), apply)


def _set(  # noqa: PLR0917
    resource: Resource, how: str, holder: Any, key: Any, place: Place, value: Any, **more: Any
) -> Mutant:
    def apply() -> Callable[[], None]:
        before = holder[key]
        holder[key] = value
        return lambda: holder.__setitem__(key, before)

    return Mutant(resource, how, place, apply, **more)


def _dropped(resource: Resource, holder: dict[str, Any], key: str, place: Place) -> Mutant:
    def apply() -> Callable[[], None]:
        before = dict(holder)
        del holder[key]

        def undo() -> None:
            holder.clear()
            holder.update(before)

        return undo

    return Mutant(resource, "drops", place, apply)


def _of(graph: Graph, resource: Resource, holder: Any, key: Any, place: Place) -> Iterator[Mutant]:
    value = holder[key]
    if isinstance(holder, dict):
        yield _dropped(resource, holder, key, place)
    if key in _DOCUMENTS and (document := _parsed(resource, value)) is not None:
        for how, changed, within in _documents(document):
            yield _set(
                resource,
                how,
                holder,
                key,
                place,
                json.dumps(changed, separators=(",", ":")),
                document=True,
                within=within,
            )
        return
    for how, other in _other(graph, resource, key, value):
        yield _set(resource, how, holder, key, place, other)
    if isinstance(value, dict) and not (set(value) & _REFERS) and not any(each.startswith("Fn::") for each in value):
        for each in list(value):
            yield from _of(graph, resource, value, each, (*place, each))
    elif isinstance(value, list):
        if len(value) > 1:
            for number in range(len(value)):
                yield _set(resource, f"leaves out {number} of", holder, key, place, _without(value, number))
        for number in range(len(value)):
            yield from _of(graph, resource, value, number, (*place, number))


def _other(graph: Graph, resource: Resource, key: Any, value: Any) -> Iterator[tuple[str, Any]]:
    """(how, value) for each fault of one value."""
    if isinstance(value, bool):
        yield "flips", not value
    elif isinstance(value, int | float):
        yield from _numbers(value, lambda each: each)
    elif isinstance(value, str):
        yield from _texts(str(key), value)
    elif isinstance(value, list) and value:
        yield "empties", []
    elif isinstance(value, dict) and set(value) & _REFERS:
        yield "cuts", "cut"
        target = graph.target(resource.stack, value)
        if target is not None:
            for name, raw in graph.templates[resource.stack]["Resources"].items():
                if raw["Type"] == target.type and name != target.logical_id:
                    old = json.dumps(value)
                    if "Fn::ImportValue" not in old:
                        yield "misdirects", json.loads(old.replace(f'"{target.logical_id}"', f'"{name}"'))
                        break
    elif isinstance(value, dict) and "Fn::Join" in value:
        yield "cuts", "cut"


def _numbers(value: float, as_: Callable[[Any], Any]) -> Iterator[tuple[str, Any]]:
    if value > 0:
        yield "lowers", as_(type(value)(value / 2) if value > 1 else type(value)(0))
    yield "raises", as_(value * 10 if value else 10)


def _texts(key: str, value: str) -> Iterator[tuple[str, Any]]:
    if value in OTHERWISE:
        yield "flips", OTHERWISE[value]
    elif re.fullmatch(r"\d+", value):
        yield from _numbers(int(value), str)
    elif re.fullmatch(r"\d+\.\d+\.\d+\.\d+/\d+", value):
        yield "widens", "0.0.0.0/0"
    elif re.fullmatch(r"[a-z0-9-]+:[A-Za-z]+", value) and key not in ("DetailType",):
        yield "widens", f"{value.partition(':')[0]}:*"
        yield "widens all", "*"
    elif value.endswith(".amazonaws.com") or re.fullmatch(r"arn:aws:iam::\d+:root", value):
        yield "widens", "*"
    elif value.startswith(("arn:", "repo:")):
        yield "widens", f"{value.rpartition('/')[0] or value.rpartition(':')[0]}*"
    elif re.fullmatch(r"rate\((\d+) (\w+)\)", value):
        yield "slows", "rate(7 days)"
    elif value:
        yield "alters", f"{value}-other"


def _parsed(resource: Resource, value: Any) -> Any:
    try:
        found = json.loads(resource.text(value))
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _documents(document: Any) -> Iterator[tuple[str, Any, str]]:
    """(how, changed copy, path) of each fault within a document."""

    def walk(node: Any, at: tuple[str | int, ...]) -> Iterator[tuple[str, tuple[str | int, ...], Any]]:
        items: Any = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in list(items):
            here = (*at, key)
            yield "drops", here, _GONE
            match value:
                case bool():
                    yield "flips", here, not value
                case int() | float():
                    yield from ((how, here, other) for how, other in _numbers(value, lambda each: each))
                case str():
                    yield from ((how, here, other) for how, other in _texts(str(key), value))
                case list() if value:
                    yield "empties", here, []
                    yield from walk(value, here)
                case dict():
                    yield from walk(value, here)

    text = json.dumps(document)
    for how, at, other in walk(document, ()):
        changed = json.loads(text)
        holder = changed
        for key in at[:-1]:
            holder = holder[key]
        if other is _GONE:
            del holder[at[-1]]
        else:
            holder[at[-1]] = other
        yield how, changed, "".join(f".{each}" for each in at if not isinstance(each, int))


_GONE = object()


def shape(mutant: Mutant, *, masked: Mapping[str, str]) -> tuple[str, str, str]:
    """Mutants of the same shape are the same fault in two environments or services."""
    text = json.dumps(mutant.resource.raw, sort_keys=True)
    for name, instead in masked.items():
        text = text.replace(name, instead)
    return text, mutant.how, str(mutant.place) + mutant.within
