"""AWS::EC2::VPC: MiniStack forgets the attribute CidrBlock."""

from typing import Any

from simulators.aws.resource_type import extend


def install() -> None:
    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        physical_id, attributes = own["create"](logical_id, properties, stack_name)
        return physical_id, {**attributes, "CidrBlock": properties["CidrBlock"]}

    own = extend("AWS::EC2::VPC", create=create)
