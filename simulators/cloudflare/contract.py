"""What Cloudflare's API accepts, derived from the installed `cloudflare` SDK, itself made from the OpenAPI document.

For each operation: the query's parameters and a strict JSON Schema of the body. What it cannot know (values of
settings, names of headers, plans, the language of expressions) the simulator has to.
"""

import ast
import datetime
import importlib
import json
import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cloudflare
import jsonschema_rs
import typing_extensions as te
from cloudflare._utils import PropertyInfo

_SDK = Path(cloudflare.__file__).parent
_OPERATION = re.compile(
    r'<code title="(\w+) ([^"]+)">client\.[\w.]+\.<a href="\./src/cloudflare/(resources/[^"]+)">(\w+)</a>\('
)
_PARAMETERS = re.compile(r'\*<a href="src/cloudflare/(types/[^"]+)">params</a>')
_ATOMS: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
    datetime.datetime: {"type": "string"},
    datetime.date: {"type": "string"},
    object: {},
    Any: {},
}


@dataclass(frozen=True)
class _Operation:
    method: str
    path: re.Pattern[str]
    resource: str
    function: str
    parameters: str | None
    placeholders: int


@dataclass
class Contract:
    """Checks requests against the SDK's types, without network."""

    _validators: dict[tuple[str, str], Any] = field(default_factory=dict)

    def violations(self, method: str, path: str, query: typing.Mapping[str, str], body: Any) -> list[str]:
        """Violations of one request, with the path without the API's base; empty if it is valid."""
        operation = _find(method, path)
        if operation is None:
            return [f"no operation {method} {path}"]
        known, validate = self._validator(operation)
        unknown = [f"query: no parameter {name}" for name in query if name.partition(".")[0] not in known]
        if validate is None:
            return unknown + (["a body where there is none"] if body else [])
        return unknown + [
            f"{'/'.join(map(str, error.instance_path)) or 'body'}: {error.message[:200]}"
            for error in validate.iter_errors(body)
        ]

    def _validator(self, operation: _Operation) -> tuple[set[str], Any]:
        key = (operation.resource, operation.function)
        if key not in self._validators:
            self._validators[key] = _schema_of(operation)
        found: tuple[set[str], Any] = self._validators[key]
        return found


@cache
def _operations() -> list[_Operation]:
    return [each for listing in sorted(_SDK.glob("resources/**/api.md")) for each in _listed(listing)]


def _listed(listing: Path) -> Iterator[_Operation]:
    for line in listing.read_text().splitlines():
        if not (found := _OPERATION.search(line)):
            continue
        method, path, resource, function = found.groups()
        parameters = _PARAMETERS.search(line)
        path = path.replace("{accounts_or_zones}/{account_or_zone_id}", "(?:zones|accounts)/[^/]+")
        pattern = re.compile(re.sub(r"\{\w+\}", "[^/]+", path))
        yield _Operation(
            method.upper(), pattern, resource, function, parameters and parameters.group(1), line.count("{")
        )


def _find(method: str, path: str) -> _Operation | None:
    """Literal paths before those with placeholders."""
    found = [each for each in _operations() if each.method == method and each.path.fullmatch(path)]
    return min(found, key=lambda each: each.placeholders, default=None)


def _schema_of(operation: _Operation) -> tuple[set[str], Any]:
    body, query = _arguments(operation)
    if operation.parameters is None:
        return query, None
    module = importlib.import_module("cloudflare." + operation.parameters.removesuffix(".py").replace("/", "."))
    declared = getattr(module, module.__all__[0])
    aliases = {
        _alias(name, hint) for each in _variants(declared) for name, hint in _hints(each).items() if name in query
    }
    if body is None:
        return aliases | query, None
    definitions: dict[str, Any] = {}
    if isinstance(body, str) and body not in _hints(declared):
        # A multipart form: only the type names its fields.
        inside = {name for name in _hints(declared) if not name.endswith("_id")} - query - {"files"}
        schemas = [_object(declared, definitions, only=inside)]
    elif isinstance(body, str):  # The body is one parameter, not an object of parameters.
        schemas = [_schema(_hints(declared)[body], definitions)]
    else:
        schemas = [_object(each, definitions, only=body) for each in _variants(declared)]
    schema = {"anyOf": schemas, "$defs": definitions}
    return aliases | query, jsonschema_rs.validator_for(json.loads(json.dumps(schema)))


