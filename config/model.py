"""What may differ between environments. Everything else is a constant inside a construct.

Every model is frozen and strict: a key that is not here is an error, and so is a string where a number belongs.
Limits of single values are here, rules about several values in `config.rules`.
"""

import re
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from config.plans import PlanName
from config.schedules import InvalidSchedule, longest_gap
from infra_runtime.contract.redis_url import InvalidRedisUrl, parse


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _canonical_cidr(value: str) -> str:
    try:
        network = IPv4Network(value)
    except ValueError as error:
        raise ValueError(f"an IPv4 network without host bits, like 10.20.0.0/16 ({error})") from error
    if not network.is_private:
        raise ValueError("a network from the private ranges of RFC 1918, like 10.20.0.0/16")
    return value


def _no_repetition(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) != len(values):
        raise ValueError("values that are all different")
    return values


def _a_schedule(value: str) -> str:
    try:
        longest_gap(value)
    except InvalidSchedule as error:
        raise ValueError(str(error)) from None
    return value


def _not_latest(value: str) -> str:
    if value.endswith(":latest"):
        raise ValueError("a digest, or a tag other than latest")
    return value


def _not_derived(value: str) -> str:
    # GitHub ignores case in the names of environments.
    if value.lower().endswith("-drift"):
        of = value[: -len("-drift")] or "ENV"
        raise ValueError(f"a name that does not end in -drift: {value} would be the drift environment of {of}")
    return value


def _not_the_url_itself(value: object) -> object:
    if isinstance(value, str) and "://" in value:
        try:
            parse(value)
            found = "is valid"
        except InvalidRedisUrl as error:
            found = f"is invalid: {error}"
        raise ValueError(f"the name of a secret that holds the URL; as a URL, this value {found}")
    return value


def _not_like_a_whole_arn(name: str) -> str:
    # A task definition knows the secret by its name alone, and Secrets Manager takes such a name for one with the
    # suffix that it appends itself: the tasks are denied it (API reference, GetSecretValue; aws-cdk #18555).
    if re.search(r"-[A-Za-z0-9]{6}$", name):
        raise ValueError("a name that does not end with a hyphen and six characters: ECS could not find the secret")
    return name


def _a_secret_and_perhaps_a_field(value: str) -> str:
    name, _, field = value.partition(":")
    if not re.fullmatch(r"[A-Za-z0-9/_+=.@-]{1,512}", name):
        raise ValueError(
            "the name of a secret in Secrets Manager, like daadaar/jwt; for one field of its JSON, name:field"
        )
    if ":" in value and not re.fullmatch(r"[A-Za-z0-9_.-]+", field):
        raise ValueError(f"the name of a secret and one field of its JSON, like {name}:password")
    _not_like_a_whole_arn(name)
    return value


_HOSTNAME = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$"

