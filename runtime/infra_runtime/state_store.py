"""State between deployments, in Systems Manager parameters."""

import json
from dataclasses import dataclass
from typing import Any, Protocol


class StateStore(Protocol):
    def get(self, key: str) -> Any:
        """None if nothing is stored."""
        ...

    def put(self, key: str, value: Any) -> None:
        """An empty value deletes the key."""
        ...


@dataclass(frozen=True)
class SsmStateStore:
    ssm: Any
    prefix: str
    """Begins with a slash and ends without one."""

    def get(self, key: str) -> Any:
        try:
            return json.loads(self.ssm.get_parameter(Name=f"{self.prefix}/{key}")["Parameter"]["Value"])
        except self.ssm.exceptions.ParameterNotFound:
            return None

    def put(self, key: str, value: Any) -> None:
        name = f"{self.prefix}/{key}"
        if not value:
            try:
                self.ssm.delete_parameter(Name=name)
            except self.ssm.exceptions.ParameterNotFound:
                return
            return
        self.ssm.put_parameter(
            Name=name,
            Value=json.dumps(value, sort_keys=True),
            Type="String",
            Overwrite=True,
            # A phase with many rules takes more than the four kilobytes of the free tier.
            Tier="Intelligent-Tiering",
        )

    def all(self, key: str) -> dict[str, Any]:
        """Everything stored below a key, by the rest of its name."""
        path = f"{self.prefix}/{key}/"
        pages = self.ssm.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True)
        return {
            each["Name"].removeprefix(path): json.loads(each["Value"]) for page in pages for each in page["Parameters"]
        }
