"""What REQUIREMENTS.md asks for, read back from what was really deployed.

Each check returns what it found, or raises `Failed`. What an emulator cannot show is listed as not shown: it is
listed in docs/unverified-on-live.md with the command that shows it.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from rehearsal.account import Account
from rehearsal.checks import (
    data,
    edge,
    jobs,
    maintenance,
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
    workers,
)
from rehearsal.checks.assertions import Excluded, Failed


@dataclass(frozen=True)
class Check:
    about: str
    requirement: str
    read_back: Callable[[Account], str]


@dataclass(frozen=True)
class NotShown:
    about: str
    requirement: str
    why: str
    excluded: Callable[[Account], str | None] = lambda _: None
    """The environment's choice that excludes the requirement; None if it applies."""


CHECKS: tuple[Check | NotShown, ...] = (
    Check("Network", "Every tier in every zone of the environment", network.network_zones),
    Check("Network", "Every private subnet reaches the internet, through its own zone where chosen", network.nat),
    Check("Network", "The default security group allows no traffic", network.default_group),
    Check("Network", "Refused connections are logged", network.flow_logs),
    Check("Database", "RDS PostgreSQL, private, encrypted, with storage that grows", data.database),
    Check("Database", "Automated daily backups and point-in-time recovery", data.backups),
    Check("Database", "TLS is forced", data.database_tls),
    Check("Database", "No person knows the password", data.database_password),
    Check("Database", "The API's login rotates, and nothing fails meanwhile", data.rotation),
    Check("Database", "Not deleted by accident", data.database_protection),
    Check("Recovery", "A restore is tried, verified, measured and cleaned up", restore.drill),
    Check("Recovery", "Restore to a point in time", restore.to_a_point_in_time),
    Check("Redis", "It is as declared", redis.instance),
    Check("Redis", "REDIS_URL reaches the tasks, as a secret", redis.url),
    Check("Redis", "That URL takes a ping and a write", redis.is_used),
    Check("Redis", "Its token rotates, and nothing fails meanwhile", redis.rotation),
    Check("Redis", "An outage is noticed, with its cause", redis.outage),
    Check("Redis", "Critical when it fails, info when it is back", redis.alarm),
    NotShown(
        "Redis",
        "ElastiCache fails over within seconds",
        "the emulated group runs no replicas",
        redis.no_failover,
    ),
    Check("Media", "The bucket is private", data.media),
    Check("Media", "Pages of our sites can upload, within what the API has signed", data.uploads),
    Check("Services", "The API writes, reads and deletes media", data.media_is_written),
    Check("Media", "Old versions expire, current ones never", data.media_lifecycle),
    Check("Media", "No one can read an upload before it is scanned", quarantine.scanned_first),
    Check("Media", "Deleted and replaced media comes back, at the edge as well", restore.deleted_and_replaced_media),
    Check("Services", "Fargate behind one load balancer", services.services),
    Check("Services", "Scaling on CPU and memory", services.autoscaling),
    Check("Services", "Sites are hosted", services.sites),
    Check("Services", "Blue/green with bake time and alarms", services.blue_green),
    Check("Load balancer", "Only Cloudflare can connect", network.only_cloudflare_connects),
    Check("Load balancer", "Only our own Cloudflare zone can connect", edge.origin_lock),
    Check("Load balancer", "Changes of Cloudflare's addresses are followed", edge.ranges_follow),
    Check("Load balancer", "Only known hosts are served", network.hosts),
    Check("Edge", "Every name leads through Cloudflare", edge.names),
    Check("Edge", "Redirected names lead to their service", edge.redirects),
    Check("Edge", "A certificate without manual steps", edge.certificate),
    Check("Edge", "Media cached a month at the edge, a week in browsers", edge.media_cache),
    Check("Edge", "Media below a prefix with its own TTL are kept for that time", edge.media_ttl),
    Check("Edge", "The query string does not multiply objects in the cache", edge.media_cache_key),
    Check("Edge", "What is deleted or replaced leaves the cache", edge.purge),
    Check("Edge", "The media bucket answers our zone only", edge.media_origin),
    Check("Edge", "Its secret rotates without a refused request", edge.user_agent_rotation),
    Check("Edge", "WAF managed and OWASP", edge.waf),
    Check("Edge", "Bots are challenged, and rates limited", edge.bots_and_floods),
    Check("Edge", "TLS is strict from end to end", edge.tls),
    Check("Edge", "A change by hand is noticed", edge.drift),
    NotShown("Edge", "A flood is blocked", "the rehearsal sends no flood"),
    NotShown("Edge", "S3 sees the User-Agent that the rule sets", "the simulator serves no users"),
    Check("Images", "ECR with immutable tags and scans", services.images),
    Check("Images", "An image of one program runs, on the platform that it is for", releases.any_image),
    Check("Images", "One that crashes is rolled back, and other services keep serving", releases.crashing_alone),
    Check("Releases", "Traffic moves without a lost request", releases.without_a_lost_request),
    Check("Releases", "Migrations come first, and a failed one stops the release", releases.migrations_come_first),
    Check("Releases", "A migration that its tool has skipped ends the release", releases.skipped_migrations_are_named),
    Check("Releases", "Rollback in one command", releases.back_in_one_command),
    Check("Releases", "Rollback while a release bakes", releases.back_during_the_bake),
    Check("Workers", "They are released and rolled back with the image that they run", workers.follow_the_image),
    Check("Workers", "An unhealthy one rolls its release back", workers.unhealthy_goes_back),
    Check("Jobs", "They run by hand, and say how they ended", jobs.by_hand),
    Check("Releases", "Sentry knows which release brought an error", releases.sentry_knows),
    Check("Releases", "A pull request runs on a copy, and ends", previews.runs_in_its_slot),
    NotShown("Releases", "ECS follows its documented stages", "an emulator makes the deployments"),
    Check("Secrets", "A release is refused while one is missing", secrets.missing_refuses_release),
    Check("Secrets", "A changed one replaces the tasks that read it, and no others", secrets.changed),
    Check("Alarms", "Maintenance answers 503 at the edge and mutes alarms", maintenance.answers_503_and_mutes),
    Check("Alarms", "Each alarm notifies a topic", observability.alarms),
    Check("Alarms", "Three severities, each with its own recipients", observability.subscribers),
    Check("Alarms", "Each page and its end are mailed", pages.mailed),
    Check("Alarms", "Slack shows each page, its end, and costs", pages.in_slack),
    Check("Alarms", "PagerDuty opens an incident for each page, and resolves it", pages.at_pagerduty),
    Check("Alarms", "Cloudflare's numbers arrive, each once", observability.numbers_of_the_edge),
    Check("Alarms", "Our own checks pass the bot challenge", observability.checks),
    Check("Alarms", "The age of the backups is known", observability.backups),
    NotShown("Alarms", "The checks measure the product's pages", "its host names lead nowhere here"),
    NotShown("Alarms", "A message reaches a person", "e-mail, Slack and PagerDuty are stand-ins"),
    Check("Delivery", "GitHub deploys without a stored key", services.github_roles),
    Check("Delivery", "The site's pipeline pushes it", services.site_is_pushed),
    Check("Delivery", "The nightly drift check reads every stack", services.nightly_drift_check),
    Check("Clock", "Jobs run on their schedule", jobs.by_the_clock),
    Check("Leaks", "No secret is in a template, log, ledger, error or output", secrets.unseen),
)


