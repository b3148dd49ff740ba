"""`infra logs`: what containers, functions and PostgreSQL write, found by service or by function."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError

from config import services
from config.model import Environment
from infra_runtime.contract.releases import database_log_group
from infra_runtime.release.log_text import plain
from ops.account import not_deployed
from ops.console import Console
from ops.errors import InputError
from ops.functions import Clients

_STACKS = ("network", "data", "registry", "platform", "redis", "edge", "observability", "delivery")
_EVERY_SECONDS = 3.0
# CloudWatch Logs shows an event some seconds after it happened. --follow misses one that comes later than this.
_LATE = timedelta(seconds=60)
_SINCE = re.compile(r"(?P<amount>[1-9][0-9]{0,3})(?P<unit>[smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
# CDK ends a logical id with eight hexadecimal digits.
_HASH = re.compile(r"(Logs)?[0-9A-F]{8}$")


@dataclass(frozen=True)
class Logs:
    name: str
    """Of the environment."""
    environment: Environment
    clients: Clients

    def groups(self, what: str | None) -> dict[str, str]:
        """Log groups by STACK/PART. `what` is a service, a stack, `database`, or a part of such a name, like Drift.

        None is every service. Raises `InputError` when there is none of that name, and `OperatorError` when nothing is
        deployed.
        """
        own = list(services.shown(self.environment))
        whole = what is None or what in self.environment.services or what in _STACKS
        if what in self.environment.services:
            own = [self.environment.services[what].runs or what]
        stacks = [what] if what in _STACKS else own if whole else [*own, *_STACKS]
        if not (every := dict(self._of(stacks))):
            raise not_deployed(self.name, f"no log of {', '.join(stacks)} exists")
        if what is None or whole:
            return every
        found = {label: group for label, group in every.items() if what.lower() in label.lower()}
        if not found:
            raise InputError(f"WHAT {what!r}: expected a part of one of {', '.join(sorted(every))}")
        return found

    def _of(self, stacks: list[str]) -> Iterator[tuple[str, str]]:
        for stack in stacks:
            for each in self._resources(stack):
                if each["ResourceType"] == "AWS::Logs::LogGroup":
                    yield f"{stack}/{_HASH.sub('', each['LogicalResourceId'])}", each["PhysicalResourceId"]
                # RDS makes this one itself.
                if each["ResourceType"] == "AWS::RDS::DBInstance":
                    yield f"{stack}/database", database_log_group(each["PhysicalResourceId"])

    def _resources(self, stack: str) -> Iterator[Mapping[str, Any]]:
        full = f"{self.environment.product}-{self.name}-{stack}"
        pages = self.clients.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=full)
        try:
            for page in pages:
                yield from page["StackResourceSummaries"]
        except ClientError as error:
            # One that is not deployed yet hides no log of the others.
            if "does not exist" not in str(error):
                raise


def since(text: str, *, now: datetime) -> datetime:
    """15m, 2h, 1d; or a time with its zone. Raises `InputError`."""
    if (found := _SINCE.fullmatch(text)) is not None:
        return now - timedelta(**{_UNITS[found["unit"]]: int(found["amount"])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InputError(f"--since {text!r}: expected 30s, 15m, 2h or 1d, or a time like 2026-11-26T07:59:59Z")
    return moment


def show(
    logs: Logs,
    what: str | None,
    console: Console,
    *,
    start: datetime,
    grep: str | None,
    follow: bool,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """In the order of their times; with `follow` until Ctrl-C."""
    groups, seen = logs.groups(what), set[str]()
    while True:
        asked = now()
        for label, event in _events(logs.clients, groups, start=start, grep=grep):
            if event["eventId"] not in seen:
                seen.add(event["eventId"])
                moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
                console.print(f"{moment:%Y-%m-%d %H:%M:%S} {label} {plain(event['message'])}", highlight=False)
        if not follow:
            return
        start = max(start, asked - _LATE)
        try:
            sleep(_EVERY_SECONDS)
        except KeyboardInterrupt:
            return


def _events(
    clients: Clients, groups: Mapping[str, str], *, start: datetime, grep: str | None
) -> list[tuple[str, Mapping[str, Any]]]:
    client = clients.client("logs")
    # A phrase in double quotes is found as it is (CloudWatch Logs guide, "Filter pattern syntax").
    escaped = grep.replace("\\", "\\\\").replace('"', '\\"') if grep else None
    pattern = {"filterPattern": f'"{escaped}"'} if escaped else {}
    found: list[tuple[str, Mapping[str, Any]]] = []
    for label, group in groups.items():
        asked = {"logGroupName": group, "startTime": int(start.timestamp() * 1000), **pattern}
        try:
            for page in client.get_paginator("filter_log_events").paginate(**asked):
                found += [(label, each) for each in page["events"]]
        except client.exceptions.ResourceNotFoundException:
            continue  # nothing was written yet
    return sorted(found, key=lambda each: int(each[1]["timestamp"]))
