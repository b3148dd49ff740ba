"""AWS::Lambda::Function: without its layers, which hold libraries for ARM; here the same are installed beside us."""

from typing import Any

from rehearsal.emulator.resource_type import extend


def install() -> None:
    def bare(properties: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in properties.items() if key != "Layers"}

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> Any:
        return own["create"](logical_id, bare(properties), stack_name)

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> Any:
        return own["update"](physical_id, bare(old), bare(new), *rest)

    own = extend("AWS::Lambda::Function", create=create, update=update)
