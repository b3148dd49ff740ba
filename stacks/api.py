"""The API."""

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_secretsmanager as secretsmanager

from config import Environment
from infra_constructs.container_task import Settings
from infra_constructs.media import grant_application
from infra_constructs.release.migration import MigrationProps
from infra_constructs.rotation import RestartOnRotation
from infra_constructs.service import Routing
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.network import NetworkExports
from stacks.platform import PlatformExports
from stacks.redis import RedisExports
from stacks.registry import RegistryExports
from stacks.service import Migrations, add_service


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
        database, api = data.database, environment.api
        # PG*: the names that libpq and node-postgres read by themselves.
        place = {
            "PGHOST": database.instance.db_instance_endpoint_address,
            "PGPORT": str(database.port),
            "PGDATABASE": database.name,
            "PGSSLMODE": "verify-full",
        }
        self.exports = add_service(
            self,
            name="api",
            service=api,
            network=network,
            platform=platform,
            registry=registry,
            access=network.api_access,
            routing=Routing(host=environment.domains.api, priority=10),
            settings=Settings(
                values={
                    **place,
                    "PG_POOL_MAX": str(api.database_connections),
                    "MEDIA_BUCKET": data.media.bucket_name,
                    "MEDIA_URL": f"https://{environment.domains.media}",
                    "SITE_URL": f"https://{environment.domains.site}",
                },
                secrets={**_login(data.logins.user), "REDIS_URL": ecs.Secret.from_secrets_manager(redis.url)},
            ),
            checks=["database", "redis"],
            migrations=Migrations(
                settings=Settings(values=place, secrets=_login(data.logins.owner)),
                props=MigrationProps(
                    command=api.migrations.command, longest=cdk.Duration.minutes(api.migrations.minutes)
                ),
            ),
        )
        for role in self.exports.task_roles:
            grant_application(data.media, role)
        RestartOnRotation(
            self,
            "RestartOnRotation",
            secret=data.logins.user,
            cluster=platform.cluster,
            service=self.exports.service,
            topics=platform.topics,
        )


def _login(secret: secretsmanager.ISecret) -> dict[str, ecs.Secret]:
    return {
        "PGUSER": ecs.Secret.from_secrets_manager(secret, "username"),
        "PGPASSWORD": ecs.Secret.from_secrets_manager(secret, "password"),
    }
