"""Who may deploy."""

import aws_cdk as cdk

from config import Environment
from infra_constructs.github import GitHubDeployRole, GitHubProps
from stacks.base import EnvironmentStack


class DeliveryStack(EnvironmentStack):
    """Access for this repository's own pipeline; deployed once by hand, by whoever bootstraps the account."""

    def __init__(self, scope: cdk.Stage, id_: str, *, environment: Environment) -> None:
        super().__init__(scope, id_, environment=environment, description="Who may deploy from GitHub")
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
