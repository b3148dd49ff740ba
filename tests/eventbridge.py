"""EventBridge's rules, as its user guide documents them: whether a pattern matches, and what a transformer makes of it.

Knows the comparisons that the templates use; anything else is a `KeyError`, never a match.
"""

import re
from collections.abc import Mapping
from typing import Any

# What intrinsic functions of the stacks under test stand for.
_PSEUDO = {"AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::AccountId": "111122223333"}


def resolved(node: Any) -> Any:
    """With `Fn::Join` and pseudo parameters in place; any other reference keeps its form."""
    if isinstance(node, Mapping):
        if set(node) == {"Ref"} and node["Ref"] in _PSEUDO:
            return _PSEUDO[node["Ref"]]
        if set(node) == {"Fn::Join"}:
            separator, parts = node["Fn::Join"]
            return separator.join(str(resolved(part)) for part in parts)
        return {key: resolved(value) for key, value in node.items()}
    return [resolved(each) for each in node] if isinstance(node, list) else node


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Every key of the pattern is in the event, with one of its values; of a list in the event, any element."""
    for key, wanted in pattern.items():
        if key == "$or":
            if not any(matches(each, event) for each in wanted):
                return False
            continue
        if key not in event:
            return False
        value = event[key]
        if isinstance(wanted, Mapping):
            if not isinstance(value, Mapping) or not matches(wanted, value):
                return False
        elif not any(_is(each, one) for each in wanted for one in (value if isinstance(value, list) else [value])):
            return False
    return True


def _is(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, Mapping):
        ((comparison, operand),) = wanted.items()
        if comparison != "prefix":
            raise KeyError(f"a comparison {comparison}")
        return isinstance(value, str) and value.startswith(operand)
    return bool(wanted == value)


def transformed(transformer: Mapping[str, Any], event: Mapping[str, Any]) -> str:
    """The target's input. A variable whose path is not in the event leaves nothing."""
    values = {name: _at(path, event) for name, path in transformer["InputPathsMap"].items()}
    return re.sub(r"<([\w.-]+)>", lambda found: values[found[1]], transformer["InputTemplate"])


def _at(path: str, event: Any) -> str:
    for part in path.removeprefix("$.").split("."):
        event = event.get(part, "") if isinstance(event, Mapping) else ""
    return str(event)
