"""What must hold between several values of one environment, or of several environments.

A rule reads only what it needs. It yields nothing when all is well, and it is skipped when a value that it reads is
itself invalid: that has been reported already.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from config import previews
from config.instances import connections
from config.model import FARGATE_MEMORY, Environment, Route, Service
from config.plans import CACHE, CUSTOM_WAF, DDOS, LATE_TRANSFORM, MANAGED_WAF, PLANS, RATE_LIMIT, REDIRECT


@dataclass(frozen=True)
class Contradiction:
    """A value that cannot stand beside the others."""

    key: str
    expected: str
    hint: str | None = None


Rule = Callable[[Environment], Iterator[Contradiction]]
_Named = Mapping[str, Environment]

# Subnet sizes follow from the network's own: a private subnet is an eighth of it, the others a sixty-fourth.
PRIVATE_SUBNET_BITS = 3
OTHER_SUBNET_BITS = 6
_SMALLEST_SUBNET = 28
_RESERVED_ADDRESSES = 5  # AWS keeps the first four and the last address of each subnet.


def _services(environment: Environment) -> Iterator[tuple[str, Service]]:
    yield "api", environment.api
    if environment.frontend.ecs is not None:
        yield "frontend.ecs", environment.frontend.ecs


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
    # During a release blue and green both run, and one zone may be away.
    needed = 2 * sum(service.max_tasks + len(previews.slots(environment)) for _, service in _services(environment))
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


def _hosts(environment: Environment) -> list[tuple[str, str]]:
    """(key below `domains`, host)."""
    domains = environment.domains
    own = [("site", domains.site), ("api", domains.api), ("media", domains.media)]
    return own + [("redirects", each) for each in domains.redirects]


def redirected_names_are_of_nothing_else(environment: Environment) -> Iterator[Contradiction]:
    found = [host for _, host in _hosts(environment)]
    for host in sorted({each for each in environment.domains.redirects if found.count(each) > 1}):
        yield Contradiction("domains.redirects", f"names of their own; {host} is used already")


def hostnames_are_in_the_zone(environment: Environment) -> Iterator[Contradiction]:
    domains = environment.domains
    for name, host in _hosts(environment):
        if host != domains.zone and not host.endswith("." + domains.zone):
            yield Contradiction(f"domains.{name}", f"{domains.zone} or a name that ends in .{domains.zone}")
    for name, other in (("api", "site"), ("media", "site"), ("media", "api")):
        if getattr(domains, name) == getattr(domains, other):
            yield Contradiction(f"domains.{name}", f"a name of its own; domains.{other} is the same")


def hostnames_have_an_edge_certificate(environment: Environment) -> Iterator[Contradiction]:
    zone = environment.domains.zone
    for name, host in _hosts(environment):
        if host.endswith(f".{zone}") and "." in host.removesuffix(f".{zone}"):
            yield Contradiction(
                f"domains.{name}",
                f"{zone} or one label before it, like {host.removesuffix(f'.{zone}').replace('.', '-')}.{zone}",
                "Cloudflare's universal certificate covers one level only; browsers would refuse this name",
            )


def whoever_owns_the_zone_is_told(environment: Environment) -> Iterator[Contradiction]:
    if environment.cloudflare.zone is not None and not environment.alarms.critical.email:
        expected = "at least one address where the table [cloudflare.zone] is: Cloudflare's own notifications go there"
        yield Contradiction("alarms.critical.email", expected)


def rules_by_phase(environment: Environment) -> dict[str, int]:
    """How many rules of an environment stand in each phase of its zone."""
    plan = PLANS[environment.cloudflare.plan]
    owns_zone = environment.cloudflare.zone is not None
    of_connector = 1 if environment.media.origin == "connector" else 0
    return {
        CACHE: of_connector,
        LATE_TRANSFORM: of_connector,
        REDIRECT: 1 if environment.domains.redirects else 0,
        CUSTOM_WAF: 4 if plan.super_bot_fight_mode else 2,
        RATE_LIMIT: len(environment.cloudflare.rate_limits),
        MANAGED_WAF: 2 + _exceptions(environment) if owns_zone and plan.managed_waf else 0,
        DDOS: 1 if owns_zone else 0,
    }


def _exceptions(environment: Environment) -> int:
    """Rules that keep requests from OWASP: one for each that is configured, and for what no challenge may meet."""
    zone = environment.cloudflare.zone
    if zone is None or zone.owasp is None:
        return 0
    programs = 1 + (environment.posthog is not None) if zone.owasp.action == "managed_challenge" else 0
    return len(zone.owasp.exceptions) + programs


def plan_can_do_it(environment: Environment) -> Iterator[Contradiction]:
    settings, plan = environment.cloudflare, PLANS[environment.cloudflare.plan]
    cost = f"the plan {plan.name} has"
    for phase, count in rules_by_phase(environment).items():
        if count > plan.rules[phase] and phase == RATE_LIMIT:
            yield Contradiction("cloudflare.rate_limits", f"at most {plan.rules[phase]} rules: {cost} no more")
    for name, limit in settings.rate_limits.items():
        if limit.period_seconds > plan.longest_rate_period:
            key = f"cloudflare.rate_limits.{name}.period_seconds"
            yield Contradiction(key, f"at most {plan.longest_rate_period}: {cost} no longer period")
        if limit.block_seconds > plan.longest_mitigation:
            key = f"cloudflare.rate_limits.{name}.block_seconds"
            yield Contradiction(key, f"at most {plan.longest_mitigation}: {cost} no longer block")
    if settings.rate_limits and not plan.rate_limit_by_host and settings.zone is None:
        yield Contradiction(
            "cloudflare.rate_limits",
            f"none without the table [cloudflare.zone]: on the plan {plan.name} a limit cannot name a host",
            "it would count the requests of every environment in the zone",
        )
    if settings.zone is not None and settings.zone.owasp is not None and not plan.managed_waf:
        yield Contradiction(
            "cloudflare.zone.owasp", "nothing, or the plan pro: OWASP and Cloudflare's managed rules begin there"
        )
    if settings.zone is not None and settings.zone.owasp is None and plan.managed_waf:
        yield Contradiction(
            "cloudflare.zone.owasp", f"a table [cloudflare.zone.owasp]: {cost} it, and its settings are your decision"
        )


def storage_can_grow(environment: Environment) -> Iterator[Contradiction]:
    least = -(-environment.database.storage_gib * 11 // 10)
    if environment.database.max_storage_gib < least:
        yield Contradiction(
            "database.max_storage_gib", f"at least {least}: RDS wants ten per cent more than storage_gib"
        )


def bucket_name_is_one_that_s3_takes(environment: Environment) -> Iterator[Contradiction]:
    name = environment.media.bucket
    for prefix in ("xn--", "sthree-", "amzn-s3-demo-"):
        if name.startswith(prefix):
            yield Contradiction("media.bucket", f"a name that does not begin with {prefix} (S3 reserves it)")
    for suffix in ("-s3alias", "--ol-s3", "--x-s3", "--table-s3"):
        if name.endswith(suffix):
            yield Contradiction("media.bucket", f"a name that does not end in {suffix} (S3 reserves it)")


def tasks_are_a_range(environment: Environment) -> Iterator[Contradiction]:
    for key, service in _services(environment):
        if service.min_tasks > service.max_tasks:
            yield Contradiction(
                f"{key}.min_tasks", f"at most {key}.max_tasks, which is {service.max_tasks}", "or raise max_tasks"
            )


def memory_fits_the_cpu(environment: Environment) -> Iterator[Contradiction]:
    for key, service in _services(environment):
        allowed = FARGATE_MEMORY[service.cpu]
        if service.memory_mib not in allowed:
            yield Contradiction(
                f"{key}.memory_mib",
                f"{allowed.start} to {allowed[-1]} in steps of {allowed.step}: Fargate's offer for cpu = {service.cpu}",
            )


_LONGEST_LABEL = 63

# The superuser's, RDS' own, migrations, rotation, and a person who looks.
_RESERVED_CONNECTIONS = 15


def database_has_connections_for_a_release(environment: Environment) -> Iterator[Contradiction]:
    """During a release blue and green both run, and both may be at their most."""
    api = environment.api
    tasks = 2 * (api.max_tasks + len(previews.slots(environment)))
    needed = tasks * api.database_connections + _RESERVED_CONNECTIONS
    there = connections(environment.database.instance)
    if needed > there:
        yield Contradiction(
            "api.database_connections",
            f"at most {max((there - _RESERVED_CONNECTIONS) // tasks, 1)}: blue and green at "
            f"api.max_tasks would open {needed} connections, db.{environment.database.instance} has about {there}",
            "or a larger database.instance, or fewer api.max_tasks",
        )


def previews_have_only_what_may_be_lost(environment: Environment) -> Iterator[Contradiction]:
    """They run code that nobody has reviewed, on copies of the environment's own data."""
    if environment.previews is not None and environment.protection.data != "disposable":
        yield Contradiction("previews", "nothing, or protection.data = disposable: pull requests run on its data")


