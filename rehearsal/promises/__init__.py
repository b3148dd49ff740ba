"""What REQUIREMENTS.md promises, read back from what was really deployed.

Each promise says what was found, or raises `Broken`. What an emulator cannot show is said to be not shown: it is
listed in docs/unverified-on-live.md with the command that shows it.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from rehearsal.account import Account
from rehearsal.promises import (
    data,
    edge,
    jobs,
    network,
    observability,
    pages,
    previews,
    quarantine,
    redis,
    releases,
    restore,
    secrets,
    services,
    upgrade,
    workers,
)
from rehearsal.promises.found import Broken, Excluded


@dataclass(frozen=True)
class Promise:
    about: str
    promises: str
    read_back: Callable[[Account], str]


@dataclass(frozen=True)
class NotShown:
    about: str
    promises: str
    why: str
    excluded: Callable[[Account], str | None] = lambda _: None
    """The choice of the environment that leaves it without an object, if there is one."""


PROMISES: tuple[Promise | NotShown, ...] = (
    Promise("Network", "Every tier in every zone of the environment", network.network_zones),
    Promise("Network", "A way out of every private subnet, by its own zone where chosen", network.nat),
    Promise("Network", "The default security group lets nothing through", network.default_group),
    Promise("Network", "Refused connections are logged", network.flow_logs),
    Promise("Database", "RDS PostgreSQL, private, encrypted, growing by itself", data.database),
    Promise("Database", "Automated daily backups and point-in-time recovery", data.backups),
    Promise("Database", "TLS is forced", data.database_tls),
    Promise("Database", "Nobody knows the password", data.database_password),
    Promise("Database", "The API's login rotates, and nothing fails meanwhile", data.rotation),
    Promise("Database", "Not deleted by accident", data.database_protection),
    Promise("Recovery", "A restore is tried, verified, measured and cleaned up", restore.drill),
    Promise("Recovery", "Restore to a point in time", restore.to_a_point_in_time),
    Promise("Recovery", "A new major version of PostgreSQL, and back", upgrade.to_a_major_version),
    Promise("Redis", "It is what the environment says", redis.instance),
    Promise("Redis", "REDIS_URL reaches the tasks, as a secret", redis.url),
    Promise("Redis", "It can be pinged and written to, over that URL", redis.is_used),
    Promise("Redis", "Its token rotates, and nothing fails meanwhile", redis.rotation),
    Promise("Redis", "That it is down is noticed, and why", redis.outage),
    Promise("Redis", "Critical when it fails, info when it is back", redis.alarm),
    NotShown(
        "Redis",
        "ElastiCache fails over within seconds",
        "the emulated group has no replicas that run",
        redis.no_failover,
    ),
    Promise("Media", "The bucket is private", data.media),
    Promise("Media", "Pages of our sites upload, within what the API has signed", data.uploads),
    Promise("Services", "The API writes, reads and deletes media", data.media_is_written),
    Promise("Media", "Old versions expire, current ones never", data.media_lifecycle),
    Promise("Media", "Nobody reads an upload before it is scanned", quarantine.scanned_first),
    Promise("Media", "Deleted and replaced media comes back, at the edge as well", restore.deleted_and_replaced_media),
    Promise("Services", "Fargate behind one load balancer", services.services),
    Promise("Services", "Scaling on CPU and memory", services.autoscaling),
    Promise("Services", "Sites are hosted", services.sites),
    Promise("Services", "Blue/green with bake time and alarms", services.blue_green),
    Promise("Entrance", "Only Cloudflare can connect", network.entrance),
    Promise("Entrance", "Only our own Cloudflare zone is let in", edge.origin_lock),
    Promise("Entrance", "Cloudflare's addresses are followed", edge.ranges_follow),
    Promise("Entrance", "Only known hosts are served", network.hosts),
    Promise("Edge", "Every name leads through Cloudflare", edge.names),
    Promise("Edge", "Other names of a service lead to it", edge.redirects),
    Promise("Edge", "A certificate without manual steps", edge.certificate),
    Promise("Edge", "Media cached a month at the edge, a week in browsers", edge.media_cache),
    Promise("Edge", "Media below a prefix with its own TTL are kept for that time", edge.media_ttl),
    Promise("Edge", "The query string does not multiply objects in the cache", edge.media_cache_key),
    Promise("Edge", "What is deleted or replaced leaves the cache", edge.purge),
    Promise("Edge", "The media bucket answers our zone only", edge.media_origin),
    Promise("Edge", "Its secret rotates without a refused request", edge.user_agent_rotation),
    Promise("Edge", "WAF managed and OWASP", edge.waf),
    Promise("Edge", "Bots and floods are held off", edge.bots_and_floods),
    Promise("Edge", "TLS is strict from end to end", edge.tls),
    Promise("Edge", "What somebody changes by hand is noticed", edge.drift),
    NotShown("Edge", "A flood is held off", "nobody floods this machine"),
    NotShown("Edge", "S3 sees the User-Agent that the rule sets", "the simulator serves no users"),
    Promise("Images", "ECR with immutable tags and scans", services.images),
    Promise("Images", "An image of one program runs, on the platform that it is for", releases.any_image),
    Promise("Images", "One that crashes is not released, and other services serve on", releases.crashing_alone),
    Promise("Releases", "Traffic moves without a lost request", releases.without_a_lost_request),
    Promise("Releases", "Migrations come first, and stop what they cannot serve", releases.migrations_come_first),
    Promise(
        "Releases", "A migration that its tool has skipped ends the release", releases.skipped_migrations_are_named
    ),
    Promise("Releases", "Back in one command", releases.back_in_one_command),
    Promise("Releases", "Back while a release bakes", releases.back_during_the_bake),
    Promise("Workers", "They are released, and go back, with the image that they run", workers.follow_the_image),
    Promise("Workers", "An unhealthy one takes its release back", workers.unhealthy_goes_back),
    Promise("Jobs", "They run by hand, and say how they ended", jobs.by_hand),
    Promise("Releases", "Sentry knows which release an error came with", releases.sentry_knows),
    Promise("Releases", "A pull request runs on a copy, and ends", previews.beside),
    NotShown("Releases", "ECS keeps to the stages as they are documented", "deployments are carried out by a stand-in"),
    Promise("Secrets", "A release is refused while one is missing", secrets.looked_for),
    Promise("Secrets", "A changed one replaces the tasks that read it, and no others", secrets.changed),
    Promise("Alarms", "Alarms exist and point at topics", observability.alarms),
    Promise("Alarms", "Three severities, each with its own listeners", observability.subscribers),
    Promise("Alarms", "Each page and its end are mailed", pages.mailed),
    Promise("Alarms", "Slack shows each page, its end, and costs", pages.in_slack),
    Promise("Alarms", "PagerDuty opens an incident for each page, and resolves it", pages.at_pagerduty),
    Promise("Alarms", "Cloudflare's numbers arrive, each once", observability.numbers_of_the_edge),
    Promise("Alarms", "Our own checks are let past the bots' challenge", observability.checks),
    Promise("Alarms", "The age of the backups is known", observability.backups),
    NotShown("Alarms", "A user's page is measured", "the product's names lead nowhere here"),
    NotShown("Alarms", "A message reaches a person", "e-mail, Slack and PagerDuty are stand-ins"),
    Promise("Delivery", "GitHub deploys without a stored key", services.github_roles),
    Promise("Delivery", "The site's pipeline pushes it", services.site_is_pushed),
    Promise("Delivery", "The nightly drift check reads every stack", services.nightly_look),
    Promise("Clock", "Jobs run by it", jobs.by_the_clock),
    Promise("Leaks", "No secret is in a template, log, ledger, error or output", secrets.unseen),
)


_BESIDE = {"Network", "Media", "Entrance", "Edge", "Images"}
"""Areas that neither read nor change what a release of the API moves: read beside those, and before any alarm goes off,
which would roll a release back.
"""
_AFTERWARDS = {"Recovery", "Redis", "Alarms", "Delivery"}
"""Areas that set alarms off, of which users notice the first, and one that looks at stacks at rest."""
_LAST = {"Clock", "Leaks"}
"""What waits for the next minute, and what searches everything that the others have written."""


class Status(StrEnum):
    """The value is what the table shows."""

    KEPT = "kept"
    BROKEN = "BROKEN"
    NOT_SHOWN = "not shown"
    NOT_ON_THIS_PLAN = "not on this plan"


@dataclass(frozen=True)
class Finding:
    about: str
    promises: str
    status: Status
    found: str


def read_back(account: Account, promises: Sequence[Promise | NotShown] = PROMISES) -> Iterator[Finding]:
    """In the order of the promises, though not read in it: what waits for AWS is read beside something else."""

    def read(those: Sequence[Promise | NotShown]) -> dict[Promise | NotShown, Finding]:
        return {each: _finding(account, each) for each in those}

    with ThreadPoolExecutor(1) as beside:
        found_beside = beside.submit(read, [each for each in promises if each.about in _BESIDE])
        others = [each for each in promises if each.about not in _BESIDE | _AFTERWARDS | _LAST]
        found = read(others) | found_beside.result()
    for areas in (_AFTERWARDS, _LAST):
        found |= read([each for each in promises if each.about in areas])
    yield from (found[each] for each in promises)


def _finding(account: Account, promise: Promise | NotShown) -> Finding:
    """Whatever goes wrong while reading is a promise not kept."""
    if isinstance(promise, NotShown):
        if because := promise.excluded(account):
            return Finding(promise.about, promise.promises, Status.NOT_ON_THIS_PLAN, because)
        return Finding(promise.about, promise.promises, Status.NOT_SHOWN, f"not shown here: {promise.why}")
    try:
        found, status = promise.read_back(account), Status.KEPT
    except Excluded as excluded:
        found, status = str(excluded), Status.NOT_ON_THIS_PLAN
    except Broken as broken:
        found, status = str(broken), Status.BROKEN
    except Exception as error:  # A read that fails shows nothing, least of all that the promise is kept.
        found, status = f"{type(error).__name__}: {error}", Status.BROKEN
    return Finding(promise.about, promise.promises, status, found)
