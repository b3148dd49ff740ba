"""Rules about several values of one environment, or of several environments.

A rule reads only what it needs, and yields nothing if it holds. If a value that it reads is itself invalid, the rule is
skipped: that has been reported already.
"""

import difflib
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from config import previews, services, variables
from config.instances import connections
from config.model import FARGATE_MEMORY, Environment, Service, routes
from config.plans import PLANS
from config.problems import looks_secret
from infra_runtime.contract.cloudflare_phases import (
    CACHE,
    CUSTOM_WAF,
    DDOS,
    LATE_TRANSFORM,
    MANAGED_WAF,
    RATE_LIMIT,
    REDIRECT,
)
from infra_runtime.contract.names import full_name


@dataclass(frozen=True)
class Contradiction:
    """A value that contradicts others."""

    key: str
    expected: str
    hint: str | None = None


Rule = Callable[[Environment], Iterator[Contradiction]]


@dataclass(frozen=True)
class Neighbours:
    """The environments of one folder."""

    valid: Mapping[str, Environment]
    broken: Collection[str] = ()
    """Environments with invalid files. One of them may have what no valid file has, so that is not reported missing."""


# Subnet sizes follow from the network's own: a private subnet is an eighth of it, the others a sixty-fourth.
PRIVATE_SUBNET_BITS = 3
OTHER_SUBNET_BITS = 6
_SMALLEST_SUBNET = 28
# AWS Backup: "set the retention period to be greater than the backup frequency", or the recovery point expires.
_FEWEST_DAYS_WITH_DRILLS = 2
_RESERVED_ADDRESSES = 5  # AWS keeps the first four and the last address of each subnet.


def _on_ecs(environment: Environment) -> Iterator[tuple[str, Service]]:
    """(its table in the file, service)"""
    for name, service in services.on_ecs(environment).items():
        yield f"services.{name}", service


def _load_balanced(environment: Environment) -> Iterator[tuple[str, Service]]:
    for name, service in services.load_balanced(environment).items():
        yield f"services.{name}", service


def _with_database(environment: Environment) -> Iterator[tuple[str, Service]]:
    for key, service in _on_ecs(environment):
        if "database" in service.needs:
            yield key, service


def zones_belong_to_the_region(environment: Environment) -> Iterator[Contradiction]:
    region = environment.aws.region
    for zone in environment.network.availability_zones:
        if zone[:-1] != region:
            yield Contradiction("network.availability_zones", f"zones of {region}, like {region}a", f"{zone} is not")


def network_has_room(environment: Environment) -> Iterator[Contradiction]:
    prefix = IPv4Network(environment.network.cidr).prefixlen
    widest, narrowest = 16, _SMALLEST_SUBNET - OTHER_SUBNET_BITS
    if not widest <= prefix <= narrowest:
        yield Contradiction("network.cidr", f"a network from /{widest} to /{narrowest}, so that its subnets fit")
        return
    per_zone = 2 ** (32 - prefix - PRIVATE_SUBNET_BITS) - _RESERVED_ADDRESSES
    zones = len(environment.network.availability_zones)
    # During a release blue and green both run, and one zone may be down.
    needed = 2 * sum(service.max_tasks for _, service in _on_ecs(environment))
    needed += 2 * len(previews.slots(environment)) * len(services.previewed(environment))
    if needed > per_zone * (zones - 1):
        yield Contradiction(
            "network.cidr",
            f"room for {needed} tasks (blue and green at max_tasks) in {zones - 1} of {zones} zones",
            f"a /{prefix} gives {per_zone} addresses in each zone's private subnet",
        )


def endpoints_come_in_working_sets(environment: Environment) -> Iterator[Contradiction]:
    pull = {"ecr.api", "ecr.dkr"}
    if len(pull & set(environment.network.interface_endpoints)) == 1:
        yield Contradiction("network.interface_endpoints", "both ecr.api and ecr.dkr, or neither: a pull needs both")


def _hosts(environment: Environment) -> dict[str, str]:
    """Every public host name, by its key in the file."""
    of_services = {f"services.{name}.host": host for name, host in services.hosts(environment).items()}
    of_redirects = {f"domains.redirects.{host}": host for host in environment.domains.redirects}
    return {**of_services, "domains.media": environment.domains.media, **of_redirects}


def redirects_lead_to_a_service(environment: Environment) -> Iterator[Contradiction]:
    known = services.hosts(environment)
    for host, service in environment.domains.redirects.items():
        if service not in known:
            yield Contradiction(f"domains.redirects.{host}", f"a service with a host: {', '.join(known)}")


def former_hosts_are_redirected(environment: Environment) -> Iterator[Contradiction]:
    for name, service in environment.services.items():
        former = service.former_host
        if former is not None and environment.domains.redirects.get(former) != name:
            expected = f'"{former}" = "{name}": otherwise Cloudflare has no DNS record for this name'
            yield Contradiction(f"services.{name}.former_host", f"in domains.redirects, {expected}")