Hostname = Annotated[str, Field(pattern=_HOSTNAME, max_length=253, examples=["api.example.com"])]
Cidr = Annotated[str, AfterValidator(_canonical_cidr), WithJsonSchema({"type": "string", "examples": ["10.20.0.0/16"]})]
EmailAddress = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\.[a-z]{2,63}$", examples=["oncall@example.com"])]
AwsRegion = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$", examples=["eu-central-1"])]
ZoneName = Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-\d[a-z]$", examples=["eu-central-1a"])]
GitHubRepository = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$", examples=["example/backend"])]
# As GitHub begins a token's `sub`, without `repo:`. Created, renamed or transferred since 2026-07-15, a repository is
# known by its ids as well (GitHub's changelog of 2026-04-23; docs.github.com, OpenID Connect reference).
TrustedRepository = Annotated[
    str,
    Field(
        pattern=r"^([A-Za-z0-9-]+/[A-Za-z0-9._-]+|[A-Za-z0-9-]+@[1-9][0-9]*/[A-Za-z0-9._-]+@[1-9][0-9]*)$",
        examples=["example/backend", "example@123456/backend@789012"],
    ),
]
SecretName = Annotated[str, Field(pattern=r"^[A-Za-z0-9/_+=.@-]{1,512}$")]
ServiceName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=16, examples=["api"])]
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=128, examples=["SITE_URL"])]
SecretReference = Annotated[
    str,
    AfterValidator(_a_secret_and_perhaps_a_field),
    WithJsonSchema({"type": "string", "examples": ["daadaar/production/jwt", "daadaar/production/mail:password"]}),
]
RuleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$", examples=["sign-in"])]
ObjectPrefix = Annotated[str, Field(pattern=r"^([A-Za-z0-9_-]+/)+$", max_length=200, examples=["og/"])]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$", examples=["daadaar-api"])]
UrlPath = Annotated[str, Field(pattern=r"^/[A-Za-z0-9/_.-]*$")]
FolderPath = Annotated[str, Field(pattern=r"^(/[A-Za-z0-9._-]+)+$", examples=["/app/.next/cache"])]
FieldPath = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$", examples=["services.redis"])]
Reason = Annotated[str, Field(min_length=20, description="Why, in words that an outsider can check.")]

# Fargate offers tasks in these pairs only: vCPU units → MiB (AWS documentation, "Task CPU and memory"; read 2026-11).
FARGATE_MEMORY: dict[int, range] = {
    256: range(512, 2048 + 1, 512),
    512: range(1024, 4096 + 1, 1024),
    1024: range(2048, 8192 + 1, 1024),
    2048: range(4096, 16384 + 1, 1024),
    4096: range(8192, 30720 + 1, 1024),
}


class Aws(Section):
    """The AWS account and region of the environment."""

    account: str = Field(pattern=r"^\d{12}$", description="The AWS account's twelve digits.", examples=["111122223333"])
    region: AwsRegion


class Domains(Section):
    """The Cloudflare zone of all host names, and the host name of media. Each service has its own `host`."""

    zone: Hostname
    media: Hostname = Field(description="Host name of media from the bucket, cached by Cloudflare.")
    redirects: dict[Hostname, str] = Field(
        default={},
        description="More host names, each with the service to whose host Cloudflare redirects it, path included.",
    )


class OwaspException(Section):
    """Requests that the OWASP ruleset mistakes for attacks."""

    host: Hostname = Field(description="Host name of any environment that shares the zone.")
    path: str = Field(default="/", pattern=r"^/[A-Za-z0-9/_.-]*$", description="Beginning of the path.")
    rules: list[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]] = Field(
        default=[], description="Ids of the rules to skip, as Cloudflare shows them under Security → Events; none: all."
    )


class Owasp(Section):
    """OWASP Core Ruleset: its sensitivity and its action."""

    paranoia: Literal[1, 2, 3, 4] = Field(description="Higher levels find more attacks, with more false positives.")
    threshold: Literal[25, 40, 60] = Field(
        description="Score from which a request counts as an attack; lower is stricter (Cloudflare: 25 is high)."
    )
    action: Literal["managed_challenge", "block", "log"] = Field(
        default="managed_challenge",
        description="log only observes. managed_challenge skips this environment's APIs and analytics path, because "
        "programs cannot solve a challenge; Cloudflare's managed ruleset still checks them. block checks them, too. "
        "APIs and analytics paths of the zone's other environments are always skipped.",
    )
    exceptions: dict[RuleName, OwaspException] = Field(default={}, description="Exceptions by name.")


class SharedZone(Section):
    """Settings that a Cloudflare zone has once. The environment with this table sets them for all in the zone."""

    owasp: Owasp | None = Field(default=None, description="Required on the plan pro or better, refused on free.")
    ddos_sensitivity: Literal["default", "medium", "low", "eoff"] = Field(
        default="default",
        description="Sensitivity of the HTTP DDoS protection, which is always on; eoff is essentially off.",
    )


