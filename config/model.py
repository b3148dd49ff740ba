"""What may differ between environments. Everything else is a constant inside a construct.

Every model is frozen and strict: a key that is not here is an error, and so is a string where a number belongs.
What one value may be is said here; what several values must be to each other is said in `config.rules`.
"""

import re
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from config.plans import PlanName
from config.schedules import NoSchedule, longest_gap
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
    except NoSchedule as error:
        raise ValueError(str(error)) from None
    return value


def _not_latest(value: str) -> str:
    if value.endswith(":latest"):
        raise ValueError("a digest, or a tag other than latest")
    return value


def _not_derived(value: str) -> str:
    # GitHub's names of environments do not differ by case.
    if value.lower().endswith("-drift"):
        of = value[: -len("-drift")] or "ENV"
        raise ValueError(f"a name that does not end in -drift: {value} would be the drift environment of {of}")
    return value


def _not_the_url_itself(value: object) -> object:
    if isinstance(value, str) and "://" in value:
        try:
            parse(value)
            found = "it would be read"
        except InvalidRedisUrl as error:
            found = str(error)
        raise ValueError(f"the name of a secret, and in that secret the URL (as it stands here: {found})")
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
Reason = Annotated[str, Field(min_length=20, description="Why, in words that a stranger can check.")]

# Tasks are offered by Fargate in these pairs only: vCPU units → MiB
# (AWS documentation, "Task CPU and memory"; read 2026-11).
FARGATE_MEMORY: dict[int, range] = {
    256: range(512, 2048 + 1, 512),
    512: range(1024, 4096 + 1, 1024),
    1024: range(2048, 8192 + 1, 1024),
    2048: range(4096, 16384 + 1, 1024),
    4096: range(8192, 30720 + 1, 1024),
}


class Aws(Section):
    """Where the environment lives."""

    account: str = Field(pattern=r"^\d{12}$", description="The AWS account's twelve digits.", examples=["111122223333"])
    region: AwsRegion


class Domains(Section):
    """The Cloudflare zone that holds every name, and the name of media. Each service has its own `host`."""

    zone: Hostname
    media: Hostname = Field(description="Media from the bucket, cached at the edge.")
    redirects: dict[Hostname, str] = Field(
        default={}, description="Other names of a service, which Cloudflare redirects to its host, with path and query."
    )


class OwaspException(Section):
    """Requests of which the OWASP ruleset is wrong."""

    host: Hostname = Field(description="Of any environment that shares the zone.")
    path: str = Field(default="/", pattern=r"^/[A-Za-z0-9/_.-]*$", description="Begins the path.")
    rules: list[Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]] = Field(
        default=[], description="Ids of the rules that are wrong (Security → Events says which); none: all of them."
    )


class Owasp(Section):
    """OWASP Core Ruleset: how suspicious it is, and what it does then."""

    paranoia: Literal[1, 2, 3, 4] = Field(description="Higher levels find more, and are wrong more often.")
    threshold: Literal[25, 40, 60] = Field(
        description="Score from which a request counts as an attack; lower is stricter (Cloudflare: 25 is high)."
    )
    action: Literal["managed_challenge", "block", "log"] = Field(
        default="managed_challenge",
        description="log only observes. A challenge cannot be solved by programs: with managed_challenge, OWASP does "
        "not see this environment's API and analytics path; Cloudflare's managed ruleset does. block is for them, too. "
        "OWASP never sees those of the zone's other environments.",
    )
    exceptions: dict[RuleName, OwaspException] = Field(default={}, description="By name.")


class SharedZone(Section):
    """Settings that a Cloudflare zone has once. The environment with this table decides for all that share the zone."""

    owasp: Owasp | None = Field(default=None, description="Needs the plan pro or better; required there.")
    ddos_sensitivity: Literal["default", "medium", "low", "eoff"] = Field(
        default="default", description="Of the HTTP DDoS protection, which is always on; eoff is essentially off."
    )


class RateLimit(Section):
    """How often one address may ask for one part of a service."""

    service: ServiceName = Field(description="Whose host; on a plan that cannot name hosts, the path of every host.")
    path: str = Field(pattern=r"^/[A-Za-z0-9/_.-]*$", description="Begins the path.", examples=["/api/auth/"])
    requests: int = Field(ge=1, le=1_000_000, description="In a period; counted in each of Cloudflare's locations.")
    period_seconds: Literal[10, 60, 120, 300, 600, 3600]
    block_seconds: Literal[10, 60, 120, 300, 600, 3600, 86400]


