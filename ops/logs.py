"""`infra logs`: what containers, functions and PostgreSQL write, found by service or by function."""

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from config import services
from config.model import Environment
from infra_runtime.contract.releases import database_log_group
from infra_runtime.release.log_text import plain
from ops.account import not_deployed
from ops.console import Console
from ops.errors import InputError
from ops.functions import Clients
from ops.ids import KINDS, STACKS, chosen, label, resources_of
from ops.progress import working
from ops.report import print_json

_EVERY_SECONDS = 3.0
# CloudWatch Logs shows an event some seconds after it happened. --follow misses one that comes later than this.
_LATE = timedelta(seconds=60)
_SINCE = re.compile(r"(?P<amount>[1-9][0-9]{0,3})(?P<unit>[smhd])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, kw_only=True)
class LogLine:
    when: str
    """ISO 8601 in UTC, with milliseconds."""
    log: str
    """STACK/PART, as in the text for people."""
    message: str
    """Without control codes of terminals. A function's own lines are JSON in it."""


@dataclass(frozen=True)
class Logs:
    name: str
    """Name of the environment."""
    environment: Environment
    clients: Clients

    def groups(self, what: str | None) -> dict[str, str]:
        """Log groups by STACK/PART. `what` is a service, a stack, `database`, or a part of such a name, like Drift.

        None is every service. Raises `InputError` when there is none of that name, and `OperatorError` when nothing is
        deployed.
        """
        own = services.stacks(self.environment)
        whole = what is None or what in self.environment.services or what in STACKS
        if what in self.environment.services:
            own = [services.stack_of(self.environment, what)]
        stacks = [what] if what in STACKS else own if whole else [*own, *STACKS]
        if not (every := dict(self._of(stacks))):
            raise not_deployed(self.name, f"no log of {', '.join(stacks)} exists")
        if what is None or whole:
            return every
        if not (found := chosen(every, what)):
            raise InputError(f"WHAT {what!r}: expected a part of one of {', '.join(sorted(every))}")
        return {each: every[each] for each in found}

    def _of(self, stacks: Sequence[str]) -> Iterator[tuple[str, str]]:
        for stack, each in resources_of(self.name, self.environment, self.clients, stacks):
            if each["ResourceType"] == "AWS::Logs::LogGroup":
                yield label(stack, each["LogicalResourceId"]).removesuffix("Logs"), each["PhysicalResourceId"]
            # RDS makes this one itself.
            if each["ResourceType"] == KINDS["database"]:
                yield f"{stack}/database", database_log_group(each["PhysicalResourceId"])


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
    as_json: bool = False,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Prints lines in the order of their times; with `follow` until Ctrl-C.

    Raises `InputError` for `follow` with `as_json`.
    """
    if follow and as_json:
        raise InputError("--follow and --json: expected one of them")
    seen = set[str]()
    with working(f"reading logs of {logs.name}"):
        asked, groups = now(), logs.groups(what)
        found = _events(logs.clients, groups, start=start, grep=grep)
    if as_json:
        print_json([_line(part, event) for part, event in found])
        return
    while True:
        for part, event in found:
            if event["eventId"] not in seen:
                seen.add(event["eventId"])
                moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
                line = f"{moment:%Y-%m-%d %H:%M:%S} {part} {plain(event['message'])}"
                # Not wrapped: a pipe to grep takes it for a terminal of 80 columns.
                console.print(line, highlight=False, soft_wrap=True)
        if not follow:
            return
        start = max(start, asked - _LATE)
        try:
            sleep(_EVERY_SECONDS)
        except KeyboardInterrupt:
            return
        asked = now()
        found = _events(logs.clients, groups, start=start, grep=grep)


def _line(part: str, event: Mapping[str, Any]) -> LogLine:
    moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    return LogLine(when=moment.isoformat(timespec="milliseconds"), log=part, message=plain(event["message"]))


def _events(
    clients: Clients, groups: Mapping[str, str], *, start: datetime, grep: str | None
) -> list[tuple[str, Mapping[str, Any]]]:
    client = clients.client("logs")
    # A phrase in double quotes matches literally (CloudWatch Logs guide, "Filter pattern syntax").
    escaped = grep.replace("\\", "\\\\").replace('"', '\\"') if grep else None
    pattern = {"filterPattern": f'"{escaped}"'} if escaped else {}
    found: list[tuple[str, Mapping[str, Any]]] = []
    for part, group in groups.items():
        asked = {"logGroupName": group, "startTime": int(start.timestamp() * 1000), **pattern}
        try:
            for page in client.get_paginator("filter_log_events").paginate(**asked):
                found += [(part, each) for each in page["events"]]
        except client.exceptions.ResourceNotFoundException:
            continue  # nothing was written yet
    return sorted(found, key=lambda each: int(each[1]["timestamp"]))
