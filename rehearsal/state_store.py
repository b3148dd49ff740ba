"""What the functions remember, without Systems Manager."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class InMemoryStateStore:
    """Of the functions, for as long as a process lives."""

    values: dict[str, Any] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def put(self, key: str, value: Any) -> None:
        self.values.pop(key, None)
        if value:
            self.values[key] = value
