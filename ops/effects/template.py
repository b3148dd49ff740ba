"""References in templates, and values as CloudFormation compares them."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Template = Mapping[str, Any]
Templates = Mapping[str, Template]
"""By the name of the stack, in order of deployment."""
_NO_VALUE = {"Ref": "AWS::NoValue"}
_IN_SUB = re.compile(r"\$\{([^!}][^}]*)\}")
# Another digest of an asset is another version of some code, which the code's own diff shows.
_ASSET = re.compile(r"\b[0-9a-f]{64}\b")


def references(node: Any) -> Iterator[tuple[str, str | None]]:
    """(logical id or parameter, attribute) of each `Ref`, `Fn::GetAtt` and `${…}` in it."""
    if isinstance(node, list):
        for each in node:
            yield from references(each)
    elif isinstance(node, Mapping):
        for key, value in node.items():
            if key == "Ref" and isinstance(value, str):
                yield value, None
            elif key == "Fn::GetAtt":
                name, _, attribute = value.partition(".") if isinstance(value, str) else (value[0], "", value[1])
                yield name, attribute if isinstance(attribute, str) else "*"
            elif key == "Fn::Sub":
                text, own = (value, {}) if isinstance(value, str) else (value[0], value[1])
                for found in _IN_SUB.findall(text):
                    name, _, attribute = found.strip().partition(".")
                    if name not in own:
                        yield name, attribute or None
                yield from references(list(own.values()))
            else:
                yield from references(value)


def values(node: Any, key: str) -> Iterator[Any]:
    """Values of a key, at any depth: a list may be an intrinsic function of lists."""
    if isinstance(node, list):
        for each in node:
            yield from values(each, key)
    elif isinstance(node, Mapping):
        for name, value in node.items():
            if name == key:
                yield value
            else:
                yield from values(value, key)


def imports(node: Any) -> Iterator[str]:
    """Names of the exports that it reads."""
    yield from map(key_of, values(node, "Fn::ImportValue"))


def exports(template: Template) -> dict[str, Any]:
    """Values by the names of the exports."""
    return {
        key_of(each["Export"]["Name"]): each["Value"]
        for each in template.get("Outputs", {}).values()
        if "Export" in each
    }


def key_of(name: Any) -> str:
    """A name of an export, which may be a function of others."""
    return name if isinstance(name, str) else json.dumps(name, sort_keys=True)


def is_function(node: Any) -> bool:
    """Whether only a deployment knows the value."""
    return isinstance(node, Mapping) and len(node) == 1 and next(iter(node)).startswith(("Ref", "Fn::"))


def resources(template: Template) -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = template.get("Resources", {})
    return {name: each for name, each in found.items() if each["Type"] != "AWS::CDK::Metadata"}


def conditions(node: Any) -> Iterator[str]:
    """Names of the conditions in it."""
    for name, *branches in values(node, "Fn::If"):
        yield name
        yield from conditions(branches)


def chosen(node: Any, holds: Mapping[str, bool]) -> Any:
    """Each `Fn::If` replaced by the branch that is taken, without `AWS::NoValue`. `holds` is by condition."""
    if isinstance(node, list):
        return [found for each in node if (found := chosen(each, holds)) != _NO_VALUE]
    if not isinstance(node, Mapping):
        return node
    match node:
        case {"Fn::If": [name, yes, no]}:
            return chosen(yes if holds[name] else no, holds)
    return {key: found for key, value in node.items() if (found := chosen(value, holds)) != _NO_VALUE}


def plain(node: Any, meaning: Mapping[str, str]) -> Any:
    """In a normal form: equal values are equal to CloudFormation, too. "100" is 100, "true" is true.

    `meaning` has what a reference resolves to, by its name: a parameter's definition, a replaced resource.
    """
    if isinstance(node, list):
        return [plain(each, meaning) for each in node]
    if isinstance(node, Mapping):
        found = {key: plain(value, meaning) for key, value in node.items()}
        marks = [meaning[each] for each in _behind(node) if each in meaning]
        return {**found, "\0": marks} if marks else found
    if isinstance(node, bool):
        return str(node).lower()
    if isinstance(node, float) and node.is_integer():
        return str(int(node))
    return _ASSET.sub("", str(node))


def _behind(node: Mapping[str, Any]) -> Iterator[str]:
    if len(node) != 1:
        return
    ((key, value),) = node.items()
    if key in ("Ref", "Fn::GetAtt", "Fn::Sub"):
        for name, attribute in references(node):
            yield name
            if attribute:
                yield f"{name}.{attribute}"
    elif key == "Fn::ImportValue":
        yield f"import {key_of(value)}"
    elif key == "Fn::If":
        yield f"condition {value[0]}"
    elif key == "Fn::FindInMap" and isinstance(value[0], str):
        yield f"mapping {value[0]}"