class RateLimit(Section):
    """How many requests one IP address may send to one part of a service."""

    service: ServiceName = Field(
        description="The service whose host is limited; on a plan whose limits cannot name a host, all hosts are."
    )
    path: str = Field(pattern=r"^/[A-Za-z0-9/_.-]*$", description="Beginning of the path.", examples=["/api/auth/"])
    requests: int = Field(
        ge=1, le=1_000_000, description="Requests in a period, counted separately in each of Cloudflare's locations."
    )
    period_seconds: Literal[10, 60, 120, 300, 600, 3600]
    block_seconds: Literal[10, 60, 120, 300, 600, 3600, 86400]


class Cloudflare(Section):
    """The Cloudflare zone in front of all services."""

    plan: PlanName = Field(
        description="Plan of the zone. Keys that the plan does not support are configuration errors."
    )
    token_secret: SecretName = Field(
        description="Name of the Secrets Manager secret that holds the API token (docs/cloudflare-token.md); "
        "never the token itself.",
    )
    adopt: bool = Field(
        default=False,
        description="Take over existing records and rules that conflict with ours. Otherwise the deployment stops.",
    )
    rate_limits: dict[RuleName, RateLimit] = Field(default={}, description="Rate limits by name.")
    zone: SharedZone | None = Field(default=None, description="Present in exactly one environment of each zone.")


class Network(Section):
    """The VPC."""

    cidr: Cidr = Field(description="Must not overlap with any network that this one will ever be peered with.")
    # Named, not counted: with account and region written down, a synth without credentials would otherwise
    # place everything in zones called dummy1a and dummy1b.
    availability_zones: Annotated[tuple[ZoneName, ...], AfterValidator(_no_repetition)] = Field(
        min_length=2, max_length=3
    )
    nat: Literal["per-az", "single", "instance"] = Field(
        description="How private subnets reach the internet. Prices in eu-central-1, 2026-11, without traffic: "
        "per-az about 38 USD a month and zone; single about 38 USD, but losing its zone cuts everyone off; "
        "instance about 7 USD for one t4g.micro, which is not repaired automatically."
    )
    interface_endpoints: Annotated[
        tuple[Literal["ecr.api", "ecr.dkr", "logs", "secretsmanager", "ssm", "kms"], ...],
        AfterValidator(_no_repetition),
    ] = Field(
        default=(),
        description="AWS services reached without NAT, about 8 USD a month for each service and zone. "
        "A task needs ecr.api, ecr.dkr, logs and secretsmanager to start while NAT is down.",
    )


class Database(Section):
    """RDS PostgreSQL."""

    version: Literal[17, 18] = Field(
        default=17,
        description="Major version of PostgreSQL. Before a new one: `infra database upgrade ENV --to VERSION`.",
    )
    instance: str = Field(
        pattern=r"^(t4g\.(micro|small|medium|large|2?xlarge)|[mr][78]g\.(large|(2|4|8|12|16|24|48)?xlarge))$",
        description="Instance class without its `db.` prefix; Graviton only.",
        examples=["t4g.medium", "r8g.large"],
    )
    multi_az: bool = Field(description="A standby in another zone; fails over by DNS in one to two minutes.")
    storage_gib: int = Field(ge=20, le=65536)
    max_storage_gib: int = Field(ge=22, le=65536, description="Storage grows automatically up to this size.")
    pitr_days: int = Field(ge=1, le=35, description="Daily backups and point-in-time recovery reach back this far.")
    restore_drills: bool = Field(
        default=False,
        description="Each month AWS Backup restores the database, and a function verifies the restored one. AWS Backup "
        "then owns the continuous backup: change `pitr_days` only while this is false (docs/adr/0028).",
    )
    rpo_minutes: int | None = Field(
        default=None,
        ge=10,
        le=1440,
        description="Recovery point objective: how many minutes of writes may be lost. Alarms and drills measure it. "
        "RDS saves the log every five minutes.",
    )
    rto_minutes: int | None = Field(
        default=None,
        ge=30,
        le=1440,
        description="Recovery time objective: how long a restore and its verification may take before the switchover.",
    )
    insights: Literal["standard", "advanced"] = Field(
        description="Database Insights; `advanced` keeps 15 months of query statistics and is billed per vCPU."
    )


