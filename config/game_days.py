"""Game days: what is broken on purpose, what users may notice, and which alarm notifies the engineer on call."""

from dataclasses import dataclass
from enum import StrEnum

from config import services
from config.model import Environment, Service


class Action(StrEnum):
    """Of AWS Fault Injection Service (AWS FIS user guide, "AWS FIS Actions reference")."""

    STOP_TASKS = "aws:ecs:stop-task"
    FAIL_OVER_DATABASE = "aws:rds:reboot-db-instances"
    CUT_OFF_ZONE = "aws:network:disrupt-connectivity"
    FAIL_OVER_REDIS = "aws:elasticache:replicationgroup-interrupt-az-power"


@dataclass(frozen=True, kw_only=True)
class Experiment:
    name: str
    what: str
    """What happens, as a clause: "a third of …"."""
    action: Action | None
    """None where FIS cannot do it; `sandbox_only` says why."""
    sandbox_only: str = ""
    minutes: int
    """How long it lasts at most; users' requests are counted for as long."""
    lost_percent: float
    """Of users' requests in these minutes, at most."""
    alarms: tuple[str, ...] = ()
    """Runbooks of the alarms that fire, warnings or worse; none where redundancy hides the fault."""
    may_page: bool = False
    """Whether `incident` may page, too, some ten minutes later. AWS decides how long a failover takes, and 52 seconds
    of lost requests in an hour burn an error budget of 0.1 % at 14.4 times the sustainable rate
    (docs/runbooks/objective.md). The other experiments lose fewer requests, or page at once."""
    runbook: str
    """In docs/runbooks/. The game day runs its first command when the alarm fires or shortly before the fault ends; the
    others afterwards."""
    names_cause: str
    """A regular expression that the output of the first command matches."""


_ONLY_EC2_AND_KINESIS = "FIS throttles the APIs of EC2 and Kinesis only"
EXPERIMENTS = (
    Experiment(
        name="tasks-stopped",
        what="a third of the tasks of each service that has several is stopped",
        action=Action.STOP_TASKS,
        minutes=2,
        lost_percent=1,
        runbook="service-tasks-missing",
        names_cause="UserInitiated",
    ),
    Experiment(
        name="redis-failover",
        what="the Redis nodes in the primary's zone lose their power",
        action=Action.FAIL_OVER_REDIS,
        minutes=3,
        # Requests go on without Redis (docs/redis-client.md).
        lost_percent=0.1,
        runbook="redis-high-availability",
        names_cause="(?i)failover",
    ),
    Experiment(
        name="zone-lost",
        what="tasks in one zone are cut off from everything",
        action=Action.CUT_OFF_ZONE,
        minutes=5,
        # A third of the requests until the load balancer's health checks have failed.
        lost_percent=10,
        runbook="service-tasks-missing",
        names_cause="ELB health checks",
    ),
    Experiment(
        name="s3-throttled",
        what="S3 throttles every call",
        action=None,
        sandbox_only=_ONLY_EC2_AND_KINESIS,
        minutes=4,
        # Of requests to the services. Media outside Cloudflare's cache fails, too, but its alarm covers 15 minutes.
        lost_percent=0.1,
        runbook="media-errors",
        names_cause="SlowDown",
    ),
    Experiment(
        name="secrets-throttled",
        what="Secrets Manager throttles every call",
        action=None,
        sandbox_only=_ONLY_EC2_AND_KINESIS,
        # The function that copies Cloudflare's numbers reads its token every five minutes, and its alarm needs half an
        # hour.
        minutes=6,
        # Tasks have read their secrets, and so have the probes.
        lost_percent=0.1,
        runbook="edge-traffic",
        names_cause="ThrottlingException",
    ),
    Experiment(
        name="database-failover",
        what="PostgreSQL stops answering until its standby has taken over",
        action=Action.FAIL_OVER_DATABASE,
        minutes=5,
        # One to two minutes of five (Amazon RDS user guide, "Failing over a Multi-AZ DB instance").
        lost_percent=40,
        alarms=("database-failover",),
        may_page=True,
        runbook="database-failover",
        names_cause="(?i)failover",
    ),
    Experiment(
        name="cloudflare-errors",
        what="Cloudflare answers every request with 502 itself",
        action=None,
        sandbox_only="there is no API that makes Cloudflare fail",
        minutes=4,
        lost_percent=100,
        alarms=("incident",),
        runbook="check-failed",
        names_cause=r'"status": ?502',
    ),
)


def of(environment: Environment) -> list[Experiment]:
    """Experiments that the environment has redundancy for; any other would only be an outage."""
    return [each for each in EXPERIMENTS if _is_possible(each, environment)]


def redundant(environment: Environment) -> dict[str, Service]:
    """Services that go on serving when one of their tasks ends, by name."""
    return {name: each for name, each in services.load_balanced(environment).items() if each.min_tasks > 1}


def _is_possible(experiment: Experiment, environment: Environment) -> bool:
    match experiment.action:
        case Action.STOP_TASKS:
            return bool(redundant(environment))
        case Action.CUT_OFF_ZONE:
            return bool(redundant(environment))
        case Action.FAIL_OVER_DATABASE:
            return environment.database.multi_az
        case Action.FAIL_OVER_REDIS:
            cache = environment.redis.instances[environment.redis.serves].elasticache
            return cache is not None and cache.replicas > 0
        case None:
            return True
