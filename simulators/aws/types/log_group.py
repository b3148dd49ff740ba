"""AWS::Logs::LogGroup: MiniStack makes up a name of its own kind, and cannot delete a group while others write."""

import uuid
from contextlib import suppress
from typing import Any

from simulators.aws.resource_type import extend

_TRIES = 100


def install() -> None:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        # Stack, logical id and something random, as CloudFormation's provider makes it (its repository's #32).
        name = f"{stack_name}-{logical_id}-{uuid.uuid4().hex[:12]}"
        made: tuple[str, dict[str, Any]] = own["create"](logical_id, {"LogGroupName": name, **properties}, stack_name)
        return made

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> tuple[str, dict[str, Any]]:
        kept = {} if "LogGroupName" in old else {"LogGroupName": physical_id}
        made: tuple[str, dict[str, Any]] = own["update"](physical_id, {**kept, **old}, {**kept, **new}, *rest)
        return made

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        for _ in range(_TRIES):
            # It looks through the records of every group, while others write theirs.
            with suppress(RuntimeError):
                own["delete"](physical_id, properties)
                return
        own["delete"](physical_id, properties)

    own = extend("AWS::Logs::LogGroup", create=create, update=update, delete=delete)
