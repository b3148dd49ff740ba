"""Resources of one environment, and what they refer to, across its stacks. Plain templates: neither CDK nor account."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from config import Environment

Template = Mapping[str, Any]
Templates = Mapping[str, Template]
"""Templates by the stack's name without the environment: "Data"."""
IN_SUB = re.compile(r"\$\{([^!}][^}]*)\}")
# Attributes of a resource besides its properties. Any other name in a policy is a property.
ATTRIBUTES = ("Condition", "DeletionPolicy", "DependsOn", "Metadata", "UpdateReplacePolicy")


@dataclass(frozen=True)
class Violation:
    """One violation of one policy."""

    stack: str
    logical_id: str
    property: str
    """Path as in the template, "LoadBalancerAttributes" or "DeletionPolicy"; of a missing resource, its type."""
    message: str
    """What was found and what must be, in one line."""
    policy: str = ""


@dataclass(frozen=True, eq=False)
class Resource:
    graph: "Graph"
    stack: str
    logical_id: str
    raw: Mapping[str, Any]

    @property
    def type(self) -> str:
        kind: str = self.raw["Type"]
        return kind

    @property
    def where(self) -> str:
        return f"{self.stack}/{self.logical_id}"

    @property
    def properties(self) -> Mapping[str, Any]:
        """All properties, for policies that search everywhere."""
        self.graph.reads.add((self.type, "*"))
        found: Mapping[str, Any] = self.raw.get("Properties") or {}
        return found

    def get(self, path: str, default: Any = None) -> Any:
        """The value at "A.B", or the default where any part of it is missing or decided by a function."""
        first, *rest = path.split(".")
        self.graph.reads.add((self.type, first))
        found = (self.raw if first in ATTRIBUTES else self.raw.get("Properties") or {}).get(first)
        for key in rest:
            found = found.get(key) if isinstance(found, Mapping) else None
        return default if found is None else found

    def items(self, path: str) -> list[Any]:
        """The value as a list, also if the template has a single value or none."""
        found = self.get(path, [])
        return found if isinstance(found, list) else [found]

    def keyed(self, path: str) -> dict[str, Any]:
        """A list of {Key, Value}, like load balancer attributes, as a mapping."""
        return {each["Key"]: each.get("Value") for each in self.items(path) if "Key" in each}

    def target(self, path: str) -> "Resource | None":
        """The resource that the property refers to."""
        return self.graph.target(self.stack, self.get(path))

    def targets(self, path: str) -> list["Resource"]:
        """The resources that a list refers to; entries that refer to none are omitted."""
        found = [self.graph.target(self.stack, each) for each in self.items(path)]
        return [each for each in found if each is not None]

    def text(self, value: Any) -> str:
        return self.graph.text(self.stack, value)

    def violation(self, path: str, message: str) -> Violation:
        return Violation(self.stack, self.logical_id, path, message)

    def expect(self, path: str, *wanted: Any) -> Iterator[Violation]:
        """One violation, unless the value is one of these."""
        value = self.get(path)
        if value not in wanted or isinstance(value, bool) is not isinstance(wanted[0], bool):
            shown = "missing" if value is None else short(value)
            yield self.violation(path, f"is {shown}, must be {' or '.join(short(each) for each in wanted)}")

    def expect_between(self, path: str, least: float, most: float = float("inf")) -> Iterator[Violation]:
        value = number(self.get(path))
        if value is None or not least <= value <= most:
            limits = f"at least {least:g}" if most == float("inf") else f"between {least:g} and {most:g}"
            yield self.violation(path, f"is {short(self.get(path))}, must be {limits}")