def _arguments(operation: _Operation) -> tuple[set[str] | str | None, set[str]]:
    """(keys of the body, or the one parameter that is the body; names in the query), from the SDK's own code."""
    body: set[str] | str | None = None
    query: set[str] = set()
    for node in ast.walk(_function(operation)):
        if not isinstance(node, ast.keyword) or node.arg not in ("body", "query"):
            continue
        value: ast.expr = node.value
        if isinstance(value, ast.Call) and "maybe_transform" in ast.unparse(value.func):
            value = value.args[0]
        if isinstance(value, ast.Dict):
            keys = {key.value for key in value.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
            if node.arg == "body":
                body = keys
            else:
                query = keys
        elif node.arg == "body" and isinstance(value, ast.Name) and value.id != "object":
            body = value.id
    return body, query


def _function(operation: _Operation) -> ast.FunctionDef:
    for node in ast.parse((_SDK / operation.resource).read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name.endswith("Resource") and not node.name.startswith("Async"):
            # Overloads come first; the last one is what they share.
            found = [
                each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == operation.function
            ]
            if found:
                return found[-1]
    raise LookupError(f"{operation.resource} has no {operation.function}")


def _variants(declared: Any) -> list[Any]:
    if te.get_origin(declared) in (typing.Union, types.UnionType):
        return [each for each in te.get_args(declared) if te.is_typeddict(each)]
    return [declared]


@cache
def _hints(declared: Any) -> dict[str, Any]:
    return te.get_type_hints(declared, include_extras=True)


def _alias(name: str, hint: Any) -> str:
    """The name on the wire."""
    if te.get_origin(hint) is te.Annotated:
        inner, *notes = te.get_args(hint)
        for note in notes:
            if isinstance(note, PropertyInfo) and note.alias:
                return str(note.alias)
        return _alias(name, inner)
    if te.get_origin(hint) in (te.Required, te.NotRequired):
        return _alias(name, te.get_args(hint)[0])
    return name


def _object(declared: Any, definitions: dict[str, Any], *, only: set[str] | None = None) -> dict[str, Any]:
    properties, required = {}, []
    for name, hint in _hints(declared).items():
        if only is not None and name not in only:
            continue
        alias = _alias(name, hint)
        properties[alias] = _schema(hint, definitions)
        if name in declared.__required_keys__:
            required.append(alias)
    if {"action", "expression"} <= set(properties):
        # The rule's type is a union by its action: without it, every kind of rule would pass as any other.
        required = sorted({*required, "action"})
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _schema(hint: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if hint in _ATOMS:
        return _ATOMS[hint]
    origin, arguments = te.get_origin(hint), te.get_args(hint)
    if origin in (te.Annotated, te.Required, te.NotRequired):
        return _schema(arguments[0], definitions)
    if origin in (typing.Literal, te.Literal):
        return {"enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema(each, definitions) for each in arguments]}
    if isinstance(hint, te.TypeAliasType):
        return _schema(hint.__value__, definitions)
    if te.is_typeddict(hint):
        name = f"{hint.__module__}.{hint.__qualname__}".replace(".", "_")
        if name not in definitions:
            definitions[name] = {}  # The type may be recursive.
            definitions[name] = _object(hint, definitions)
        return {"$ref": f"#/$defs/{name}"}
    if origin is dict or getattr(origin, "__name__", "") in ("Mapping", "dict"):
        return {"type": "object", "additionalProperties": _schema(arguments[1], definitions)}
    if getattr(origin, "__name__", "") in ("list", "tuple", "Iterable", "Sequence", "SequenceNotStr", "List"):
        return {"type": "array", "items": _schema(arguments[0], definitions)}
    raise TypeError(f"the SDK has a type that this contract does not know: {hint}")
