"""The API."""

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs

from config import Environment
from infra_constructs.media import grant_application
from infra_constructs.rotation import RestartOnRotation
from infra_constructs.service import Routing, Settings
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.network import NetworkExports
from stacks.platform import PlatformExports
from stacks.redis import RedisExports
from stacks.registry import RegistryExports
from stacks.service import add_service


class ApiStack(EnvironmentStack):
    """Released often; a failed release rolls back alone, and in minutes."""

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        network: NetworkExports,
        data: DataExports,
        redis: RedisExports,
        registry: RegistryExports,
        platform: PlatformExports,
    ) -> None:
        super().__init__(scope, id_, environment=environment, description="The API: one blue/green Fargate service")
        database = data.database
        self.exports = add_service(
            self,
            service=environment.api,
            platform=platform,
            access=network.api_access,
            routing=Routing(host=environment.domains.api, priority=10),
            images=registry.api,
            bootstrap_image=environment.bootstrap_image,
            settings=Settings(
                # PG*: the names that libpq and node-postgres read by themselves.
                values={
                    "PGHOST": database.instance.db_instance_endpoint_address,
                    "PGPORT": str(database.port),
                    "PGDATABASE": database.name,
                    "PGSSLMODE": "verify-full",
                    "MEDIA_BUCKET": data.media.bucket_name,
                    "MEDIA_URL": f"https://{environment.domains.media}",
                    "SITE_URL": f"https://{environment.domains.site}",
                },
                secrets={
                    "PGUSER": ecs.Secret.from_secrets_manager(database.login, "username"),
                    "PGPASSWORD": ecs.Secret.from_secrets_manager(database.login, "password"),
                    "REDIS_URL": ecs.Secret.from_secrets_manager(redis.url),
                },
            ),
        )
        grant_application(data.media, self.exports.task_role)
        RestartOnRotation(
            self,
            "RestartOnRotation",
            secret=database.login,
            cluster=platform.cluster,
            service=self.exports.service,
            topics=platform.topics,
        )
