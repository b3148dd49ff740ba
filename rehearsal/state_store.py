"""What the functions remember, without Systems Manager."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class InMemoryStateStore:
    """What functions remember, for as long as the process lives."""

    values: dict[str, Any] = field(default_factory=dict)

    def get(self, key: str) -> Any:
        return self.values.get(key)

    def put(self, key: str, value: Any) -> None:
        self.values.pop(key, None)
        if value:
            self.values[key] = value