_IN_PARALLEL = {"Network", "Media", "Load balancer", "Edge", "Images"}
"""Areas that are independent of releases of the API: checked in parallel with those, and before a check makes an alarm
fire, which would roll a release back.
"""
_AFTERWARDS = {"Recovery", "Redis", "Alarms", "Delivery"}
"""Areas whose checks make alarms fire, and one that needs stacks at rest."""
_LAST = {"Clock", "Leaks"}
"""A check that waits for the next minute, and one that searches everything that the others have written."""


class Status(StrEnum):
    """The value is printed in the table."""

    PASSED = "passed"
    FAILED = "FAILED"
    NOT_SHOWN = "not shown"
    NOT_ON_THIS_PLAN = "not on this plan"


@dataclass(frozen=True)
class CheckResult:
    about: str
    requirement: str
    status: Status
    found: str


def read_back(
    account: Account,
    checks: Sequence[Check | NotShown] = CHECKS,
    *,
    done: Callable[[CheckResult, float], None] = lambda *_: None,
) -> Iterator[CheckResult]:
    """Results in the order of `checks`. They run in another order, some in parallel.

    Calls `done` after each check, from any thread, with the seconds that it took.
    """

    def read(those: Sequence[Check | NotShown]) -> dict[Check | NotShown, CheckResult]:
        found = {}
        for each in those:
            began = time.monotonic()
            found[each] = _finding(account, each)
            done(found[each], time.monotonic() - began)
        return found

    with ThreadPoolExecutor(1) as executor:
        in_parallel = executor.submit(read, [each for each in checks if each.about in _IN_PARALLEL])
        others = [each for each in checks if each.about not in _IN_PARALLEL | _AFTERWARDS | _LAST]
        found = read(others) | in_parallel.result()
    for areas in (_AFTERWARDS, _LAST):
        found |= read([each for each in checks if each.about in areas])
    yield from (found[each] for each in checks)


def _finding(account: Account, check: Check | NotShown) -> CheckResult:
    """An error of any kind during a check counts as its failure."""
    if isinstance(check, NotShown):
        if because := check.excluded(account):
            return CheckResult(check.about, check.requirement, Status.NOT_ON_THIS_PLAN, because)
        return CheckResult(check.about, check.requirement, Status.NOT_SHOWN, f"not shown here: {check.why}")
    try:
        found, status = check.read_back(account), Status.PASSED
    except Excluded as excluded:
        found, status = str(excluded), Status.NOT_ON_THIS_PLAN
    except Failed as failure:
        found, status = str(failure), Status.FAILED
    except Exception as error:  # A check that could not read has not passed.
        found, status = f"{type(error).__name__}: {error}", Status.FAILED
    return CheckResult(check.about, check.requirement, status, found)