class ElastiCache(Section):
    """A replication group in the VPC: TLS, AUTH, automatic failover."""

    node: str = Field(
        pattern=r"^cache\.(t4g\.(micro|small|medium)|[mr]7g\.(large|(2|4|8|12|16)?xlarge))$",
        examples=["cache.t4g.small", "cache.r7g.large"],
    )
    replicas: int = Field(
        ge=0,
        le=5,
        description="Replicas of each primary. With at least one: Multi-AZ with automatic failover.",
    )
    shards: int | None = Field(
        default=None, ge=3, le=90, description="Cluster mode, for more writes than one node can take."
    )
    engine: Literal["valkey-7.2", "valkey-8.0", "valkey-8.1"] = Field(
        default="valkey-8.1", description="Upgraded in place, node by node; ElastiCache cannot downgrade."
    )
    snapshot_days: int = Field(default=1, ge=1, le=35, description="Daily snapshots are kept this long.")


class Upstash(Section):
    """A database that is created through Upstash's API: TLS, several regions, billed by request."""

    credentials_secret: SecretName = Field(
        description="Name of the Secrets Manager secret that holds the e-mail address and the API key "
        "(docs/redis-upstash.md); never the credentials themselves.",
    )
    region: AwsRegion = Field(description="Region that takes the writes. To move, create another instance.")
    read_regions: Annotated[tuple[AwsRegion, ...], AfterValidator(_no_repetition)] = Field(
        default=(), description="More regions, for reads."
    )


class External(Section):
    """Redis that you provide: Sentinel, Cluster, Redis Cloud or your own servers."""

    url_secret: Annotated[SecretName, BeforeValidator(_not_the_url_itself), AfterValidator(_not_like_a_whole_arn)] = (
        Field(
            description="Name of the Secrets Manager secret that holds the REDIS_URL, with TLS and a password; "
            "never the URL itself. It is checked before the tasks get it.",
        )
    )
    ports: Annotated[tuple[Annotated[int, Field(ge=1, le=65535)], ...], AfterValidator(_no_repetition)] = Field(
        min_length=1, max_length=5, description="Ports on which the servers listen; tasks can reach no others."
    )


class RedisInstance(Section):
    """One Redis. Exactly one of the three tables is present."""

    eviction: bool = Field(
        default=True,
        description="What happens when memory is full. true, for a cache: keys are evicted. false, for a queue: writes "
        "fail and no key is lost; keys without expiry are allowed.",
    )
    elasticache: ElastiCache | None = None
    upstash: Upstash | None = None
    external: External | None = None


class Redis(Section):
    """The required cache, whose data may be lost, and an optional queue."""

    serves: str = Field(description="Name of the instance that services with the need redis get as REDIS_URL.")
    queue: str | None = Field(
        default=None,
        description="Name of the instance that services with the need queue get as REDIS_QUEUE_URL; "
        "it has eviction = false.",
    )
    instances: dict[RuleName, RedisInstance] = Field(
        min_length=1, description="Instances by name. During a migration there are more than are in use."
    )


