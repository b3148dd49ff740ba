"""Which properties CloudFormation cannot change in place: the provider schemas that cfn-lint ships.

documented.json has the replacements that AWS's resource specification documents and no schema has, about one in forty.
One of the two is out of date, and only AWS knows which: those count as conditional (docs/adr/0034).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ops.errors import OperatorError

DOCUMENTED = Path(__file__).with_name("documented.json")
"""Written by tools/documented_updates.py."""
# Where a type is offered has nothing to do with how it changes; us-east-1 has nearly all.
_REGION = "us-east-1"
Pointer = tuple[str, ...]
"""Path of a property, `*` for every item of a list or a map: ("NetworkConfiguration", "SubnetIds")."""


@dataclass(frozen=True)
class Schema:
    create_only: tuple[Pointer, ...]
    """A change replaces the resource."""
    conditional: tuple[Pointer, ...]
    """A change replaces it under conditions that the schema does not state."""
    identifier: tuple[str, ...]
    """Names of the properties by which the service knows the resource, read-only ones included."""
    is_deleted_first: bool
    """CloudFormation deletes the old one before it creates the new one. Usually it is the other way round."""
    properties: frozenset[str]


def is_described(type_: str) -> bool:
    """False for custom resources, and for types of other vendors."""
    return type_ in _index()


@cache
def schema(type_: str) -> Schema:
    """Raises `KeyError` if nothing describes the type."""
    found = json.loads((_folder() / "resources" / f"{_index()[type_]}.json").read_text())
    return Schema(
        create_only=_pointers(found.get("createOnlyProperties", ())),
        conditional=_pointers(found.get("conditionalCreateOnlyProperties", ())),
        identifier=tuple(pointer[-1] for pointer in _pointers(found["primaryIdentifier"])),
        is_deleted_first=found.get("replacementStrategy") == "delete_then_create",
        properties=frozenset(found["properties"]),
    )


@cache
def documented() -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = json.loads(DOCUMENTED.read_text())
    return found


def _pointers(found: Any) -> tuple[Pointer, ...]:
    return tuple(tuple(pointer.split("/")[2:]) for pointer in found)


@cache
def _folder() -> Path:
    spec = find_spec("cfnlint")  # importing it takes half a second
    if spec is None or not spec.submodule_search_locations:
        raise OperatorError("cfn-lint is not installed: make setup")
    return Path(spec.submodule_search_locations[0]) / "data" / "schemas"


@cache
def _index() -> Mapping[str, str]:
    found: dict[str, str] = json.loads((_folder() / "providers" / f"{_REGION}.json").read_text())
    return found