def hostnames_are_in_the_zone(environment: Environment) -> Iterator[Contradiction]:
    zone, seen = environment.domains.zone, dict[str, str]()
    for key, host in _hosts(environment).items():
        if host != zone and not host.endswith("." + zone):
            yield Contradiction(key, f"{zone} or a name that ends in .{zone}")
        if host in seen:
            yield Contradiction(key, f"a unique name; {seen[host]} is the same")
        seen.setdefault(host, key)


def hostnames_have_an_edge_certificate(environment: Environment) -> Iterator[Contradiction]:
    zone = environment.domains.zone
    for key, host in _hosts(environment).items():
        if host.endswith(f".{zone}") and "." in host.removesuffix(f".{zone}"):
            yield Contradiction(
                key,
                f"{zone} or one label before it, like {host.removesuffix(f'.{zone}').replace('.', '-')}.{zone}",
                "Cloudflare's universal certificate covers one level only; browsers would refuse this name",
            )


_LONGEST_AT_AMPLIFY = 64  # API reference, DomainAssociation, domainName
_NAMES_OF_A_CERTIFICATE = 10
"""ACM's default quota (AWS General Reference, "ACM quotas")."""


def hostnames_fit_into_one_certificate(environment: Environment) -> Iterator[Contradiction]:
    count = len(previews.certified_hosts(environment))
    if count > _NAMES_OF_A_CERTIFICATE:
        key = "previews.slots" if environment.previews is not None else "services"
        expected = f"at most {_NAMES_OF_A_CERTIFICATE} names of services, those of previews included"
        yield Contradiction(key, expected, f"there are {count}; the load balancer's certificate holds no more")


def services_have_the_keys_of_their_kind(environment: Environment) -> Iterator[Contradiction]:
    """Keys that a site on Amplify, a service behind the load balancer and a worker must, and must not, have."""
    for name, service in environment.services.items():
        key = f"services.{name}"
        if any(re.fullmatch(rf"{each}\d*", name) for each in services.RESERVED):
            yield Contradiction(key, f"another name: one of our stacks is called {name}")
        if name.endswith(services.ON_AMPLIFY):
            yield Contradiction(key, f"another name: stacks of sites on Amplify end in {services.ON_AMPLIFY}")
        if name.endswith("-preview"):
            other = name.removesuffix("-preview")
            where = services.github_preview_environment(environment, other)
            yield Contradiction(key, f"another name: pull requests of {other} run in {where}, at GitHub")
        if service.amplify is not None:
            yield from _hosted_by_amplify(key, service)
            continue
        if service.runs is None and service.repository is None:
            yield Contradiction(f"{key}.repository", "the repository of its code, or `runs` and another service's name")
        if service.runs is not None:
            yield from _runs_an_existing_image(environment, name, service)
        if service.host is not None:
            expected = "absent: the load balancer requests health_path"
            yield from _must_be_absent(key, service, ("health_command",), expected)
            expected = "absent: a service with a host scales by CPU and memory"
            yield from _must_be_absent(key, service, ("queue",), expected)
            for needed in ("port", "health_path"):
                if getattr(service, needed) is None:
                    yield Contradiction(f"{key}.{needed}", "this key; users reach the service by its host")
        else:
            yield from _must_be_absent(
                key, service,
                (
                    "site", "former_host", "port", "target_group_port", "health_path", "redis_health_path",
                    "sticky_minutes", "release_check", "objective",
                ),
                "absent, or a host: a service without a host is a worker and gets no requests",
            )  # fmt: skip


def _hosted_by_amplify(key: str, service: Service) -> Iterator[Contradiction]:
    if not service.site or service.host is None:
        yield Contradiction(f"{key}.amplify", "absent, or site = true and a host: Amplify hosts only sites")
    if service.host is not None and len(service.host) > _LONGEST_AT_AMPLIFY:
        yield Contradiction(f"{key}.host", f"at most {_LONGEST_AT_AMPLIFY} characters: Amplify's limit for a domain")
    for name in service.variables:
        if name.upper().startswith("AWS"):
            yield Contradiction(f"{key}.variables.{name}", "a name that does not begin with AWS: Amplify keeps those")
    # Secrets have their own rule.
    others = set(Service.model_fields) - {"host", "site", "amplify", "sentry", "variables", "needs", "secrets"}
    yield from _must_be_absent(key, service, sorted(others), "absent: Amplify builds and runs this site itself")
    if unreachable := sorted(set(service.needs) - {"media"}):
        expected = (
            f'empty, or "media": Amplify runs the site outside the VPC and cannot reach {" and ".join(unreachable)}'
        )
        yield Contradiction(f"{key}.needs", expected)


def _must_be_absent(key: str, service: Service, fields: Sequence[str], expected: str) -> Iterator[Contradiction]:
    for field in fields:
        if getattr(service, field) != Service.model_fields[field].default:
            yield Contradiction(f"{key}.{field}", expected)