class Media(Section):
    """The bucket behind the media hostname."""

    bucket: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$",
        description="Globally unique. No dots: TLS to S3 by wildcard certificate would fail (Cloudflare strict mode).",
        examples=["example-media-a1b2c3"],
    )
    adopt: bool = Field(default=False, description="The bucket exists already: use it, neither create nor delete it.")
    origin: Literal["connector", "worker"] = Field(
        default="connector",
        description="How Cloudflare reads the private bucket. connector: Cloud Connector and a secret User-Agent, "
        "without charge; no public evidence yet that Cloudflare forwards that header. worker: a Worker that signs each "
        "request (SigV4), charged by the request, cached ones included (docs/adr/0017).",
    )
    ttl_seconds: dict[ObjectPrefix, Annotated[int, Field(ge=60, le=604800)]] = Field(
        default={},
        description="How long Cloudflare and browsers keep objects that change under the same name, such as images of "
        "link previews; by the prefix of their keys. All other media: a month (five minutes if origin is worker, "
        "which no purge reaches) and a week. At least 7200 on the plan free and 3600 on pro, unless origin is worker.",
        examples=[{"og/": 3600}],
    )
    quarantine: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}/$",
        description="Prefix for uploads. An upload stays unreadable until a GuardDuty scan finds no threat; "
        "then it moves to its key without the prefix. Charged by scanned GB and object (docs/uploads.md).",
        examples=["uploads/"],
    )
    egress_saving_percent: int = Field(
        default=78,
        ge=1,
        le=99,
        description="Target share of media bytes that Cloudflare's cache saves S3 from sending. Four days of a week "
        "below it raise a warning (docs/egress.md).",
    )


class Objective(Section):
    """Service level objective over 30 days. Alarms fire when its error budget burns too fast."""

    availability_percent: float = Field(ge=90, le=99.99, description="Share of requests that end in no 5xx.")
    fast_percent: float = Field(ge=50, le=99.9, description="Share of requests that are answered within fast_seconds.")
    fast_seconds: float = Field(ge=0.05, le=30)


class Migrations(Section):
    """Database migrations. A task of the new image runs them before the new version serves."""

    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] = Field(
        default=("npx", "drizzle-kit", "migrate"), description="Exits with 0 once all migrations are applied."
    )
    minutes: int = Field(default=30, ge=1, le=240, description="Time limit for waiting and running together.")


class ReleaseCheck(Section):
    """What each new task must answer before users reach it. Without this table: 200 at `health_path`."""

    path: UrlPath = Field(description="Must answer 200.", examples=["/api/health/release"])
    version_field: FieldPath | None = Field(
        default=None, description="Field of the JSON answer that repeats the variable RELEASE."
    )
    expect: dict[FieldPath, str] = Field(default={}, description="Fields of the JSON answer and their expected values.")
    restart_minutes: int | None = Field(
        default=None,
        ge=5,
        le=60,
        description="Replaces the tasks when the service has failed `expect` for this many minutes although the probe "
        "reaches Redis: for clients that do not reconnect. At most once in half an hour.",
    )


class Amplify(Section):
    """AWS Amplify Hosting builds and serves the site itself, from its repository."""

    repository: GitHubRepository
    branch: str = Field(min_length=1, max_length=255)
    access_token_secret: SecretName = Field(
        description="Name of the Secrets Manager secret that holds a GitHub token; never the token itself.",
    )


class SentryProject(Section):
    """A project at Sentry."""

    project: Slug
    dsn: str = Field(
        pattern=r"^https://[0-9a-f]+@[a-z0-9.-]+/\d+$",
        description="Address that errors are sent to. It is no secret: a site shows it to every browser.",
        examples=["https://0123456789abcdef0123456789abcdef@o1.ingest.de.sentry.io/1"],
    )


class SentryService(SentryProject):
    """The service's project at Sentry, and how many requests are traced and profiled (docs/sentry.md)."""

    traces_sample_rate: float = Field(
        default=0.01,
        ge=0,
        le=1,
        description="Share of requests, and of page loads of a site, that are traced. Sentry charges for each span.",
    )
    profile_session_sample_rate: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of processes, and of browser tabs of a site, that are profiled while a traced request or "
        "page load lasts.",
    )


