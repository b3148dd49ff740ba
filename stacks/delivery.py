"""Who may deploy and release."""

import aws_cdk as cdk

from config import Environment
from infra_constructs.cloudflare.media import STATIC
from infra_constructs.github import GitHubProvider, Workflows, deploy_role, drift_role, release_role
from infra_constructs.release.control import ReleaseControl, Released
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
        provider = GitHubProvider(self, "GitHub", is_ours=delivery.owns_oidc_provider)
        where = delivery.environment
        deploy_role(
            self,
            "Deploy",
            provider=provider,
            workflows=Workflows(repository=delivery.repository, environment=where),
            ledger=registry.ledger,
        )
        drift_role(
            self,
            "Drift",
            provider=provider,
            workflows=Workflows(repository=delivery.repository, environment=f"{where}-drift"),
        )
        repositories = {"api": delivery.backend, "frontend": delivery.frontend}
        for name, service in services.items():
            images, stack = registry.images[name], self.stack_called(name)
            control = ReleaseControl(
                self,
                f"{name.capitalize()}Releases",
                released=Released(
                    name=name,
                    stack=stack,
                    parameter=images.parameter_name,
                    repository=images.repository,
                    service=service.service,
                ),
                ledger=registry.ledger,
            )
            repository = repositories[name]
            assert repository is not None, "the configuration has seen to it"
            release_role(
                self,
                f"{name.capitalize()}Release",
                provider=provider,
                workflows=Workflows(repository=repository, environment=where),
                service=name,
                stacks=[stack, *(self.stack_called(each) for each in ("registry", "delivery", "data"))],
                repository=images.repository,
                control=control,
                ledger=registry.ledger,
                uploads=f"arn:aws:s3:::{environment.media.bucket}/{STATIC}*" if name == "frontend" else None,
            )