def _runs_an_existing_image(environment: Environment, name: str, service: Service) -> Iterator[Contradiction]:
    key = f"services.{name}"
    others = [each for each in services.released(environment) if each != name]
    if service.runs not in others:
        yield Contradiction(f"{key}.runs", f"a service with its own image: {', '.join(others) or 'there is none'}")
    expected = f"absent: it runs the image of {service.runs}, which has this key"
    yield from _must_be_absent(key, service, ("repository", "migrations", "architecture"), expected)


_MOST_JOBS = 16
"""Jobs of one service. Their function reads them from its variables, which Lambda limits to 4 KiB in total."""


def jobs_run_a_service(environment: Environment) -> Iterator[Contradiction]:
    known = services.on_ecs(environment)
    for service, count in Counter(each.runs for each in environment.jobs.values()).items():
        if count > _MOST_JOBS:
            yield Contradiction("jobs", f"at most {_MOST_JOBS} jobs of one service; {service} has {count}")
    for name, job in environment.jobs.items():
        if job.runs not in known:
            yield Contradiction(f"jobs.{name}.runs", f"a service on ECS: {', '.join(known)}")
        if name in environment.services:
            yield Contradiction(f"jobs.{name}", f"another name: services.{name} exists")
        if job.memory_mib not in FARGATE_MEMORY[job.cpu]:
            yield Contradiction(f"jobs.{name}.memory_mib", _offered(job.cpu))


def database_keys_match_needs(environment: Environment) -> Iterator[Contradiction]:
    for key, service in _on_ecs(environment):
        needs_it = "database" in service.needs
        if needs_it and service.database_connections is None:
            yield Contradiction(f"{key}.database_connections", 'this key beside needs = ["database"]')
        if not needs_it:
            expected = 'absent, or needs = ["database"]'
            yield from _must_be_absent(key, service, ("database_connections", "migrations"), expected)
        if service.redis_health_path is not None and "redis" not in service.needs:
            yield Contradiction(f"{key}.redis_health_path", 'absent, or needs = ["redis"]')


def restarts_have_expected_answers(environment: Environment) -> Iterator[Contradiction]:
    for name, service in environment.services.items():
        check = service.release_check
        if check is not None and check.restart_minutes is not None and not check.expect:
            key = f"services.{name}.release_check.restart_minutes"
            yield Contradiction(key, "absent, or expect: the response while all dependencies work")


def variables_have_one_source(environment: Environment) -> Iterator[Contradiction]:
    """Variables refer to existing names and contain no secret, which would be in every template."""
    known = variables.references(environment, "NAME")
    for name, service in environment.services.items():
        provided = variables.provided(environment, name)
        for kind in ("variables", "secrets"):
            for key in getattr(service, kind):
                where = f"services.{name}.{kind}.{key}"
                if key in provided:
                    yield Contradiction(where, f"another name: {provided[key]} already sets {key}")
                elif kind == "secrets" and key in variables.declared(environment, name):
                    yield Contradiction(where, f"another name: services.{name}.variables.{key} exists")
        for key, value in service.variables.items():
            where = f"services.{name}.variables.{key}"
            if looks_secret(value):
                yield Contradiction(
                    where, f"no secret; store it in Secrets Manager, and put its name into [services.{name}.secrets]"
                )
                continue
            if service.site and "\n" in value:
                yield Contradiction(where, "one line: a site's variables are build arguments, one a line")
            try:
                variables.replaced(value, known)
            except variables.UnknownReference as unknown:
                nearest = difflib.get_close_matches(unknown.reference, unknown.known, n=1)
                hint = f"did you mean ${{{nearest[0]}}}?" if nearest else None
                yield Contradiction(where, f"one of the references {', '.join(unknown.known)}", hint)
        if service.secrets and service.amplify is not None:
            yield Contradiction(
                f"services.{name}.secrets", "no secrets: Amplify shows a site's variables in its console"
            )


def priorities_are_different(environment: Environment) -> Iterator[Contradiction]:
    """Priorities of the load balancer's rules follow from the names, so that a new service moves no other's rule."""
    seen: dict[int, str] = {}
    for name in services.load_balanced(environment):
        for slot in (None, *previews.slots(environment)):
            place = services.priority(name, slot)
            if seen.setdefault(place, name) != name:
                yield Contradiction(f"services.{name}", f"another name: {seen[place]} would get the same rule priority")


def rate_limits_are_of_a_service(environment: Environment) -> Iterator[Contradiction]:
    for name, limit in environment.cloudflare.rate_limits.items():
        if limit.service not in services.hosts(environment):
            expected = f"a service with a host: {', '.join(services.hosts(environment))}"
            yield Contradiction(f"cloudflare.rate_limits.{name}.service", expected)


