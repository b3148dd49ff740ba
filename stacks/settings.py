"""A service's environment variables: its own variables and secrets, and those that the infrastructure adds."""

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from config import Environment, previews, variables
from config.model import SentryService
from infra_constructs.cloudflare.analytics_proxy import ANALYTICS_PATH
from infra_constructs.container_task import ContainerEnvironment, SecretValue
from infra_constructs.release.image import ReleasedImage
from infra_runtime.contract.database_names import URL
from stacks.data import DataExports
from stacks.redis import RedisExports


@dataclass(frozen=True, kw_only=True)
class Bindings:
    """A service's database, logins and Redis key prefix: for users, or in one preview slot."""

    database: str
    user: ContainerEnvironment
    """PGUSER, PGPASSWORD and DATABASE_URL."""
    owner: ContainerEnvironment
    """The same variables with the owner's login, for migrations."""
    owner_login: secretsmanager.ISecret
    slot: int | None = None
    key_prefix: str | None = None
    """Beginning of every key in Redis."""


def for_users(data: DataExports) -> Bindings:
    return Bindings(
        database=data.database.name,
        user=_login(data.logins.user),
        owner=_login(data.logins.owner),
        owner_login=data.logins.owner,
    )


def _login(secret: secretsmanager.ISecret) -> ContainerEnvironment:
    """A rotated login: two users take turns, so the secret also holds the user name."""
    fields = {"PGUSER": "username", "PGPASSWORD": "password", "DATABASE_URL": URL}
    return ContainerEnvironment(secrets={name: SecretValue(secret, field) for name, field in fields.items()})


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Sources of the variables of an environment's services."""

    environment: Environment
    name: str
    """Name of the environment."""
    data: DataExports
    redis: RedisExports
    bindings: Bindings

    def service(self, scope: Construct, service: str, *, image: ReleasedImage) -> ContainerEnvironment:
        """Variables and secrets of the service's containers."""
        return self._all(scope, service, image=image, login=self.bindings.user)

    def migrations(self, scope: Construct, service: str, *, image: ReleasedImage) -> ContainerEnvironment:
        """Variables and secrets of the service's migrations: the same, with the login that owns the tables."""
        return self._all(scope, service, image=image, login=self.bindings.owner)

    def _all(
        self, scope: Construct, service: str, *, image: ReleasedImage, login: ContainerEnvironment
    ) -> ContainerEnvironment:
        environment, own = self.environment, self.environment.services[service]
        values: dict[str, str] = {}
        secrets: dict[str, SecretValue] = {}
        if "database" in own.needs:
            # PG*: libpq and node-postgres read these names themselves.
            values |= {
                "PGHOST": self.data.database.instance.db_instance_endpoint_address,
                "PGPORT": str(self.data.database.port),
                "PGDATABASE": self.bindings.database,
                "PGSSLMODE": "verify-full",
                "PG_POOL_MAX": str(own.database_connections),
                **login.values,
            }
            secrets |= login.secrets
        if "redis" in own.needs:
            secrets["REDIS_URL"] = SecretValue(self.redis.url)
        if "queue" in own.needs:
            # A preview's queue is in the cache: its jobs may be lost, and the environment's workers must not take them.
            queue = self.redis.queue if self.bindings.slot is None else self.redis.url
            assert queue is not None, "config.rules requires it"
            secrets["REDIS_QUEUE_URL"] = SecretValue(queue)
        if self.bindings.key_prefix is not None and {"redis", "queue"} & set(own.needs):
            values["REDIS_KEY_PREFIX"] = self.bindings.key_prefix
        if "media" in own.needs:
            values |= media_variables(environment, self.data)
        if own.sentry is not None and self.bindings.slot is None:
            values |= _sentry(own.sentry, self.name)
            released = own.runs or service
            # A site's build sets its own SENTRY_RELEASE, so that its browser code reports the same one.
            if not environment.services[released].site:
                values["SENTRY_RELEASE"] = f"{released}@{image.digest}"
        for key, (secret, field) in variables.secrets(environment, service).items():
            named = secretsmanager.Secret.from_secret_name_v2(scope, f"Secret{key}", secret)
            secrets[key] = SecretValue(named, field)
        values |= site_variables(environment, self.name, service, slot=self.bindings.slot)
        return ContainerEnvironment(values=values, secrets=secrets)


def media_variables(environment: Environment, data: DataExports) -> Mapping[str, str]:
    return {"MEDIA_BUCKET": data.media.bucket_name, "MEDIA_URL": f"https://{environment.domains.media}"}


def site_variables(environment: Environment, name: str, service: str, *, slot: int | None = None) -> Mapping[str, str]:
    """Variables whose values are known without AWS, so that Next.js can build them into the browser's code."""
    found = variables.resolved(environment, name, service, slot=slot)
    own = environment.services[service]
    if own.site and own.sentry is not None and slot is None:
        found |= {f"NEXT_PUBLIC_{key}": value for key, value in _sentry(own.sentry, name).items()}
    # Previews are not counted in product analytics.
    if own.site and environment.posthog is not None and slot is None:
        found |= {
            "NEXT_PUBLIC_POSTHOG_KEY": environment.posthog.project_key,
            "NEXT_PUBLIC_POSTHOG_HOST": f"https://{own.host}{ANALYTICS_PATH}",
            # PostHog's own address; its toolbar links to it.
            "NEXT_PUBLIC_POSTHOG_UI_HOST": f"https://{environment.posthog.region}.posthog.com",
        }
    return found


def _sentry(sentry: SentryService, environment: str) -> Mapping[str, str]:
    """Variables that @sentry/node reads itself; the last one is ours."""
    return {
        "SENTRY_DSN": sentry.dsn,
        "SENTRY_ENVIRONMENT": environment,
        "SENTRY_TRACES_SAMPLE_RATE": str(sentry.traces_sample_rate),
        "SENTRY_PROFILE_SESSION_SAMPLE_RATE": str(sentry.profile_session_sample_rate),
    }


def hosts_of(environment: Environment, service: str, *, slot: int | None = None) -> list[str]:
    """Host names of a service behind the load balancer, the current one first."""
    own = environment.services[service]
    hosts = [own.host, own.former_host] if slot is None else [previews.hosts(environment, slot)[service]]
    return [each for each in hosts if each is not None]
