"""The services of an environment, by what they have in common."""

from zlib import crc32

from config.model import Environment, Job, Queue, Service
from config.schedules import longest_gap
from infra_runtime.contract import names

words = names.words

RESERVED = ("network", "data", "registry", "platform", "redis", "edge", "observability", "delivery", "media", "preview")
"""Names that no service may have: stacks and metrics use them."""
ON_AMPLIFY = "-amplify"
"""Suffix of a site's stack on Amplify. While a site moves there, its stack on ECS serves until DNS has changed."""


def on_ecs(environment: Environment) -> dict[str, Service]:
    """All services except sites on Amplify."""
    return {name: each for name, each in environment.services.items() if each.amplify is None}


def load_balanced(environment: Environment) -> dict[str, Service]:
    """Services that users reach through the load balancer."""
    return {name: each for name, each in on_ecs(environment).items() if each.host is not None}


def released(environment: Environment) -> dict[str, Service]:
    """Services with their own image: each has a repository, a stack and a release history."""
    return {name: each for name, each in on_ecs(environment).items() if each.runs is None}


def with_own_stack(environment: Environment) -> dict[str, Service]:
    """Services with their own stack, on ECS or on Amplify."""
    return {name: each for name, each in environment.services.items() if each.runs is None}


def stacks(environment: Environment) -> list[str]:
    """Last part of the name of each service's stack; services that run another's image are in that one's stack."""
    return [stack_of(environment, name) for name in with_own_stack(environment)]


def stack_of(environment: Environment, name: str) -> str:
    """Last part of the name of the stack that a service is in."""
    service = environment.services[name]
    return f"{name}{ON_AMPLIFY}" if service.amplify is not None else service.runs or name


def same_image(environment: Environment, name: str) -> dict[str, Service]:
    """The service `name`, then those that run its image: they are released together."""
    others = {other: each for other, each in on_ecs(environment).items() if each.runs == name}
    return {name: environment.services[name], **others}


def previewed(environment: Environment) -> dict[str, Service]:
    """Services that run in previews of pull requests: each has its own image and host."""
    return {name: each for name, each in load_balanced(environment).items() if each.runs is None}


def sites(environment: Environment) -> dict[str, Service]:
    """Sites on ECS, whose static files are in the media bucket."""
    return {name: each for name, each in load_balanced(environment).items() if each.site}


def hosts_with_static_files(environment: Environment) -> list[str]:
    """Hosts of the sites whose static files are in the media bucket; Amplify serves its own."""
    return [each.host for each in sites(environment).values() if each.host]


def on_redis(environment: Environment, *, eviction: bool) -> dict[str, Service]:
    """Services that use the Redis instances with eviction, or those without."""
    needs = {"redis"} if eviction else {"queue"}
    if eviction and environment.previews is not None:
        # Previews have their queues in the cache, so that no worker of the environment takes their jobs.
        needs.add("queue")
    return {name: each for name, each in on_ecs(environment).items() if needs & set(each.needs)}


def queues(environment: Environment) -> dict[str, Queue]:
    """Queues by the name of their worker."""
    return {name: each.queue for name, each in on_ecs(environment).items() if each.queue is not None}


def repositories(environment: Environment) -> dict[str, str]:
    """The repositories whose workflows have a role, by their keys in the environment's file."""
    of_services = {
        f"services.{name}.repository": each.repository for name, each in environment.services.items() if each.repository
    }
    return {"delivery.repository": environment.delivery.repository, **of_services}


def github_environment(environment: Environment, name: str) -> str:
    """The GitHub environment in which the service's releases run. Two services of one repository have one each.

    GitHub's token names repository and environment, and no service: with one environment for both, a job that builds
    one service could take the role that releases the other.
    """
    return f"{environment.delivery.environment}-{name}"


def github_preview_environment(environment: Environment, name: str) -> str:
    """The GitHub environment of pull requests. Releases use another one: code of a pull request runs unapproved."""
    return f"{github_environment(environment, name)}-preview"


def public_hosts(environment: Environment, *, sites: bool) -> list[str]:
    """Public host names of the sites, or of the APIs, on ECS and on Amplify."""
    return [each.host for each in environment.services.values() if each.site is sites and each.host]


def hosts(environment: Environment) -> dict[str, str]:
    """Public host of each service that has one, by service."""
    return {name: each.host for name, each in environment.services.items() if each.host is not None}


def service_of_job(environment: Environment, job: str) -> str:
    """The service whose image a job runs."""
    service = environment.jobs[job].runs
    return environment.services[service].runs or service


def overdue_minutes(job: Job) -> int:
    """Minutes after its last success from which a job is overdue."""
    if job.overdue_hours is not None:
        return job.overdue_hours * 60
    return longest_gap(job.schedule) * 3 // 2 + job.minutes * (job.retries + 1)


def priority(name: str, slot: int | None = None) -> int:
    """Priority of the service's load balancer rules, 1000 to 48999. It never changes: ECS owns them (docs/adr/0004).

    It is derived from the name: derived from the order in the file, a new service would change others' rules.
    """
    return 1000 + crc32(f"{name} {slot or ''}".encode()) % 48_000
