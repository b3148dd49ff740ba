"""Fields of a JSON answer, by dotted name."""

import json
from collections.abc import Mapping
from typing import Any


def field_of(document: Any, name: str) -> str | None:
    """The field's value as text; None where there is no such field."""
    for part in name.split("."):
        if not isinstance(document, Mapping) or part not in document:
            return None
        document = document[part]
    return document if isinstance(document, str) else json.dumps(document)