def previews_have_names(environment: Environment) -> Iterator[Contradiction]:
    zone = environment.domains.zone
    for slot in previews.slots(environment):
        for service, host in previews.hosts(environment, slot).items():
            key = "domains.site" if service == "frontend" else f"domains.{service}"
            label = host.removesuffix(f".{zone}")
            if getattr(environment.domains, key.removeprefix("domains.")) == zone:
                yield Contradiction(key, f"a label before {zone}: its previews are found beside it")
            elif len(label) > _LONGEST_LABEL:
                yield Contradiction(key, f"a name short enough for {host}: {_LONGEST_LABEL} letters before {zone}")


DEPLOYMENT_MINUTES = 330
"""Of a job that deploys: GitHub ends one after 360 minutes, and ours have 350, twenty of them for set-up and checks."""
_OTHER_STACKS_MINUTES = 90  # an RDS change takes an hour
_TASKS_MINUTES = 15  # until the new tasks are healthy


def deployment_fits_into_one_job(environment: Environment) -> Iterator[Contradiction]:
    """Both services may change with everything else, one after the other; migrations run before the API."""
    services = list(_services(environment))
    rest = _OTHER_STACKS_MINUTES + environment.api.migrations.minutes + _TASKS_MINUTES * len(services)
    most = (DEPLOYMENT_MINUTES - rest) // len(services)
    if rest + sum(service.bake_minutes for _, service in services) <= DEPLOYMENT_MINUTES:
        return
    for key, service in services:
        if service.bake_minutes > max(most, 5):
            yield Contradiction(
                f"{key}.bake_minutes",
                f"at most {max(most, 5)} for each service: a job on GitHub ends after six hours",
                f"{rest} minutes are for the other stacks, api.migrations.minutes and the start of tasks",
            )
    if most < 5:  # the shortest bake that the model allows
        expected = f"at most {environment.api.migrations.minutes - len(services) * (5 - most)}"
        yield Contradiction("api.migrations.minutes", f"{expected}: a job on GitHub ends after six hours")


