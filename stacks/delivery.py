"""Who may deploy and release."""

import aws_cdk as cdk

from config import Environment
from infra_constructs.github import GitHubDeployRole, GitHubProps
from infra_constructs.release.control import Released, ReleaseControl
from stacks.base import EnvironmentStack
from stacks.registry import RegistryExports
from stacks.service import ServiceExports


class DeliveryStack(EnvironmentStack):
    """Access for this repository's own pipeline and for those of the applications; and what begins releases."""

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        registry: RegistryExports,
        services: dict[str, ServiceExports],
    ) -> None:
        super().__init__(scope, id_, environment=environment, description="Who may deploy and release, from GitHub")
        delivery = environment.delivery
        GitHubDeployRole(
            self,
            "Deploy",
            props=GitHubProps(
                repository=delivery.repository,
                environment=delivery.environment,
                owns_provider=delivery.owns_oidc_provider,
            ),
        )
        ReleaseControl(
            self,
            "Releases",
            services={
                name: Released(
                    stack=f"{self.product}-{self.environment_name}-{name}",
                    parameter=registry.images[name].parameter_name,
                    repository=registry.images[name].repository,
                    service=each.service,
                )
                for name, each in services.items()
            },
            ledger=registry.ledger,
        )
