"""The API."""

import aws_cdk as cdk

from config import Environment
from infra_constructs.media import grant_application
from infra_constructs.rotation import RestartOnRotation
from infra_constructs.service import Routing
from stacks import applications
from stacks.applications import Tenancy
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.redis import RedisExports
from stacks.service import Around, add_service


class ApiStack(EnvironmentStack):
    """Released often; a failed release rolls back alone, and in minutes."""

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        around: Around,
        data: DataExports,
        redis: RedisExports,
    ) -> None:
        super().__init__(scope, id_, environment=environment, description="The API: one blue/green Fargate service")
        domains, logins = environment.domains, data.logins
        tenancy = Tenancy(
            site=domains.site,
            api=domains.api,
            database=data.database.name,
            user=applications.login(logins.user),
            owner=applications.login(logins.owner),
            owner_login=logins.owner,
        )
        self.exports = add_service(
            self,
            application=applications.api(environment, network=around.network, data=data, redis=redis, tenancy=tenancy),
            around=around,
            routing=Routing(host=domains.api, priority=10),
        )
        for role in self.exports.task_roles:
            grant_application(data.media, role)
        RestartOnRotation(
            self,
            "RestartOnRotation",
            environment=self.environment_name,
            secret=logins.user,
            cluster=around.platform.cluster,
            service=self.exports.service,
            topics=around.platform.topics,
        )