class Queue(Section):
    """The worker's queue in the Redis of `redis.queue`. The number of tasks follows the waiting jobs."""

    keys: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[!-~]{1,200}$", examples=["bull:mail:wait"])], ...],
        AfterValidator(_no_repetition),
    ] = Field(
        min_length=1,
        max_length=8,
        description="Lists or sorted sets of waiting jobs. BullMQ: bull:NAME:wait and bull:NAME:prioritized; "
        "Sidekiq: queue:NAME; Celery: NAME; RQ: rq:queue:NAME.",
    )
    jobs_per_task: int = Field(
        ge=1,
        le=100_000,
        description="Waiting jobs for each running task. With more, tasks are added up to max_tasks; with fewer, tasks "
        "are removed down to min_tasks.",
    )
    stuck_minutes: int = Field(
        default=15,
        ge=5,
        le=1440,
        description="A critical alarm fires when jobs wait and no job has left the queue for this many minutes.",
    )


class Service(Section):
    """One service: with a `host` it is reached through the load balancer, without one it is a worker."""

    host: Hostname | None = Field(default=None, description="Public host name.")
    former_host: Hostname | None = Field(
        default=None,
        description="The host name before `host` changed. The load balancer serves it too until Cloudflare "
        "redirects it: `domains.redirects` must lead it to this service (docs/runbooks/host.md).",
    )
    site: bool = Field(
        default=False,
        description="true: a website. Cloudflare challenges bots, Next.js's static files come from the media bucket, "
        "and the image's build gets the variables as arguments. false: an API for programs.",
    )
    repository: TrustedRepository | None = Field(
        default=None, description="Repository of the service's code. Its workflows may release only this service."
    )
    runs: ServiceName | None = Field(
        default=None,
        description="The service whose image this one runs, and with which it is released and rolled back. It gets "
        "that service's variables and secrets, and its own.",
    )
    amplify: Amplify | None = Field(default=None, description="Hosts the site on AWS Amplify instead of ECS.")
    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] | None = Field(
        default=None, description="Replaces the image's own command."
    )
    health_command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] | None = Field(
        default=None, description="For a worker: runs in the container and exits with 0 while the worker is healthy."
    )
    architecture: Literal["arm64", "x86_64"] = Field(
        default="arm64", description="CPU architecture of the image; a release built for another one is refused."
    )
    writable: Annotated[tuple[FolderPath, ...], AfterValidator(_no_repetition)] = Field(
        default=(),
        max_length=8,
        description="Folders besides /tmp that the application writes to, such as .next/cache; they start empty.",
    )
    cpu: Literal[256, 512, 1024, 2048, 4096] = Field(default=256, description="1024 is one vCPU.")
    memory_mib: int = Field(default=512, ge=512, le=30720)
    min_tasks: int = Field(default=1, ge=1, le=500)
    max_tasks: int = Field(default=1, ge=1, le=500)
    queue: Queue | None = Field(
        default=None, description="For a worker: scales with the waiting jobs instead of CPU and memory."
    )
    spot: bool = Field(default=False, description="Fargate Spot: up to 70 % cheaper, tasks end on two minutes' notice.")
    port: int | None = Field(
        default=None, ge=1024, le=65535, description="Port of the container, which does not run as root."
    )
    target_group_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="After a change of `port`, the old one: CloudFormation would otherwise replace the target groups. "
        "Tasks are always registered with `port`.",
    )
    health_path: UrlPath | None = Field(
        default=None,
        description="Liveness: must answer 200 without touching Redis or the database. Before another path, release an "
        "image that answers both: the deployment asks running tasks first.",
        examples=["/api/health/live"],
    )
    sticky_minutes: int | None = Field(
        default=None,
        ge=1,
        le=10_080,
        description="For a service that keeps state in its process: how long a cookie ties a browser to one task. A "
        "release or a lost task ends it (docs/application-contract.md).",
    )
    redis_health_path: UrlPath | None = Field(
        default=None,
        description="Answers 200 while the service itself reaches Redis (docs/redis-client.md); the probe requests it.",
        examples=["/api/health/redis"],
    )
    release_check: ReleaseCheck | None = None
    # At least five: the alarms that can roll a release back need three minutes to see a fault.
    bake_minutes: int = Field(
        default=15,
        ge=5,
        le=1440,
        description="How long the old version stays ready after all traffic has moved to the new one.",
    )
    objective: Objective | None = Field(default=None, description="Without it, only outages raise alarms.")
    needs: Annotated[tuple[Literal["database", "redis", "queue", "media"], ...], AfterValidator(_no_repetition)] = (
        Field(default=(), description="What it may reach; it gets their addresses and logins as variables.")
    )
    database_connections: int | None = Field(
        default=None,
        ge=1,
        le=200,
        description="Largest connection pool of each task; the application reads it as PG_POOL_MAX.",
    )
    migrations: Migrations | None = Field(default=None, description="Without it, a release leaves the schema alone.")
    sentry: SentryService | None = Field(default=None, description="Without it, errors are in the logs only.")
    variables: dict[VariableName, str] = Field(
        default={},
        description="${services.NAME.url}, ${services.NAME.host}, ${media.url}, ${media.bucket}, ${environment} and "
        "${region} are replaced, in a preview by the preview's; write $${ for a plain ${.",
    )
    secrets: dict[VariableName, SecretReference] = Field(
        default={}, description="Names of secrets in Secrets Manager, or name:field; never the values."
    )


