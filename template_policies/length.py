"""How long AWS finds a value that CloudFormation has put together."""

import json
from typing import Any

# Ids are shorter, ARNs seldom longer.
_UNKNOWN = 100


def length(value: Any) -> int:
    """Characters of its JSON without white space; about so many where only CloudFormation knows them."""
    match value:
        case {"Fn::Join": [str(separator), list(parts)]}:
            return 2 + sum(length(each) - 2 for each in parts) + len(separator) * (len(parts) - 1)
        case {"Ref": _} | {"Fn::GetAtt": _} | {"Fn::ImportValue": _} | {"Fn::Select": _} | {"Fn::Sub": _}:
            return 2 + _UNKNOWN
        case dict():
            return _enclosed([length(key) + 1 + length(each) for key, each in value.items()])
        case list():
            return _enclosed([length(each) for each in value])
    return len(json.dumps(value))


def _enclosed(lengths: list[int]) -> int:
    return 2 + sum(lengths) + max(0, len(lengths) - 1)
