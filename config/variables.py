"""The variables of a service: those in the environment's file, and those that the infrastructure adds."""

import re
from collections.abc import Iterator, Mapping

from config import previews
from config.model import Environment, Service
from config.services import hosts

_REFERENCE = re.compile(r"\$(\$\{|\{([^}]*)\})")

ALWAYS = ("RELEASE",)
OF_A_PORT = ("PORT",)
OF_NEEDS: Mapping[str, tuple[str, ...]] = {
    "database": ("PGHOST", "PGPORT", "PGDATABASE", "PGSSLMODE", "PGUSER", "PGPASSWORD", "PG_POOL_MAX", "DATABASE_URL"),
    "redis": ("REDIS_URL", "REDIS_KEY_PREFIX"),
    "queue": ("REDIS_QUEUE_URL", "REDIS_KEY_PREFIX"),
    "media": ("MEDIA_BUCKET", "MEDIA_URL"),
}
OF_SENTRY = (
    "SENTRY_DSN",
    "SENTRY_ENVIRONMENT",
    "SENTRY_RELEASE",
    "SENTRY_TRACES_SAMPLE_RATE",
    "SENTRY_PROFILE_SESSION_SAMPLE_RATE",
)
OF_SENTRY_IN_BROWSERS = tuple(f"NEXT_PUBLIC_{each}" for each in OF_SENTRY if each != "SENTRY_RELEASE")
OF_POSTHOG = ("NEXT_PUBLIC_POSTHOG_KEY", "NEXT_PUBLIC_POSTHOG_HOST", "NEXT_PUBLIC_POSTHOG_UI_HOST")


class UnknownReference(Exception):
    """A value refers to a name that does not exist."""

    def __init__(self, reference: str, known: list[str]) -> None:
        super().__init__(f"${{{reference}}} is not one of {', '.join(f'${{{each}}}' for each in known)}")
        self.reference, self.known = reference, known


def resolved(environment: Environment, name: str, service: str, *, slot: int | None = None) -> dict[str, str]:
    """The variables of a service and of the service whose image it runs, with every reference replaced.

    `name` is the environment's. With `slot`, references give the hosts of that preview. Raises `UnknownReference`.
    """
    known = references(environment, name, slot=slot)
    return {key: replaced(value, known) for key, value in declared(environment, service).items()}


def declared(environment: Environment, service: str) -> dict[str, str]:
    """Variables as the file has them. A service's own replace those of the service whose image it runs."""
    return {key: value for each in _lineage(environment, service) for key, value in each.variables.items()}


def secrets(environment: Environment, service: str) -> dict[str, tuple[str, str | None]]:
    """(secret, field of its JSON or None) of each variable that comes from Secrets Manager."""
    found = {key: value for each in _lineage(environment, service) for key, value in each.secrets.items()}
    return {key: (value.partition(":")[0], value.partition(":")[2] or None) for key, value in found.items()}


def named_secrets(environment: Environment, service: str, *, in_preview: bool = False) -> list[str]:
    """Names of all secrets that people store in Secrets Manager and that the service's tasks read at their start."""
    redis, needs = environment.redis, environment.services[service].needs
    found = {name for name, _ in secrets(environment, service).values()}
    # Previews have their queues in the cache.
    instances = {"redis": redis.serves, "queue": redis.serves if in_preview else redis.queue}
    for need, instance in instances.items():
        if need in needs and instance is not None and (external := redis.instances[instance].external) is not None:
            found.add(external.url_secret)
    return sorted(found)


def _lineage(environment: Environment, service: str) -> Iterator[Service]:
    """The service whose image it runs, if any, then the service itself."""
    own = environment.services[service]
    if own.runs is not None and own.runs in environment.services:
        yield environment.services[own.runs]
    yield own


def references(environment: Environment, name: str, *, slot: int | None = None) -> dict[str, str]:
    """Everything that a value may refer to, with its value."""
    names = hosts(environment) | (previews.hosts(environment, slot) if slot is not None else {})
    return {
        **{f"services.{service}.host": host for service, host in names.items()},
        **{f"services.{service}.url": f"https://{host}" for service, host in names.items()},
        "media.url": f"https://{environment.domains.media}",
        "media.bucket": environment.media.bucket,
        "environment": name,
        "region": environment.aws.region,
    }


def replaced(value: str, known: Mapping[str, str]) -> str:
    """The value with its references replaced. Raises `UnknownReference`."""

    def one(match: re.Match[str]) -> str:
        if match[1] == "${":
            return "${"
        if match[2] not in known:
            raise UnknownReference(match[2], sorted(known))
        return known[match[2]]

    return _REFERENCE.sub(one, value)


def provided(environment: Environment, service: str) -> dict[str, str]:
    """Name of each variable that the infrastructure sets, and the key that asks for it."""
    own = environment.services[service]
    found = dict.fromkeys(ALWAYS, "the infrastructure, always")
    if own.port is not None:
        found |= dict.fromkeys(OF_A_PORT, f"services.{service}.port")
    for need in own.needs:
        found |= dict.fromkeys(OF_NEEDS[need], f'services.{service}.needs, "{need}"')
    if own.sentry is not None:
        names = OF_SENTRY + OF_SENTRY_IN_BROWSERS if own.site else OF_SENTRY
        found |= dict.fromkeys(names, f"services.{service}.sentry")
    if own.site and environment.posthog is not None:
        found |= dict.fromkeys(OF_POSTHOG, "posthog")
    return found