class Job(Section):
    """A scheduled command of a service's image. It never runs twice at a time."""

    runs: ServiceName = Field(description="The service whose image, variables, secrets and permissions it uses.")
    schedule: Annotated[str, AfterValidator(_a_schedule)] = Field(
        description="rate(15 minutes) or cron(30 3 * * ? *). In UTC, which has no daylight saving time.",
        examples=["rate(15 minutes)", "cron(30 3 * * ? *)"],
    )
    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)]
    cpu: Literal[256, 512, 1024, 2048, 4096] = Field(default=256, description="1024 is one vCPU.")
    memory_mib: int = Field(default=512, ge=512, le=30720)
    minutes: int = Field(default=30, ge=1, le=1440, description="Time limit of an attempt, including its start.")
    retries: int = Field(default=0, ge=0, le=5, description="Further attempts after a failure.")
    overdue_hours: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="Alarm when the last success is older. Default: one and a half times the longest pause of the "
        "schedule, plus the time limits of all attempts.",
    )


class Route(Section):
    """How people are notified of one severity; {} notifies no one."""

    email: Annotated[tuple[EmailAddress, ...], AfterValidator(_no_repetition)] = Field(
        default=(), description="Each address confirms once, by a link that AWS sends it."
    )
    slack_channel: str | None = Field(
        default=None,
        pattern=r"^[CG][A-Z0-9]{8,20}$",
        description="Id of a channel, not its name. Environments of one AWS account need different channels.",
        examples=["C0123ABCDEF"],
    )
    webhook_secret: SecretName | None = Field(
        default=None,
        description='Name of the Secrets Manager secret that holds {"routing_key": the integration key of PagerDuty\'s '
        "Events API v2}, or the https URL of another webhook; never the value itself.",
    )


class Alarms(Section):
    """Who is notified of an alarm, by severity."""

    critical: Route = Field(description="For alarms that need a reaction at once, also at night.")
    warning: Route = Field(description="For alarms that can wait until the next working day.")
    info: Route = Field(default=Route(), description="For the record.")
    slack_workspace: str | None = Field(
        default=None,
        pattern=r"^T[A-Z0-9]{8,20}$",
        description="Id of the workspace. Authorize it once in the console of Amazon Q Developer in chat applications.",
        examples=["T0123ABCDEF"],
    )


def routes(alarms: Alarms) -> dict[str, Route]:
    """The routes by severity, the worst first."""
    return {"critical": alarms.critical, "warning": alarms.warning, "info": alarms.info}