class Cloudflare(Section):
    """The zone in front of everything."""

    plan: PlanName = Field(description="The zone's; what it cannot do is refused here, before anything is deployed.")
    token_secret: SecretName = Field(
        description="Name of the Secrets Manager secret that holds the API token (docs/cloudflare-token.md); "
        "never the token itself.",
    )
    adopt: bool = Field(
        default=False,
        description="Take over existing records and rules that conflict with ours. Otherwise the deployment stops.",
    )
    rate_limits: dict[RuleName, RateLimit] = Field(default={}, description="By name.")
    zone: SharedZone | None = Field(default=None, description="In exactly one environment of each zone.")


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
        "instance about 4 USD for one t4g.nano that nobody repairs."
    )
    interface_endpoints: Annotated[
        tuple[Literal["ecr.api", "ecr.dkr", "logs", "secretsmanager", "ssm", "kms"], ...],
        AfterValidator(_no_repetition),
    ] = Field(
        default=(),
        description="AWS services reached without NAT, about 8 USD a month for each service and zone. "
        "A task needs ecr.api, ecr.dkr, logs and secretsmanager to start while NAT is away.",
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
    max_storage_gib: int = Field(ge=22, le=65536, description="Storage grows by itself up to here.")
    pitr_days: int = Field(ge=1, le=35, description="Daily backups and point-in-time recovery reach back this far.")
    restore_drills: bool = Field(
        default=False,
        description="Each month AWS Backup restores the database, and what it has restored is verified. It then keeps "
        "the continuous backup: change `pitr_days` only while this is false (docs/adr/0028-restore-drills.md).",
    )
    rpo_minutes: int | None = Field(
        default=None,
        ge=10,
        le=1440,
        description="Recovery point objective: what is written in this time may be lost. Backups and drills are "
        "measured by it. RDS saves the log every five minutes.",
    )
    rto_minutes: int | None = Field(
        default=None,
        ge=30,
        le=1440,
        description="Recovery time objective, without the switch: so long may a restore and its verification take.",
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
        description="Copies beside the primary, of each shard; from one on: Multi-AZ with automatic failover.",
    )
    shards: int | None = Field(
        default=None, ge=3, le=90, description="Cluster mode, for more writes than one node can take."
    )
    engine: Literal["valkey-7.2", "valkey-8.0", "valkey-8.1"] = Field(
        default="valkey-8.1", description="Upgraded in place, node after node; there is no way back."
    )
    snapshot_days: int = Field(default=1, ge=1, le=35, description="Daily snapshots are kept this long.")


class Upstash(Section):
    """A database that is made through Upstash's API: TLS, several regions, paid by request."""

    credentials_secret: SecretName = Field(
        description="Name of the Secrets Manager secret that holds the e-mail address and the API key "
        "(docs/redis-upstash.md); never these themselves.",
    )
    region: AwsRegion = Field(description="Where it is written. Another one is another instance.")
    read_regions: Annotated[tuple[AwsRegion, ...], AfterValidator(_no_repetition)] = Field(
        default=(), description="Where it is read besides."
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
        min_length=1, max_length=5, description="Where the servers listen; the tasks reach no others."
    )


class RedisInstance(Section):
    """One Redis, in one of three ways: exactly one of the tables is present."""

    eviction: bool = Field(
        default=True,
        description="When memory is full. true: keys give way, for a cache. false: writes fail and no key is lost, for "
        "a queue; keys without expiry are allowed.",
    )
    elasticache: ElastiCache | None = None
    upstash: Upstash | None = None
    external: External | None = None


class Redis(Section):
    """The required cache. Its data may be lost; that it is down may not go unnoticed. And a queue beside it."""

    serves: str = Field(description="Name of the instance whose URL services get that need redis.")
    queue: str | None = Field(
        default=None,
        description="Name of the instance whose URL services get that need queue, as REDIS_QUEUE_URL; "
        "it has eviction = false.",
    )
    instances: dict[RuleName, RedisInstance] = Field(
        min_length=1, description="By name; the others are there before a migration, or still there after one."
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
        "without charge; no public evidence yet that Cloudflare sends that header on. worker: a Worker that signs each "
        "request (SigV4), charged by the request, cached ones included (docs/adr/0017).",
    )
    ttl_seconds: dict[ObjectPrefix, Annotated[int, Field(ge=60, le=604800)]] = Field(
        default={},
        description="How long Cloudflare and browsers keep objects that change under the same name, such as images of "
        "link previews; by the prefix of their keys. All other media: a month and a week. At least 7200 on the plan "
        "free and 3600 on pro, unless origin is worker.",
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
    """What users may expect of a service in any thirty days; told when its budget of errors burns too fast."""

    availability_percent: float = Field(ge=90, le=99.99, description="Of requests that end in no 5xx.")
    fast_percent: float = Field(ge=50, le=99.9, description="Of requests that are answered within fast_seconds.")
    fast_seconds: float = Field(ge=0.05, le=30)


class Migrations(Section):
    """How the database follows the code: a task of the new image, before anything of it serves."""

    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] = Field(
        default=("npx", "drizzle-kit", "migrate"), description="Ends with 0 when there is nothing left to do."
    )
    minutes: int = Field(default=30, ge=1, le=240, description="Longest that waiting and running take together.")


class ReleaseCheck(Section):
    """What each new task has to answer before users reach it. Without the table: 200 at `health_path`."""

    path: UrlPath = Field(description="Must answer 200.", examples=["/api/health/release"])
    version_field: FieldPath | None = Field(
        default=None, description="Of the JSON answer: the field that repeats the variable RELEASE."
    )
    expect: dict[FieldPath, str] = Field(
        default={}, description="Fields of the JSON answer, and the value of each when all is well."
    )
    restart_minutes: int | None = Field(
        default=None,
        ge=5,
        le=60,
        description="New tasks when the service that runs has answered otherwise than `expect` for so long, and the "
        "probe reaches Redis: for a client that does not connect again by itself. Once in half an hour at most.",
    )


class Amplify(Section):
    """AWS Amplify Hosting builds and serves the site itself, from its repository."""

    repository: GitHubRepository
    branch: str = Field(min_length=1, max_length=255)
    access_token_secret: SecretName = Field(
        description="Name of the Secrets Manager secret that holds a GitHub token; never the token itself.",
    )


class SentryProject(Section):
    """Where errors go."""

    project: Slug
    dsn: str = Field(
        pattern=r"^https://[0-9a-f]+@[a-z0-9.-]+/\d+$",
        description="What errors are sent to. No secret: a site shows it to every browser.",
        examples=["https://0123456789abcdef0123456789abcdef@o1.ingest.de.sentry.io/1"],
    )


class SentryService(SentryProject):
    """Where a service's errors go, and how many of its requests are traced and profiled (docs/sentry.md)."""

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
    """Where a worker's jobs wait, in the Redis of `redis.queue`: as many tasks run as they need."""

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
        description="Jobs that may wait for each running task. More: tasks are added, up to max_tasks. Fewer: tasks "
        "are taken away, down to min_tasks.",
    )
    stuck_minutes: int = Field(
        default=15,
        ge=5,
        le=1440,
        description="A critical alarm fires when jobs wait and no job has left the queue for this many minutes.",
    )