def frontend_is_hosted_one_way(environment: Environment) -> Iterator[Contradiction]:
    if (environment.frontend.ecs is None) == (environment.frontend.amplify is None):
        yield Contradiction("frontend", "exactly one of the tables [frontend.ecs] and [frontend.amplify]")


def analytics_have_a_path(environment: Environment) -> Iterator[Contradiction]:
    if environment.frontend.ecs is None and environment.posthog is not None:
        yield Contradiction("posthog", "[frontend.ecs] beside it", "events take a path of the site, not Amplify's")


def whoever_releases_the_site_is_known(environment: Environment) -> Iterator[Contradiction]:
    if environment.frontend.ecs is not None and environment.delivery.frontend is None:
        yield Contradiction("delivery.frontend", "the repository of the site, as [frontend.ecs] is released from there")


def repositories_are_different(environment: Environment) -> Iterator[Contradiction]:
    """Their tokens differ in the repository only: one that had two roles could do what both may."""
    delivery = environment.delivery
    repositories = [delivery.repository, delivery.backend, *([delivery.frontend] if delivery.frontend else [])]
    names = {re.sub(r"@\d+", "", each).lower() for each in repositories}  # GitHub's names do not differ by case
    ids = [each.rpartition("@")[2] for each in repositories if "@" in each]
    if len(names) != len(repositories) or len(set(ids)) != len(ids):
        expected = "repositories that are all different: a role each, which may do what that one has to"
        yield Contradiction("delivery.repository", expected)


