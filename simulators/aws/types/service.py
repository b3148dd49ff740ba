"""AWS::ECS::Service: MiniStack completes a blue/green deployment at once, without tasks and without asking a hook."""

from typing import Any

from simulators.aws.ecs import api, deployment
from simulators.aws.resource_type import ResourceRefused, extend

# Other changes are taken over without new tasks.
_NEEDS_TASKS = ("TaskDefinition", "LoadBalancers", "NetworkConfiguration", "CapacityProviderStrategy")


def install() -> None:
    api.install()

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        arn, attributes = own["create"](logical_id, properties, stack_name)
        _deploy(arn)
        return arn, attributes

    def update(physical_id: str, old: dict[str, Any], new: dict[str, Any], *rest: Any) -> tuple[str, dict[str, Any]]:
        arn, attributes = own["update"](physical_id, old, new, *rest)
        needed = any(old.get(key) != new.get(key) for key in _NEEDS_TASKS)
        # A rollback to what ECS has gone back to by itself changes nothing.
        if needed and deployment.service(arn)["taskDefinition"] != deployment.serving(arn):
            _deploy(arn)
        return arn, attributes

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        deployment.end(physical_id)
        own["delete"](physical_id, properties)

    own = extend("AWS::ECS::Service", create=create, update=update, delete=delete)


def _deploy(arn: str) -> None:
    done = api.begin(arn, deployment.service(arn)["taskDefinition"])
    done.run()
    if (failure := done.failure) is not None:
        text = str(failure) if isinstance(failure, deployment.BreakerTripped) else f"ECS Deployment failed: {failure}"
        raise ResourceRefused(f"Resource handler returned message: Error occurred during operation '{text}'.")