def owner_of_the_zone_is_notified(environment: Environment) -> Iterator[Contradiction]:
    if environment.cloudflare.zone is not None and not environment.alarms.critical.email:
        expected = "at least one address where the table [cloudflare.zone] is: Cloudflare's own notifications go there"
        yield Contradiction("alarms.critical.email", expected)


def rules_by_phase(environment: Environment) -> dict[str, int]:
    """How many rules an environment has in each phase of its zone."""
    plan = PLANS[environment.cloudflare.plan]
    owns_zone = environment.cloudflare.zone is not None
    of_connector = 1 if environment.media.origin == "connector" else 0
    return {
        # One for all media, and one for each other TTL.
        CACHE: of_connector * (1 + len(set(environment.media.ttl_seconds.values()))),
        LATE_TRANSFORM: of_connector,
        REDIRECT: len(set(environment.domains.redirects.values())),
        CUSTOM_WAF: 3 + bool(services.public_hosts(environment, sites=True)) if plan.super_bot_fight_mode else 2,
        RATE_LIMIT: len(environment.cloudflare.rate_limits),
        MANAGED_WAF: _managed_waf(environment) if plan.managed_waf else 0,
        DDOS: 1 if owns_zone else 0,
    }


def _managed_waf(environment: Environment) -> int:
    """Two managed rulesets in the environment that owns the zone, and the exceptions from OWASP.

    Clients that cannot solve a challenge are exempt: those of the API, and PostHog's.
    """
    apis = services.public_hosts(environment, sites=False)
    zone, exempt = environment.cloudflare.zone, bool(apis) + (environment.posthog is not None)
    if zone is None:
        return exempt
    if zone.owasp is None:
        return 2
    return 2 + len(zone.owasp.exceptions) + (exempt if zone.owasp.action == "managed_challenge" else 0)


def plan_supports_the_settings(environment: Environment) -> Iterator[Contradiction]:
    settings, plan = environment.cloudflare, PLANS[environment.cloudflare.plan]
    plan_has = f"the plan {plan.name} has"
    counts = rules_by_phase(environment)
    if counts[RATE_LIMIT] > plan.rules[RATE_LIMIT]:
        yield Contradiction("cloudflare.rate_limits", f"at most {plan.rules[RATE_LIMIT]} rules: {plan_has} no more")
    if counts[CACHE] > plan.rules[CACHE]:
        expected = f"at most {plan.rules[CACHE] - 1} different values: each is a cache rule, and {plan_has} no more"
        yield Contradiction("media.ttl_seconds", expected)
    for name, limit in settings.rate_limits.items():
        if limit.period_seconds > plan.longest_rate_period:
            key = f"cloudflare.rate_limits.{name}.period_seconds"
            yield Contradiction(key, f"at most {plan.longest_rate_period}: {plan_has} no longer period")
        if limit.block_seconds > plan.longest_mitigation:
            key = f"cloudflare.rate_limits.{name}.block_seconds"
            yield Contradiction(key, f"at most {plan.longest_mitigation}: {plan_has} no longer block")
    if settings.rate_limits and not plan.rate_limit_by_host and settings.zone is None:
        yield Contradiction(
            "cloudflare.rate_limits",
            f"none without the table [cloudflare.zone]: on the plan {plan.name} a limit cannot name a host",
            "it would count the requests of every environment in the zone",
        )
    if settings.zone is not None and settings.zone.owasp is not None and not plan.managed_waf:
        yield Contradiction(
            "cloudflare.zone.owasp",
            "absent, or the plan pro or better, which has OWASP and Cloudflare's managed rules",
        )
    if settings.zone is not None and settings.zone.owasp is None and plan.managed_waf:
        yield Contradiction(
            "cloudflare.zone.owasp",
            f"a table [cloudflare.zone.owasp]: {plan_has} OWASP, and you decide its settings",
        )


