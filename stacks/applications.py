"""The two applications: what each is told about its surroundings, for users and in a preview."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_secretsmanager as secretsmanager

from config import Environment
from config.model import Sentry, SentryProject
from infra_constructs.cloudflare.analytics_proxy import ANALYTICS_PATH
from infra_constructs.container_task import Settings
from infra_constructs.release.migration import MigrationProps
from stacks.data import DataExports
from stacks.network import NetworkExports
from stacks.redis import RedisExports
from stacks.service import Application, Migrations


@dataclass(frozen=True, kw_only=True)
class Tenancy:
    """Where users find it, and what of database and Redis is its own."""

    site: str
    """Host."""
    api: str
    """Host."""
    database: str
    user: Settings
    """PGUSER and PGPASSWORD."""
    owner: Settings
    """The same, for migrations."""
    owner_login: secretsmanager.ISecret
    key_prefix: str | None = None
    """Begins every key in Redis."""


def login(secret: secretsmanager.ISecret) -> Settings:
    """A login that takes turns with another, so that the secret holds its name, too."""
    fields = {"PGUSER": "username", "PGPASSWORD": "password"}
    return Settings(secrets={name: ecs.Secret.from_secrets_manager(secret, field) for name, field in fields.items()})


def api(
    environment: Environment, *, network: NetworkExports, data: DataExports, redis: RedisExports, tenancy: Tenancy
) -> Application:
    database, service = data.database, environment.api
    # PG*: the names that libpq and node-postgres read by themselves.
    place = {
        "PGHOST": database.instance.db_instance_endpoint_address,
        "PGPORT": str(database.port),
        "PGDATABASE": tenancy.database,
        "PGSSLMODE": "verify-full",
    }
    return Application(
        name="api",
        service=service,
        access=network.api_access,
        settings=Settings(
            values={
                **place,
                **tenancy.user.values,
                "PG_POOL_MAX": str(service.database_connections),
                "MEDIA_BUCKET": data.media.bucket_name,
                "MEDIA_URL": f"https://{environment.domains.media}",
                "SITE_URL": f"https://{tenancy.site}",
                **({"REDIS_KEY_PREFIX": tenancy.key_prefix} if tenancy.key_prefix else {}),
            },
            secrets={**tenancy.user.secrets, "REDIS_URL": ecs.Secret.from_secrets_manager(redis.url)},
        ),
        checks=["database", "redis"],
        sentry_dsn=environment.sentry.api.dsn if environment.sentry else None,
        errors_at=_issues(environment.sentry, environment.sentry.api) if environment.sentry else None,
        migrations=Migrations(
            settings=Settings(values={**place, **tenancy.owner.values}, secrets=tenancy.owner.secrets),
            login=tenancy.owner_login,
            props=MigrationProps(
                command=service.migrations.command, longest=cdk.Duration.minutes(service.migrations.minutes)
            ),
        ),
    )


def frontend_variables(environment: Environment, *, site: str, api: str) -> dict[str, str]:
    """By the names under which Next.js puts them into the browser's code at a build, too."""
    return {
        "NEXT_PUBLIC_API_URL": f"https://{api}",
        "NEXT_PUBLIC_MEDIA_URL": f"https://{environment.domains.media}",
        "NEXT_PUBLIC_SITE_URL": f"https://{site}",
        **_posthog(environment, site),
    }


def _posthog(environment: Environment, site: str) -> dict[str, str]:
    """Of what users do; what is tried in a preview is not counted."""
    if environment.posthog is None or site != environment.domains.site:
        return {}
    return {
        "NEXT_PUBLIC_POSTHOG_KEY": environment.posthog.project_key,
        "NEXT_PUBLIC_POSTHOG_HOST": f"https://{site}{ANALYTICS_PATH}",
        # Where people look at it; links of the toolbar go there.
        "NEXT_PUBLIC_POSTHOG_UI_HOST": f"https://{environment.posthog.region}.posthog.com",
    }


def frontend(environment: Environment, *, network: NetworkExports, site: str, api: str) -> Application:
    """Of an environment whose site is on ECS."""
    service = environment.frontend.ecs
    assert service is not None
    return Application(
        name="frontend",
        service=service,
        access=network.frontend_access,
        settings=Settings(values=frontend_variables(environment, site=site, api=api)),
        checks=[],
        sentry_dsn=environment.sentry.frontend.dsn if environment.sentry else None,
        errors_at=_issues(environment.sentry, environment.sentry.frontend) if environment.sentry else None,
    )


def _issues(sentry: Sentry, project: SentryProject) -> str:
    number = project.dsn.rpartition("/")[2]
    return f"https://{sentry.organization}.sentry.io/issues/?project={number}"
