"""EventBridge's event patterns and input transformers, as its user guide documents them.

Knows only the comparisons that the templates use; any other one is a `KeyError`, never a match.
"""

import re
from collections.abc import Mapping
from typing import Any

# Values of pseudo parameters in the stacks under test.
_PSEUDO = {"AWS::Partition": "aws", "AWS::Region": "eu-central-1", "AWS::AccountId": "111122223333"}


def resolved(node: Any) -> Any:
    """Resolves `Fn::Join` and pseudo parameters; leaves any other reference as it is."""
    if isinstance(node, Mapping):
        if set(node) == {"Ref"} and node["Ref"] in _PSEUDO:
            return _PSEUDO[node["Ref"]]
        if set(node) == {"Fn::Join"}:
            separator, parts = node["Fn::Join"]
            return separator.join(str(resolved(part)) for part in parts)
        return {key: resolved(value) for key, value in node.items()}
    return [resolved(each) for each in node] if isinstance(node, list) else node


def matches(pattern: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    """Whether the event has every key of the pattern, with one of its values. In a list, any element may match."""
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
    """The target's input. A variable whose path is not in the event is empty."""
    values = {name: _at(path, event) for name, path in transformer["InputPathsMap"].items()}
    return re.sub(r"<([\w.-]+)>", lambda found: values[found[1]], transformer["InputTemplate"])


def _at(path: str, event: Any) -> str:
    for part in path.removeprefix("$.").split("."):
        event = event.get(part, "") if isinstance(event, Mapping) else ""
    return str(event)