class Delivery(Section):
    """Who may deploy: workflows of this GitHub repository, running in one GitHub environment. Services name their own.

    OWNER/NAME for a repository whose tokens have its name only, OWNER@OWNER_ID/NAME@REPOSITORY_ID where they have ids:
    `gh api repos/OWNER/NAME/actions/oidc/customization/sub --jq .sub_claim_prefix` says which.
    """

    repository: TrustedRepository = Field(
        description="Repository of this infrastructure; its workflows deploy all stacks."
    )
    environment: Annotated[str, AfterValidator(_not_derived)] = Field(
        pattern=r"^[A-Za-z0-9_-]{1,230}$",
        description="GitHub environment in that repository. In a service's repository, the service follows: dev-api.",
    )
    after: str | None = Field(
        default=None,
        description="The environment that a commit is deployed to before this one. Only the first one has none.",
        examples=["staging"],
    )
    # IAM knows one provider per URL and account; a second environment in the same account must not bring another.
    owns_oidc_provider: bool = Field(description="True for exactly one environment of each AWS account.")


class Sentry(Section):
    """The organization at Sentry. Each service names its own project."""

    organization: Slug
    token_secret: SecretName = Field(
        description="Name of the Secrets Manager secret with the token for Sentry's releases (docs/sentry.md); "
        "never the token itself.",
    )
    infrastructure: SentryProject = Field(description="Project for errors of the infrastructure's Lambda functions.")


class PostHog(Section):
    """Product analytics, through a path on the site's own host (docs/posthog.md)."""

    project_key: str = Field(
        pattern=r"^phc_[A-Za-z0-9]{20,100}$",
        description="API key of the project. It is no secret: every browser gets it.",
        examples=["phc_0123456789abcdefghijABCDEFGHIJ"],
    )
    region: Literal["eu", "us"] = Field(description="Where PostHog keeps the data.")


class Previews(Section):
    """Temporary deployments of pull requests, each with its own database."""

    slots: int = Field(
        ge=1,
        le=4,
        description="How many previews may run at once. A free slot costs nothing but time in each deployment.",
    )
    hours: int = Field(ge=1, le=336, description="A preview ends this many hours after its last push.")


class Costs(Section):
    """Budget of the environment, by the tag that all of its resources have."""

    monthly_usd: int = Field(
        ge=1,
        le=1_000_000,
        description="Monthly AWS budget. Notifies on a forecast overrun and on daily cost anomalies.",
    )


class Protection(Section):
    """What happens to data when its stack is destroyed."""

    data: Literal["keep", "disposable"] = Field(
        description="keep: deletion protection, final snapshot, bucket retained. disposable: gone with the stack."
    )
    reason: Reason | None = Field(default=None, description="Required when the data is disposable.")


class Environment(Section):
    """All settings of one environment."""

    product: str = Field(pattern=r"^[a-z][a-z0-9-]{1,19}$", description="First part of the name of every stack.")
    protection: Protection
    aws: Aws
    domains: Domains
    cloudflare: Cloudflare
    network: Network
    database: Database
    redis: Redis
    media: Media
    services: dict[ServiceName, Service] = Field(min_length=1, description="Services by name.")
    jobs: dict[ServiceName, Job] = Field(default={}, description="Jobs by name.")
    bootstrap_image: Annotated[str, AfterValidator(_not_latest)] = Field(
        pattern=r"^[a-z0-9.-]+(/[a-z0-9._-]+)+(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$",
        description="A public Node.js image that a service runs until its first release.",
        examples=["registry.example.com/library/node:24-alpine"],
    )
    alarms: Alarms
    costs: Costs
    delivery: Delivery
    sentry: Sentry | None = Field(default=None, description="Without it, errors are in the logs only.")
    posthog: PostHog | None = Field(default=None, description="Without it, there are no product analytics.")
    previews: Previews | None = Field(default=None, description="Allowed only where the data is disposable.")