@dataclass(frozen=True, eq=False)
class Graph:
    """The templates of one environment."""

    name: str
    environment: Environment
    templates: Templates
    reads: set[tuple[str, str]] = field(default_factory=set)
    """(type, property) of every property that was read: a test compares it with the policies' `reads`."""

    @cached_property
    def _by_type(self) -> Mapping[str, list[Resource]]:
        found: dict[str, list[Resource]] = {}
        for each in self.resources.values():
            found.setdefault(each.type, []).append(each)
        return found

    @cached_property
    def resources(self) -> Mapping[tuple[str, str], Resource]:
        """Resources by stack and logical id."""
        return {
            (stack, logical_id): Resource(self, stack, logical_id, raw)
            for stack, template in self.templates.items()
            for logical_id, raw in template["Resources"].items()
        }

    @cached_property
    def exports(self) -> Mapping[str, tuple[str, Any]]:
        """(stack, value) of each export, by its name."""
        return {
            output["Export"]["Name"]: (stack, output["Value"])
            for stack, template in self.templates.items()
            for output in template.get("Outputs", {}).values()
            if isinstance(output.get("Export", {}).get("Name"), str) and "Value" in output
        }

    @cached_property
    def used_by(self) -> Mapping[tuple[str, str], list[Resource]]:
        """Resources by the resource that their properties refer to."""
        found: dict[tuple[str, str], list[Resource]] = {}
        for each in self.resources.values():
            for target in {
                (one.stack, one.logical_id) for one in self.referred(each.stack, each.raw.get("Properties"))
            }:
                found.setdefault(target, []).append(each)
        return found

    def forget(self, *, resources: bool = True) -> None:
        """Drops values derived from a template that was changed in place. `resources`: one was added or removed."""
        for name in ("exports", "used_by", "memo", *(("_by_type", "resources") if resources else ())):
            self.__dict__.pop(name, None)

    @cached_property
    def memo(self) -> dict[str, Any]:
        """Caches values that several policies derive from the same templates."""
        return {}

    def of(self, *types: str) -> list[Resource]:
        for kind in types:
            self.reads.add((kind, "Type"))
        return [each for kind in types for each in self._by_type.get(kind, ())]

    def users(self, resource: Resource, kind: str) -> list[Resource]:
        """Resources of a type whose properties refer to this one."""
        self.reads.add((kind, "*"))
        return [each for each in self.used_by.get((resource.stack, resource.logical_id), ()) if each.type == kind]

    def functions(self, module: str) -> list[Resource]:
        """Lambda functions that run this module of infra_runtime."""
        return [
            each
            for each in self.of("AWS::Lambda::Function")
            if each.get("Handler") == f"infra_runtime.{module}.handler"
        ]

    def missing(self, kind: str, message: str, *, stack: str) -> Violation:
        """The violation of a stack that lacks a resource."""
        return Violation(stack, "", kind, message)

    def target(self, stack: str, value: Any) -> Resource | None:
        """What a `Ref`, a `Fn::GetAtt` or an import leads to; None for anything else."""
        match value:
            case {"Ref": str(name)}:
                return self.resources.get((stack, name))
            case {"Fn::GetAtt": [str(name), *_]}:
                return self.resources.get((stack, name))
            case {"Fn::ImportValue": str(name)} if name in self.exports:
                return self.target(*self.exports[name])
            case {"Fn::Select": [_, {"Fn::Split": [_, inner]}]}:
                return self.target(stack, inner)
        return None

    def referred(self, stack: str, value: Any) -> Iterator[Resource]:
        """Every resource that a value refers to, at any depth and through any function."""
        if isinstance(value, Mapping):
            found = self.target(stack, value)
            if found is not None:
                yield found
            elif isinstance(text := value.get("Fn::Sub"), str):
                for name in IN_SUB.findall(text):
                    if (other := self.resources.get((stack, name.partition(".")[0]))) is not None:
                        yield other
            else:
                for each in value.values():
                    yield from self.referred(stack, each)
        elif isinstance(value, list):
            for each in value:
                yield from self.referred(stack, each)

    def refers_to(self, stack: str, value: Any, *types: str) -> bool:
        """Whether a value refers to a resource of one of these types."""
        return any(each.type in types for each in self.referred(stack, value))

    def text(self, stack: str, value: Any) -> str:
        """One text of a value made by functions, with {Stack/LogicalId.Attribute} where only CloudFormation knows."""
        match value:
            case str():
                return value
            case {"Fn::Join": [str(separator), list(parts)]}:
                return separator.join(self.text(stack, each) for each in parts)
            case {"Fn::ImportValue": str(name)} if name in self.exports:
                return self.text(*self.exports[name])
            case {"Ref": "AWS::Region"}:
                return self.environment.aws.region
            case {"Ref": "AWS::AccountId"}:
                return self.environment.aws.account
            case {"Ref": "AWS::Partition"}:
                return "aws"
            case {"Ref": str(name)}:
                return f"{{{stack}/{name}}}"
            case {"Fn::GetAtt": [name, attribute]}:
                return f"{{{stack}/{name}.{attribute}}}"
        return json.dumps(value, sort_keys=True)


def short(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return text if len(text) <= 120 else f"{text[:117]}..."


def shown_or(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in sorted(found.items())) or "nothing"


def number(value: Any) -> float | None:
    """A number, or a text that contains one, as CloudFormation allows; otherwise None."""
    try:
        return None if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return None


def list_of(value: Any) -> list[Any]:
    """The value as a list: IAM's documents have a single value or a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def graphs(templates: Templates, environments: Mapping[str, Environment]) -> list[Graph]:
    """One graph for each environment, from templates by "environment/Stack", as in a cloud assembly."""
    return [
        Graph(
            name,
            environment,
            {where.partition("/")[2]: each for where, each in templates.items() if where.partition("/")[0] == name},
        )
        for name, environment in environments.items()
    ]
