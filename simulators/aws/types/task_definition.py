"""AWS::ECS::TaskDefinition: MiniStack renames only some of the nested keys, and forgets the platform."""

from typing import Any

from ministack.services import ecs
from ministack.services.cloudformation import provisioners

from simulators.aws.resource_type import complete


def install() -> None:
    provisioners._normalize_container_defs = provisioners._pascal_to_camel
    complete("AWS::ECS::TaskDefinition", _complete)


def _complete(physical_id: str, properties: dict[str, Any]) -> None:
    definition = ecs._task_defs[ecs._resolve_td_key(physical_id)]
    definition["volumes"] = provisioners._pascal_to_camel(properties.get("Volumes", []))
    definition["runtimePlatform"] = provisioners._pascal_to_camel(properties.get("RuntimePlatform", {}))