def redis_is_one_of_three(environment: Environment) -> Iterator[Contradiction]:
    """Each instance in exactly one way, and one of the instances serves."""
    redis = environment.redis
    if redis.serves not in redis.instances:
        yield Contradiction("redis.serves", f"the name of an instance: {', '.join(redis.instances)}")
    for name, instance in redis.instances.items():
        ways = [way for way in ("elasticache", "upstash", "external") if getattr(instance, way) is not None]
        where = f"redis.instances.{name}"
        if len(ways) != 1:
            tables = f"exactly one of the tables [{where}.elasticache], [{where}.upstash], [{where}.external]"
            yield Contradiction(where, tables)


def redis_shards_have_replicas(environment: Environment) -> Iterator[Contradiction]:
    """ElastiCache's own rule: with cluster mode goes automatic failover, and for that there has to be a replica."""
    for name, instance in environment.redis.instances.items():
        cache = instance.elasticache
        if cache is not None and cache.shards is not None and cache.replicas < 1:
            yield Contradiction(f"redis.instances.{name}.elasticache.replicas", "1 to 5, as there are shards")


def upstash_reads_elsewhere(environment: Environment) -> Iterator[Contradiction]:
    for name, instance in environment.redis.instances.items():
        if instance.upstash is not None and instance.upstash.region in instance.upstash.read_regions:
            where = f"redis.instances.{name}.upstash.read_regions"
            yield Contradiction(where, "regions other than the one that is written, which is read anyway")


def disposable_data_has_a_reason(environment: Environment) -> Iterator[Contradiction]:
    if environment.protection.data == "disposable" and environment.protection.reason is None:
        yield Contradiction("protection.reason", "why this data may be lost, in twenty characters or more")


def kept_data_can_be_recovered(environment: Environment) -> Iterator[Contradiction]:
    if environment.protection.data == "keep" and environment.database.pitr_days < 7:
        yield Contradiction("database.pitr_days", "7 to 35 while protection.data is keep")


def kept_data_survives_a_zone(environment: Environment) -> Iterator[Contradiction]:
    """An environment whose data is kept serves users, and goes on serving them when a zone is lost."""
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
    serving = redis.instances[redis.serves].elasticache if redis.serves in redis.instances else None
    if serving is not None and serving.replicas < 1:
        yield Contradiction(f"redis.instances.{redis.serves}.elasticache.replicas", f"1 to 5 {because}")
    for key, service in _services(environment):
        if service.min_tasks < 2:
            yield Contradiction(f"{key}.min_tasks", f"2 or more {because}")
        if service.spot:
            yield Contradiction(f"{key}.spot", "false while protection.data is keep: Spot may end every task at once")


def kept_data_is_watched(environment: Environment) -> Iterator[Contradiction]:
    if environment.protection.data == "keep":
        for severity in ("critical", "warning"):
            route: Route = getattr(environment.alarms, severity)
            if not (route.email or route.slack_channel or route.webhook_secret):
                yield Contradiction(f"alarms.{severity}", "at least one way to people while protection.data is keep")


def slack_is_let_in(environment: Environment) -> Iterator[Contradiction]:
    alarms = environment.alarms
    channels = [route.slack_channel for route in (alarms.critical, alarms.warning, alarms.info)]
    if any(channels) and alarms.slack_workspace is None:
        yield Contradiction("alarms.slack_workspace", "the id of the workspace whose channels are told")


