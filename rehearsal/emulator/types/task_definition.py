"""AWS::ECS::TaskDefinition: MiniStack renames only some of the nested keys, so that secrets cannot be read back."""

from ministack.services.cloudformation import provisioners


def install() -> None:
    provisioners._normalize_container_defs = provisioners._pascal_to_camel
