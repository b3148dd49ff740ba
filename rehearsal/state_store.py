"""The functions' state store in memory, without Systems Manager."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class InMemoryStateStore:
    """Keeps the functions' state for the lifetime of the process."""

    values: dict[str, Any] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def put(self, key: str, value: Any) -> None:
        self.values.pop(key, None)
        if value:
            self.values[key] = value
