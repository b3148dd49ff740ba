"""A site that AWS Amplify hosts."""

import aws_cdk as cdk

from config import Environment
from infra_constructs.amplify import AmplifyProps, AmplifySite
from stacks.base import EnvironmentStack
from stacks.settings import site_variables


class AmplifySiteStack(EnvironmentStack):
    """Amplify builds it from its repository with every push; nothing of ours is released."""

    def __init__(self, scope: cdk.Stage, id_: str, *, environment: Environment, service: str) -> None:
        super().__init__(
            scope, id_, environment=environment, description=f"{service}: a site on Amplify", called=service
        )
        amplify = environment.services[service].amplify
        assert amplify is not None
        AmplifySite(
            self,
            "Amplify",
            variables=site_variables(environment, self.environment_name, service),
            props=AmplifyProps(
                repository_url=f"https://github.com/{amplify.repository}",
                branch=amplify.branch,
                access_token_secret=amplify.access_token_secret,
            ),
        )