def storage_can_grow(environment: Environment) -> Iterator[Contradiction]:
    least = -(-environment.database.storage_gib * 11 // 10)
    if environment.database.max_storage_gib < least:
        yield Contradiction("database.max_storage_gib", f"at least {least}: RDS requires 10 % more than storage_gib")


def bucket_name_is_valid(environment: Environment) -> Iterator[Contradiction]:
    name = environment.media.bucket
    for prefix in ("xn--", "sthree-", "amzn-s3-demo-"):
        if name.startswith(prefix):
            yield Contradiction("media.bucket", f"a name that does not begin with {prefix} (S3 reserves it)")
    for suffix in ("-s3alias", "--ol-s3", "--x-s3", "--table-s3"):
        if name.endswith(suffix):
            yield Contradiction("media.bucket", f"a name that does not end in {suffix} (S3 reserves it)")


def each_object_has_one_ttl(environment: Environment) -> Iterator[Contradiction]:
    media, plan = environment.media, PLANS[environment.cloudflare.plan]
    for prefix, seconds in media.ttl_seconds.items():
        key = f"media.ttl_seconds.{prefix}"
        if within := next((each for each in media.ttl_seconds if each != prefix and prefix.startswith(each)), None):
            yield Contradiction(key, f"a prefix that does not begin with another one ({within})")
        if prefix.startswith("_next/"):
            yield Contradiction(key, "another prefix: files of Next.js get a new name when they change")
        # A Worker sets the TTL in a header, which no plan limits.
        if media.origin == "connector" and seconds < plan.least_edge_ttl:
            yield Contradiction(key, f"at least {plan.least_edge_ttl}: the plan {plan.name} has no shorter time")


def quarantine_excludes_the_check_object(environment: Environment) -> Iterator[Contradiction]:
    if environment.media.quarantine == "infra/":
        yield Contradiction(
            "media.quarantine", "another prefix than infra/ (the check from outside asks for infra/check)"
        )


def tasks_are_a_range(environment: Environment) -> Iterator[Contradiction]:
    for key, service in _on_ecs(environment):
        if service.min_tasks > service.max_tasks:
            yield Contradiction(
                f"{key}.min_tasks", f"at most {key}.max_tasks, which is {service.max_tasks}", "or raise max_tasks"
            )


def memory_fits_the_cpu(environment: Environment) -> Iterator[Contradiction]:
    for key, service in _on_ecs(environment):
        if service.memory_mib not in FARGATE_MEMORY[service.cpu]:
            yield Contradiction(f"{key}.memory_mib", _offered(service.cpu))


def _offered(cpu: int) -> str:
    allowed = FARGATE_MEMORY[cpu]
    return f"{allowed.start} to {allowed[-1]} in steps of {allowed.step}: Fargate's offer for cpu = {cpu}"


_LONGEST_LABEL = 63

# The superuser's, RDS's own, migrations, rotation and an operator.
_RESERVED_CONNECTIONS = 15


def database_has_connections_for_a_release(environment: Environment) -> Iterator[Contradiction]:
    """During a release the old tasks and the new ones both run, and both may have scaled to max_tasks."""
    slots = len(previews.slots(environment))
    users = {
        key: (
            2 * (each.max_tasks + (slots if each.host is not None and each.runs is None else 0)),
            each.database_connections or 1,
        )
        for key, each in _with_database(environment)
    }
    needed = sum(tasks * pool for tasks, pool in users.values()) + _RESERVED_CONNECTIONS
    available = connections(environment.database.instance)
    if needed > available:
        for key, (tasks, pool) in users.items():
            left = available - (needed - tasks * pool)
            yield Contradiction(
                f"{key}.database_connections",
                f"at most {max(left // tasks, 1)}: the old and the new tasks of all services at max_tasks would open "
                f"{needed} connections, db.{environment.database.instance} has about {available}",
                f"or a larger database.instance, or fewer {key}.max_tasks",
            )


def previews_have_only_what_may_be_lost(environment: Environment) -> Iterator[Contradiction]:
    """Previews run code that was not reviewed yet, on copies of the environment's data."""
    if environment.previews is not None and environment.protection.data != "disposable":
        yield Contradiction("previews", "absent, or protection.data = disposable: pull requests run on its data")


def previews_have_names(environment: Environment) -> Iterator[Contradiction]:
    zone = environment.domains.zone
    for slot in previews.slots(environment):
        for service, host in previews.hosts(environment, slot).items():
            key = f"services.{service}.host"
            label = host.removesuffix(f".{zone}")
            if environment.services[service].host == zone:
                yield Contradiction(key, f"a label before {zone}: its previews get names beside it")
            elif len(label) > _LONGEST_LABEL:
                yield Contradiction(key, f"a name short enough for {host}: {_LONGEST_LABEL} letters before {zone}")


DEPLOYMENT_MINUTES = 330
"""Time for a deployment in a GitHub job. GitHub ends jobs after 360 minutes, ours after 350; 20 are for set-up."""
_OTHER_STACKS_MINUTES = 90  # an RDS change takes an hour
_TASKS_MINUTES = 15  # until the new tasks are healthy


def deployment_fits_into_one_job(environment: Environment) -> Iterator[Contradiction]:
    """The longest one: every stack changes, one after the other, and every service migrates."""
    balanced = dict(_load_balanced(environment))
    migrations = {
        f"{key}.migrations.minutes": each.migrations.minutes for key, each in balanced.items() if each.migrations
    }
    rest = _OTHER_STACKS_MINUTES + sum(migrations.values()) + _TASKS_MINUTES * len(services.on_ecs(environment))
    most = (DEPLOYMENT_MINUTES - rest) // max(len(balanced), 1)
    if rest + sum(service.bake_minutes for service in balanced.values()) <= DEPLOYMENT_MINUTES:
        return
    for key, service in balanced.items():
        if service.bake_minutes > max(most, 5):
            yield Contradiction(
                f"{key}.bake_minutes",
                f"at most {max(most, 5)} for each service: a job on GitHub ends after six hours",
                f"{rest} minutes are for the other stacks, migrations and the start of tasks",
            )
    if most < 5:  # the shortest bake that the model allows
        for key, minutes in migrations.items():
            expected = f"at most {minutes - len(balanced) * (5 - most)}"
            yield Contradiction(key, f"{expected}: a job on GitHub ends after six hours")


def analytics_have_a_path(environment: Environment) -> Iterator[Contradiction]:
    if environment.posthog is not None and not services.public_hosts(environment, sites=True):
        yield Contradiction("posthog", "absent, or a site", "browsers send events to a path of a site")


def sentry_has_an_organization(environment: Environment) -> Iterator[Contradiction]:
    for name, service in environment.services.items():
        if service.sentry is not None and environment.sentry is None:
            yield Contradiction(f"services.{name}.sentry", "absent, or [sentry], which names the organization")


def repositories_are_different(environment: Environment) -> Iterator[Contradiction]:
    """Services may share one, whose workflows then release each of them, but not the one that deploys everything."""
    own = environment.delivery.repository
    for key, service in _on_ecs(environment):
        other = service.repository
        if other is None:
            continue
        same_name = re.sub(r"@\d+", "", own).lower() == re.sub(r"@\d+", "", other).lower()  # GitHub ignores case
        same_id = "@" in own and "@" in other and own.rpartition("@")[2] == other.rpartition("@")[2]
        if same_name or same_id:
            expected = "a repository other than delivery.repository, whose role may change everything"
            yield Contradiction(f"{key}.repository", expected)


def redis_instances_have_one_provider(environment: Environment) -> Iterator[Contradiction]:
    """Each instance has exactly one of three tables, and one instance serves."""
    redis = environment.redis
    if redis.serves not in redis.instances:
        yield Contradiction("redis.serves", f"the name of an instance: {', '.join(redis.instances)}")
    for name, instance in redis.instances.items():
        ways = [way for way in ("elasticache", "upstash", "external") if getattr(instance, way) is not None]
        where = f"redis.instances.{name}"
        if len(ways) != 1:
            tables = f"exactly one of the tables [{where}.elasticache], [{where}.upstash], [{where}.external]"
            yield Contradiction(where, tables)


_LONGEST_QUEUE = 1_000_000
"""A threshold that an alarm could still reach."""


def a_queue_has_a_redis_without_eviction(environment: Environment) -> Iterator[Contradiction]:
    """It is another instance than the cache: an evicted key resets a rate limit there, and loses a job in a queue."""
    redis = environment.redis
    evicting = [name for name, each in redis.instances.items() if each.eviction]
    queues = [name for name in redis.instances if name not in evicting]
    if redis.serves in queues:
        yield Contradiction("redis.serves", f"an instance with eviction: {', '.join(evicting) or 'there is none'}")
    if redis.queue is not None and redis.queue not in queues:
        expected = f"an instance with eviction = false: {', '.join(queues) or 'there is none'}"
        yield Contradiction("redis.queue", expected)
    for name in queues:
        cache = redis.instances[name].elasticache
        if cache is not None and cache.shards is not None:
            key = f"redis.instances.{name}.elasticache.shards"
            yield Contradiction(key, "absent: all keys of a queue are in one shard")
    for name, service in environment.services.items():
        if "queue" in service.needs and redis.queue is None:
            expected = "no queue, or redis.queue, which names the queue's instance"
            yield Contradiction(f"services.{name}.needs", expected, "docs/queues.md has an example")
        if service.queue is not None and "queue" not in service.needs:
            yield Contradiction(f"services.{name}.queue", 'absent, or needs = ["queue"]')
        if service.queue is not None and service.queue.jobs_per_task * service.max_tasks > _LONGEST_QUEUE:
            expected = f"at most {_LONGEST_QUEUE // service.max_tasks}: {_LONGEST_QUEUE} waiting jobs of all tasks"
            yield Contradiction(f"services.{name}.queue.jobs_per_task", expected)


def redis_shards_have_replicas(environment: Environment) -> Iterator[Contradiction]:
    """ElastiCache's own rule: cluster mode needs automatic failover, which needs a replica."""
    for name, instance in environment.redis.instances.items():
        cache = instance.elasticache
        if cache is not None and cache.shards is not None and cache.replicas < 1:
            yield Contradiction(f"redis.instances.{name}.elasticache.replicas", "1 to 5, as there are shards")


def upstash_reads_elsewhere(environment: Environment) -> Iterator[Contradiction]:
    for name, instance in environment.redis.instances.items():
        if instance.upstash is not None and instance.upstash.region in instance.upstash.read_regions:
            where = f"redis.instances.{name}.upstash.read_regions"
            yield Contradiction(where, "regions other than `region`, which also serves reads")


def disposable_data_has_a_reason(environment: Environment) -> Iterator[Contradiction]:
    if environment.protection.data == "disposable" and environment.protection.reason is None:
        yield Contradiction("protection.reason", "why this data may be lost, in twenty characters or more")


def kept_data_can_be_recovered(environment: Environment) -> Iterator[Contradiction]:
    if environment.protection.data == "keep" and environment.database.pitr_days < 7:
        yield Contradiction("database.pitr_days", "7 to 35 while protection.data is keep")


def recovery_objectives_are_measured(environment: Environment) -> Iterator[Contradiction]:
    """Objectives need drills that measure them, and drills need objectives."""
    database = environment.database
    stated = {"rpo_minutes": database.rpo_minutes, "rto_minutes": database.rto_minutes}
    if not database.restore_drills:
        names = " and ".join(name for name, each in stated.items() if each is not None)
        if names:
            yield Contradiction("database.restore_drills", f"true: only restore drills measure {names}")
        return
    for name, each in stated.items():
        if each is None:
            yield Contradiction(
                f"database.{name}", "a number of minutes, which restore_drills compare with what they measure"
            )
    if database.pitr_days < _FEWEST_DAYS_WITH_DRILLS:
        expected = f"{_FEWEST_DAYS_WITH_DRILLS} to 35 with restore_drills: longer than the day between two backups"
        yield Contradiction("database.pitr_days", expected)


def kept_data_survives_a_zone(environment: Environment) -> Iterator[Contradiction]:
    """An environment whose data is kept serves users, also when a zone is lost."""
    because = "while protection.data is keep: one zone may be lost"
    if environment.protection.data != "keep":
        return
    if len(environment.network.availability_zones) < 3:
        yield Contradiction("network.availability_zones", f"three zones {because}")
    if environment.network.nat != "per-az":
        yield Contradiction("network.nat", f'"per-az" {because}')
    if not environment.database.multi_az:
        yield Contradiction("database.multi_az", f"true {because}")
    redis = environment.redis
    for name in (redis.serves, redis.queue):
        used = redis.instances[name].elasticache if name in redis.instances else None
        if used is not None and used.replicas < 1:
            yield Contradiction(f"redis.instances.{name}.elasticache.replicas", f"1 to 5 {because}")
    for key, service in _load_balanced(environment):
        if service.min_tasks < 2:
            yield Contradiction(f"{key}.min_tasks", f"2 or more {because}")
        if service.spot:
            yield Contradiction(f"{key}.spot", "false while protection.data is keep: Spot may end every task at once")


def kept_data_has_alarm_recipients(environment: Environment) -> Iterator[Contradiction]:
    if environment.protection.data == "keep":
        for severity, route in routes(environment.alarms).items():
            if severity != "info" and not (route.email or route.slack_channel or route.webhook_secret):
                yield Contradiction(f"alarms.{severity}", "at least one recipient while protection.data is keep")


def slack_workspace_is_named(environment: Environment) -> Iterator[Contradiction]:
    alarms = environment.alarms
    channels = [route.slack_channel for route in routes(alarms).values()]
    if any(channels) and alarms.slack_workspace is None:
        yield Contradiction("alarms.slack_workspace", "the id of the workspace of the channels")


def _kind_of_name(key: str) -> str:
    """Keys of one kind share their names: a host may be used once, by whichever key."""
    if key == "previews" or key.startswith(("domains.", "services.")):
        return "host"
    return "channel" if key.startswith("alarms.") else key


def names_belong_to_one_environment(environments: Neighbours) -> Iterator[tuple[str, Contradiction]]:
    """Yields (environment, contradiction) for each environment that has the name: none of them may be deployed."""
    claimed: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, environment in sorted(environments.valid.items()):
        claims = [
            ("media.bucket", environment.media.bucket),
            *_hosts(environment).items(),
            *(
                ("previews", host)
                for slot in previews.slots(environment)
                for host in previews.hosts(environment, slot).values()
            ),
            ("delivery.environment", f"{environment.delivery.repository} {environment.delivery.environment}"),
            *(
                (f"services.{each}.repository", f"{own.repository} {services.github_environment(environment, each)}")
                for each, own in services.released(environment).items()
            ),
            *(
                (f"alarms.{severity}.slack_channel", f"{environment.aws.account} {route.slack_channel}")
                for severity, route in routes(environment.alarms).items()
                if route.slack_channel
            ),
        ]
        for key, value in claims:
            claimed.setdefault((_kind_of_name(key), value), []).append((name, key))
    for (kind, _), holders in claimed.items():
        for name, key in holders:
            others = sorted({other for other, _ in holders} - {name})
            if others:
                expected = "something that no other environment uses"
                if kind == "channel":
                    expected = "another channel: Amazon Q takes a channel once in an account, in all of its regions"
                yield name, Contradiction(key, expected, f"{', '.join(others)} has it already")


def each_account_has_one_oidc_provider(environments: Neighbours) -> Iterator[tuple[str, Contradiction]]:
    by_account: dict[str, list[str]] = {}
    for name, environment in sorted(environments.valid.items()):
        by_account.setdefault(environment.aws.account, []).append(name)
    for account, names in by_account.items():
        owners = [name for name in names if environments.valid[name].delivery.owns_oidc_provider]
        if len(owners) > 1 or not (owners or environments.broken):
            expected = f"true for exactly one environment of account {account}"
            for name in owners or names:
                yield (
                    name,
                    Contradiction("delivery.owns_oidc_provider", expected, f"true for: {', '.join(owners) or 'none'}"),
                )


def _by_zone(environments: Mapping[str, Environment]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, environment in sorted(environments.items()):
        found.setdefault(environment.domains.zone, []).append(name)
    return found


def each_zone_has_one_owner_and_one_plan(environments: Neighbours) -> Iterator[tuple[str, Contradiction]]:
    for zone, names in _by_zone(environments.valid).items():
        owners = [name for name in names if environments.valid[name].cloudflare.zone is not None]
        if len(owners) > 1 or not (owners or environments.broken):
            expected = f"the table [cloudflare.zone] in exactly one environment of {zone}"
            found = f"found in: {', '.join(owners) or 'none'}"
            for name in owners or names:
                yield name, Contradiction("cloudflare.zone", expected, found)
        plans = {name: environments.valid[name].cloudflare.plan for name in names}
        for name in names:
            if other := next((each for each in names if plans[each] != plans[name]), None):
                expected = f'"{plans[other]}", as in {other}: they share the zone {zone}'
                yield name, Contradiction("cloudflare.plan", expected)


def rules_of_a_zone_fit_its_plan(environments: Neighbours) -> Iterator[tuple[str, Contradiction]]:
    for zone, names in _by_zone(environments.valid).items():
        plan = PLANS[environments.valid[names[0]].cloudflare.plan]
        for phase, most in plan.rules.items():
            each = {name: rules_by_phase(environments.valid[name])[phase] for name in names}
            if sum(each.values()) > most and len(names) > 1:
                key = {RATE_LIMIT: "cloudflare.rate_limits", CACHE: "media.ttl_seconds"}.get(phase, "cloudflare.plan")
                text = ", ".join(f"{name} {count}" for name, count in each.items())
                expected = f"at most {most} rules of {phase} in {zone}: that is all of the plan {plan.name}"
                for name in names:
                    yield name, Contradiction(key, expected, text)


def deployments_have_an_order(environments: Neighbours) -> Iterator[tuple[str, Contradiction]]:
    """Exactly one environment has no `delivery.after`; the others name an existing one, without a cycle."""
    after = {name: environment.delivery.after for name, environment in sorted(environments.valid.items())}
    first_ones = [name for name, first in after.items() if first is None]
    for name, first in after.items():
        if first is None:
            if len(first_ones) > 1:
                expected = "this key in every environment but the one that is deployed first"
                yield name, Contradiction("delivery.after", expected, f"missing in: {', '.join(first_ones)}")
            continue
        others = sorted({*after, *environments.broken} - {name})
        chain = [name, first]
        while (before := after.get(chain[-1])) is not None and before not in chain[1:]:
            chain.append(before)
        if first not in others:
            first_has_none = "absent where it is deployed first"
            expected = f"one of {', '.join(others)}; {first_has_none}" if others else first_has_none
            yield name, Contradiction("delivery.after", expected)
        elif name in chain[1:]:
            expected = f"an environment that does not come after {name}"
            yield name, Contradiction("delivery.after", expected, " after ".join(chain))


_LONGEST_FULL_NAME = 30
"""The prefix of images from public registries is the full name (ECR API Reference, CreatePullThroughCacheRule)."""


def names_are_valid_at_aws(environments: Neighbours) -> Iterator[tuple[str, Contradiction]]:
    for name, environment in environments.valid.items():
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
            expected = "lower-case letters, digits and single hyphens: names of stacks and images begin with it"
            yield name, Contradiction("file", expected, f"{name}.toml is not")
        elif len(full := full_name(environment.product, name)) > _LONGEST_FULL_NAME:
            expected = f"{_LONGEST_FULL_NAME} characters at most together with the environment's name and a hyphen"
            yield name, Contradiction("product", expected, f"{full} has {len(full)}")


def _annotated(parameter: str, of: object, returns: object) -> tuple[Callable[..., Any], ...]:
    """The rules of this module, found by their annotations: a new one needs no registration."""
    annotations = {parameter: of, "return": returns}
    return tuple(
        each
        for name, each in globals().items()
        if not name.startswith("_") and getattr(each, "__annotations__", None) == annotations
    )


RULES: tuple[Rule, ...] = _annotated("environment", Environment, Iterator[Contradiction])
BETWEEN_ENVIRONMENTS: tuple[Callable[[Neighbours], Iterator[tuple[str, Contradiction]]], ...] = _annotated(
    "environments", Neighbours, Iterator[tuple[str, Contradiction]]
)
