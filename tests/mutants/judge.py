"""Who notices a mutant: our policies, or CloudFormation itself, which refuses what its schema refuses."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from ops.effects import schemas
from template_policies import Failure, Graph, Policy, Violation, policies
from template_policies.policy import EVERYTHING
from tests.mutants.templates import Mutant


@dataclass(frozen=True)
class Verdict:
    by: Policy | None
    """None: only CloudFormation's own schema, or nothing, rejects the mutant."""
    violation: Violation | None
    refused: str | None
    """Violations of CloudFormation's schema."""

    @property
    def failure(self) -> Failure | None:
        return self.by.failure if self.by is not None else None


def judge(graph: Graph, mutant: Mutant) -> Verdict:
    """Applies a mutant to a graph without violations, judges it and undoes it."""
    undo = mutant.apply()
    graph.forget(resources=not mutant.place)
    try:
        for each in _about(mutant.resource.type, mutant.changed):
            found = next(iter(each.violations(graph)), None)
            if found is not None:
                return Verdict(each, found, None)
        return Verdict(None, None, next(_refused(mutant), None))
    finally:
        undo()
        graph.forget(resources=not mutant.place)


@cache
def _about(kind: str, property_: str) -> list[Policy]:
    """Policies about the property. Those that read everything come last: they take longest."""
    found = [each for each in policies() if each.is_about(kind, property_)]
    return sorted(found, key=lambda each: EVERYTHING in each.reads)


@cache
def _schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((schemas._folder() / "resources" / f"{schemas._index()[kind]}.json").read_text())
    return found


def _refused(mutant: Mutant) -> Iterator[str]:
    """Missing required properties, and values that are not allowed."""
    kind = mutant.resource.type
    if not schemas.is_described(kind) or not mutant.place or mutant.place[0] != "Properties":
        return
    yield from _problems(_schema(kind), _schema(kind), mutant.resource.raw.get("Properties") or {})


def _problems(whole: dict[str, Any], schema: dict[str, Any], value: Any) -> Iterator[str]:
    while "$ref" in schema:
        schema = whole["definitions"][schema["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        if any(key == "Ref" or key.startswith("Fn::") for key in value):
            return
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{name} is required"
        for name, each in schema.get("properties", {}).items():
            if name in value:
                yield from _problems(whole, each, value[name])
        return
    if isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            yield f"at least {schema['minItems']}"
        for each in value:
            yield from _problems(whole, schema.get("items", {}), each)
        return
    yield from _out_of_bounds(schema, value)


def _out_of_bounds(schema: dict[str, Any], value: Any) -> Iterator[str]:
    allowed = schema.get("enum")
    if allowed is not None and value not in allowed:
        yield f"{value} is none of {allowed}"
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{value} is out of bounds"