RULES: tuple[Rule, ...] = (
    zones_belong_to_the_region,
    slack_is_let_in,
    network_has_room,
    endpoints_come_in_working_sets,
    hostnames_are_in_the_zone,
    redirected_names_are_of_nothing_else,
    hostnames_have_an_edge_certificate,
    plan_can_do_it,
    whoever_owns_the_zone_is_told,
    storage_can_grow,
    bucket_name_is_one_that_s3_takes,
    tasks_are_a_range,
    memory_fits_the_cpu,
    database_has_connections_for_a_release,
    previews_have_only_what_may_be_lost,
    previews_have_names,
    deployment_fits_into_one_job,
    frontend_is_hosted_one_way,
    analytics_have_a_path,
    whoever_releases_the_site_is_known,
    repositories_are_different,
    redis_is_one_of_three,
    redis_shards_have_replicas,
    upstash_reads_elsewhere,
    disposable_data_has_a_reason,
    kept_data_can_be_recovered,
    kept_data_survives_a_zone,
    kept_data_is_watched,
)


def nothing_is_claimed_twice(environments: _Named) -> Iterator[tuple[str, Contradiction]]:
    """Yields (name of the environment, contradiction) for every environment of a clash: none is to be deployed."""
    claimed: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for name, environment in sorted(environments.items()):
        claims = [
            ("media.bucket", environment.media.bucket),
            *((f"domains.{key}", host) for key, host in _hosts(environment)),
            *(
                ("previews", host)
                for slot in previews.slots(environment)
                for host in previews.hosts(environment, slot).values()
            ),
            ("delivery.environment", f"{environment.delivery.repository} {environment.delivery.environment}"),
        ]
        for key, value in claims:
            of = "host" if key == "previews" or key.startswith("domains.") else key
            claimed.setdefault((of, value), []).append((name, key))
    for holders in claimed.values():
        for name, key in holders:
            others = sorted({other for other, _ in holders} - {name})
            if others:
                expected = "something that no other environment uses"
                yield name, Contradiction(key, expected, f"{', '.join(others)} has it already")


def each_account_has_one_oidc_provider(environments: _Named) -> Iterator[tuple[str, Contradiction]]:
    by_account: dict[str, list[str]] = {}
    for name, environment in sorted(environments.items()):
        by_account.setdefault(environment.aws.account, []).append(name)
    for account, names in by_account.items():
        owners = [name for name in names if environments[name].delivery.owns_oidc_provider]
        if len(owners) != 1:
            expected = f"true for exactly one environment of account {account}"
            for name in owners or names:
                yield (
                    name,
                    Contradiction("delivery.owns_oidc_provider", expected, f"true for: {', '.join(owners) or 'none'}"),
                )


def _by_zone(environments: _Named) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, environment in sorted(environments.items()):
        found.setdefault(environment.domains.zone, []).append(name)
    return found


def each_zone_has_one_owner_and_one_plan(environments: _Named) -> Iterator[tuple[str, Contradiction]]:
    for zone, names in _by_zone(environments).items():
        owners = [name for name in names if environments[name].cloudflare.zone is not None]
        if len(owners) != 1:
            expected = f"the table [cloudflare.zone] in exactly one environment of {zone}"
            found = f"found in: {', '.join(owners) or 'none'}"
            for name in owners or names:
                yield name, Contradiction("cloudflare.zone", expected, found)
        plans = {name: environments[name].cloudflare.plan for name in names}
        for name in names:
            if other := next((each for each in names if plans[each] != plans[name]), None):
                expected = f'"{plans[other]}", as in {other}: they share the zone {zone}'
                yield name, Contradiction("cloudflare.plan", expected)


def rules_of_a_zone_fit_its_plan(environments: _Named) -> Iterator[tuple[str, Contradiction]]:
    for zone, names in _by_zone(environments).items():
        plan = PLANS[environments[names[0]].cloudflare.plan]
        for phase, most in plan.rules.items():
            each = {name: rules_by_phase(environments[name])[phase] for name in names}
            if sum(each.values()) > most and len(names) > 1:
                key = "cloudflare.rate_limits" if phase == RATE_LIMIT else "cloudflare.plan"
                told = ", ".join(f"{name} {count}" for name, count in each.items())
                expected = f"at most {most} rules of {phase} in {zone}: that is all of the plan {plan.name}"
                for name in names:
                    yield name, Contradiction(key, expected, told)


BETWEEN_ENVIRONMENTS = (
    nothing_is_claimed_twice,
    each_account_has_one_oidc_provider,
    each_zone_has_one_owner_and_one_plan,
    rules_of_a_zone_fit_its_plan,
)
