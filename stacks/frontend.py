"""The Next.js frontend."""

import aws_cdk as cdk

from config import Environment
from infra_constructs.amplify import AmplifyFrontend, AmplifyProps
from infra_constructs.service import Routing
from stacks import applications
from stacks.base import EnvironmentStack
from stacks.service import Around, ServiceExports, add_service


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
        around: Around,
    ) -> None:
        super().__init__(scope, id_, environment=environment, description="The Next.js frontend")
        domains, frontend = environment.domains, environment.frontend
        if frontend.ecs is not None:
            self.exports = add_service(
                self,
                application=applications.frontend(
                    environment, network=around.network, site=domains.site, api=domains.api
                ),
                around=around,
                routing=Routing(host=domains.site, priority=20),
            )
        elif frontend.amplify is not None:
            AmplifyFrontend(
                self,
                "Amplify",
                variables=applications.frontend_variables(environment, site=domains.site, api=domains.api),
                props=AmplifyProps(
                    repository_url=f"https://github.com/{frontend.amplify.repository}",
                    branch=frontend.amplify.branch,
                    access_token_secret=frontend.amplify.access_token_secret,
                ),
            )
