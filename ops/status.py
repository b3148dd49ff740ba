"""`infra status`: services of an environment, releases under way, and firing alarms."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from config.model import Environment
from ops import alarms, amplify
from ops.alarms import FiringAlarm
from ops.amplify import DeployedAmplifySite, SiteStatus
from ops.console import Console
from ops.functions import Clients
from ops.maintenance.state import Maintenance, line, maintenance
from ops.releases.status import ServiceDeployment, ServiceStatus, service_status
from ops.releases.target import ReleaseTarget
from ops.releases.text import by, moment, short
from ops.report import print_json

_EVERY_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class EnvironmentStatus:
    services: Mapping[str, ServiceStatus | SiteStatus]
    """By name. Services that run another's image are in that one's stack."""
    alarms: list[FiringAlarm]
    maintenance: Maintenance | None
    """None when it is off."""


def environment_status(
    name: str, environment: Environment, clients: Clients, *, services: Sequence[str]
) -> EnvironmentStatus:
    """Status of the environment `name` and of these services. Raises `InputError`, and what boto3 raises."""
    found: dict[str, ServiceStatus | SiteStatus] = {}
    for service in services:
        own = environment.services.get(service)
        if own is not None and own.amplify is not None:
            found[service] = amplify.site_status(DeployedAmplifySite(name, environment, service, clients))
        else:
            found[service] = service_status(ReleaseTarget(name, environment, service, clients))
    return EnvironmentStatus(
        services=found,
        alarms=alarms.firing(clients, environment.product, name),
        maintenance=maintenance(name, environment, clients),
    )


def show(name: str, found: EnvironmentStatus, console: Console, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    if found.maintenance is not None:
        console.print(Text(line(name, found.maintenance), "bold red"))
    for service, each in found.services.items():
        rows = _of_site(each) if isinstance(each, SiteStatus) else _of_service(each)
        table = Table(show_header=False)
        table.add_column()
        table.add_column(overflow="fold")
        for key, value in rows.items():
            table.add_row(key, value)
        console.print(f"{service} in {name}", table, sep="\n", highlight=False)
        if isinstance(each, ServiceStatus) and each.deployment is not None and each.deployment.under_way:
            back = f"infra rollback {name} --service {service}"
            console.print(f"to follow it: infra follow {name} {service}; to go back: {back}", highlight=False)
    if not found.alarms:
        console.print("no alarm fires", highlight=False)
        return
    table = Table("severity", "since", "what users notice", "runbook", title="Firing alarms", title_justify="left")
    for alarm in found.alarms:
        table.add_row(alarm.severity, moment(alarm.since), f"{alarm.means} ({alarm.alarm})", alarm.runbook)
    console.print(table)


def watch(
    name: str,
    read: Callable[[], EnvironmentStatus],
    console: Console,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Shows it again every few seconds, until Ctrl-C."""
    try:
        while True:
            found = read()
            console.clear()
            show(name, found, console, as_json=False)
            sleep(_EVERY_SECONDS)
    except KeyboardInterrupt:
        return


def _of_service(found: ServiceStatus) -> dict[str, str]:
    release = found.release
    rows = {
        "image": short(found.image),
        "tasks": f"{found.tasks.running} of {found.tasks.desired}",
        "stack": found.stack,
        "deployment": _summary(found.deployment) if found.deployment else "none yet",
        "release": f"{release.id} {release.outcome} by {by(release.who)}" if release else "none yet",
    }
    if found.traffic:
        rows["traffic"] = ", ".join(f"{group} {weight}" for group, weight in found.traffic.items())
        rows["release alarms"] = ", ".join(f"{name} {state}" for name, state in found.alarms.items())
    if found.waits_since:
        rows["pipelines"] = f"wait since {found.waits_since}, until: infra release ENV --resume"
    if release and release.note:
        rows["note"] = release.note
    if release and release.reason:
        rows["why it failed"] = release.reason
    if release and release.waiting:
        rows["waits for"] = release.waiting
    if release and release.repairs:
        rows["INVALID indexes"] = " ".join(release.repairs)
    return rows


def _summary(deployment: ServiceDeployment) -> str:
    text = f"{deployment.status} since {moment(deployment.since)} UTC"
    if not deployment.under_way:
        return text
    images = f"from {short(deployment.from_image or 'nothing')} to {short(deployment.to_image)}"
    return f"{deployment.stage or 'PENDING'}, {text} ({deployment.minutes} minutes), {images}"


def _of_site(found: SiteStatus) -> dict[str, str]:
    build = found.build
    return {
        "host": found.host,
        "domain": " ".join(filter(None, (found.domain, found.reason))),
        "build": f"{build.number} {build.status}, commit {build.commit}" if build else "none yet",
    }