class Service(Section):
    """One service: with a `host` it is reached through the load balancer, without one it is a worker."""

    host: Hostname | None = Field(default=None, description="The name under which users reach it.")
    former_host: Hostname | None = Field(
        default=None,
        description="What `host` was before it changed. The load balancer serves it as well until Cloudflare redirects "
        "it: `domains.redirects` leads it to this service, too (docs/runbooks/host.md).",
    )
    site: bool = Field(
        default=False,
        description="Pages for people in browsers: bots are challenged, Next.js's static files come from the media "
        "bucket, and the variables are arguments of the image's build, too. Without it: an API for programs.",
    )
    repository: TrustedRepository | None = Field(
        default=None, description="Of the service's code: its workflows release the service, and nothing else."
    )
    runs: ServiceName | None = Field(
        default=None,
        description="The service whose image this one runs, and with which it is released and rolled back. Variables "
        "and secrets are those of that service, and its own.",
    )
    amplify: Amplify | None = Field(default=None, description="A site that AWS Amplify hosts, instead of ECS.")
    command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] | None = Field(
        default=None, description="Instead of the image's own."
    )
    health_command: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(min_length=1)] | None = Field(
        default=None, description="Of a worker: runs in the container and ends with 0 while all is well."
    )
    architecture: Literal["arm64", "x86_64"] = Field(
        default="arm64", description="Which the image is built for; a release of another one is refused."
    )
    writable: Annotated[tuple[FolderPath, ...], AfterValidator(_no_repetition)] = Field(
        default=(),
        max_length=8,
        description="Folders besides /tmp that the application writes to, like Next.js to .next/cache; empty at first.",
    )
    cpu: Literal[256, 512, 1024, 2048, 4096] = Field(default=256, description="1024 is one vCPU.")
    memory_mib: int = Field(default=512, ge=512, le=30720)
    min_tasks: int = Field(default=1, ge=1, le=500)
    max_tasks: int = Field(default=1, ge=1, le=500)
    queue: Queue | None = Field(
        default=None, description="Of a worker: scales with the jobs that wait, and no longer with CPU and memory."
    )
    spot: bool = Field(default=False, description="Fargate Spot: up to 70 % cheaper, tasks end on two minutes' notice.")
    port: int | None = Field(
        default=None, ge=1024, le=65535, description="Where the container listens; it does not run as root."
    )
    target_group_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="The port that the target groups were created with, when `port` has changed since: CloudFormation "
        "would replace them. Tasks are registered with `port`, whatever this is.",
    )
    health_path: UrlPath | None = Field(
        default=None,
        description="Liveness: must answer 200 without touching Redis or the database.",
        examples=["/api/health/live"],
    )
    sticky_minutes: int | None = Field(
        default=None,
        ge=1,
        le=10_080,
        description="The load balancer sends a browser's requests to the same task for so long, by a cookie: for a "
        "service that keeps state in its process. A release or a lost task ends it (docs/application-contract.md).",
    )
    redis_health_path: UrlPath | None = Field(
        default=None,
        description="Answers 200 while the service itself reaches Redis (docs/redis-client.md); the probe asks it.",
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
        Field(default=(), description="What it may reach, and whose addresses and logins it gets as variables.")
    )
    database_connections: int | None = Field(
        default=None,
        ge=1,
        le=200,
        description="Each task's pool is at most this large; the application reads it as PG_POOL_MAX.",
    )
    migrations: Migrations | None = Field(default=None, description="Without it, a release leaves the schema alone.")
    sentry: SentryService | None = Field(default=None, description="Without it, errors are in the logs only.")
    variables: dict[VariableName, str] = Field(
        default={},
        description="${services.NAME.url}, ${services.NAME.host}, ${media.url}, ${media.bucket}, ${environment} and "
        "${region} are replaced, in a preview by its own; $${ is a plain ${.",
    )
    secrets: dict[VariableName, SecretReference] = Field(
        default={}, description="Names of secrets in Secrets Manager, or name:field; never the values."
    )


