"""The Next.js frontend."""

import aws_cdk as cdk

from config import Environment
from infra_constructs.amplify import AmplifyFrontend, AmplifyProps
from infra_constructs.container_task import Settings
from infra_constructs.service import Routing
from stacks.base import EnvironmentStack
from stacks.network import NetworkExports
from stacks.platform import PlatformExports
from stacks.registry import RegistryExports
from stacks.service import ServiceExports, add_service


class FrontendStack(EnvironmentStack):
    """Hosted on ECS beside the API, or by Amplify; the environment's file says which.

    `exports` is None with Amplify: there is no service to watch.
    """

    exports: ServiceExports | None = None

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        network: NetworkExports,
        registry: RegistryExports,
        platform: PlatformExports,
    ) -> None:
        super().__init__(scope, id_, environment=environment, description="The Next.js frontend")
        variables = {
            "NEXT_PUBLIC_API_URL": f"https://{environment.domains.api}",
            "NEXT_PUBLIC_MEDIA_URL": f"https://{environment.domains.media}",
            "NEXT_PUBLIC_SITE_URL": f"https://{environment.domains.site}",
        }
        frontend = environment.frontend
        if frontend.ecs is not None:
            self.exports = add_service(
                self,
                name="frontend",
                service=frontend.ecs,
                network=network,
                platform=platform,
                registry=registry,
                access=network.frontend_access,
                routing=Routing(host=environment.domains.site, priority=20),
                settings=Settings(values=variables),
                checks=[],
            )
        elif frontend.amplify is not None:
            AmplifyFrontend(
                self,
                "Amplify",
                variables=variables,
                props=AmplifyProps(
                    repository_url=f"https://github.com/{frontend.amplify.repository}",
                    branch=frontend.amplify.branch,
                    access_token_secret=frontend.amplify.access_token_secret,
                ),
            )