class Job(Section):
    """A scheduled command of a service's image. It never runs twice at a time."""

    runs: ServiceName = Field(description="The service whose image, variables, secrets and access it has.")
    schedule: Annotated[str, AfterValidator(_a_schedule)] = Field(
        description="rate(15 minutes) or cron(30 3 * * ? *). In UTC, which knows no daylight saving time.",
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
    """How people are notified of one severity; {} notifies nobody."""

    email: Annotated[tuple[EmailAddress, ...], AfterValidator(_no_repetition)] = Field(
        default=(), description="Each address confirms once, by a link that AWS sends it."
    )
    slack_channel: str | None = Field(
        default=None, pattern=r"^[CG][A-Z0-9]{8,20}$", description="Its id, not its name.", examples=["C0123ABCDEF"]
    )
    webhook_secret: SecretName | None = Field(
        default=None,
        description='Name of the Secrets Manager secret that holds {"routing_key": the integration key of PagerDuty\'s '
        "Events API v2}, or the https URL of another webhook; never the value itself.",
    )


class Alarms(Section):
    """Who is notified of an alarm, by severity."""

    critical: Route = Field(description="Somebody has to react at once, also at night.")
    warning: Route = Field(description="Somebody reacts on the next working day.")
    info: Route = Field(default=Route(), description="For the record.")
    slack_workspace: str | None = Field(
        default=None,
        pattern=r"^T[A-Z0-9]{8,20}$",
        description="Its id; somebody lets AWS into it once (Amazon Q Developer in chat applications).",
        examples=["T0123ABCDEF"],
    )


def routes(alarms: Alarms) -> dict[str, Route]:
    """By severity, the worst first."""
    return {"critical": alarms.critical, "warning": alarms.warning, "info": alarms.info}


class Delivery(Section):
    """Who may deploy: workflows of this GitHub repository, running in one GitHub environment. Services name their own.

    OWNER/NAME for a repository whose tokens have its name only, OWNER@OWNER_ID/NAME@REPOSITORY_ID where they have ids:
    `gh api repos/OWNER/NAME/actions/oidc/customization/sub --jq .sub_claim_prefix` says which.
    """

    repository: TrustedRepository = Field(description="Of this infrastructure; it deploys every stack.")
    environment: Annotated[str, AfterValidator(_not_derived)] = Field(
        pattern=r"^[A-Za-z0-9_-]{1,230}$",
        description="GitHub's in that repository. Those of a service's repository have its name, too: dev-api.",
    )
    after: str | None = Field(
        default=None,
        description="The environment that a commit is deployed to before this one. Only the first one has none.",
        examples=["staging"],
    )
    # IAM knows one provider per URL and account; a second environment in the same account must not bring another.
    owns_oidc_provider: bool = Field(description="True for exactly one environment of each AWS account.")


class Sentry(Section):
    """Where errors are reported, each with the release that it came with. Services name their own projects."""

    organization: Slug
    token_secret: SecretName = Field(
        description="Name of the Secrets Manager secret with the token for Sentry's releases (docs/sentry.md); "
        "never the token itself.",
    )
    infrastructure: SentryProject = Field(description="Of the functions that keep everything running.")


class PostHog(Section):
    """Product analytics, by a path of the site's own (docs/posthog.md)."""

    project_key: str = Field(
        pattern=r"^phc_[A-Za-z0-9]{20,100}$",
        description="Of the project. No secret: every browser gets it.",
        examples=["phc_0123456789abcdefghijABCDEFGHIJ"],
    )
    region: Literal["eu", "us"] = Field(description="Where PostHog keeps the data.")


class Previews(Section):
    """Temporary deployments of pull requests, each with its own database."""

    slots: int = Field(
        ge=1,
        le=4,
        description="As many at once. One that is free costs nothing but its share of an hour's deployment.",
    )
    hours: int = Field(ge=1, le=336, description="Ends this long after the last push, whatever else happens.")


class Costs(Section):
    """What the environment may cost, by the tag that all of its resources have."""

    monthly_usd: int = Field(
        ge=1,
        le=1_000_000,
        description="Of AWS. Told when a month will end above it, and when one day is unlike others.",
    )


class Protection(Section):
    """What happens to data when its stack is destroyed."""

    data: Literal["keep", "disposable"] = Field(
        description="keep: deletion protection, final snapshot, bucket retained. disposable: gone with the stack."
    )
    reason: Reason | None = Field(default=None, description="Required when the data is disposable.")


class Environment(Section):
    """Everything that one environment decides."""

    product: str = Field(pattern=r"^[a-z][a-z0-9-]{1,19}$", description="Begins the name of every stack.")
    protection: Protection
    aws: Aws
    domains: Domains
    cloudflare: Cloudflare
    network: Network
    database: Database
    redis: Redis
    media: Media
    services: dict[ServiceName, Service] = Field(min_length=1, description="By name.")
    jobs: dict[ServiceName, Job] = Field(default={}, description="By name.")
    bootstrap_image: Annotated[str, AfterValidator(_not_latest)] = Field(
        pattern=r"^[a-z0-9.-]+(/[a-z0-9._-]+)+(:[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})$",
        description="A public Node.js image that stands in until the first release of a service.",
        examples=["registry.example.com/library/node:24-alpine"],
    )
    alarms: Alarms
    costs: Costs
    delivery: Delivery
    sentry: Sentry | None = Field(default=None, description="Without it, errors are in the logs only.")
    posthog: PostHog | None = Field(default=None, description="Without it, nobody counts what users do.")
    previews: Previews | None = Field(default=None, description="Only where the data is disposable.")
