"""`infra maintenance on`, `off` and `show`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import typer

from config import services
from infra_runtime.cloudflare.converge import Conflict, converge
from infra_runtime.contract.check_targets import PASS_HEADER
from infra_runtime.contract.cloudflare_workers import COMPATIBILITY_DATE
from infra_runtime.contract.names import full_name
from infra_runtime.contract.secret_values import REFERENCE
from ops import alarms
from ops.console import Console
from ops.edge.zone import EdgeOf
from ops.errors import FINDINGS, InputError, OperatorError
from ops.functions import actor
from ops.ids import physical_id
from ops.maintenance.mute import mute, unmute
from ops.maintenance.state import KEY, KIND, NAME, Maintenance, line, read
from ops.releases.text import by, moment
from ops.report import print_json

PAGE = Path(__file__).with_name("page.mjs")
_SHORTEST, _LONGEST = timedelta(minutes=5), timedelta(hours=24)
_UNTIL = re.compile(r"(?P<amount>\d{1,4})(?P<unit>[mh])")
_UNITS = {"m": "minutes", "h": "hours"}


@dataclass(frozen=True, kw_only=True)
class ShownMaintenance:
    maintenance: Maintenance | None
    """None when none is on."""
    problems: list[str]
    """How its state differs from the record."""


def end(text: str, *, now: datetime) -> datetime:
    """45m, 2h, or a time with its zone; a full minute, from five minutes to a day ahead. Raises `InputError`."""
    expected = f"--until {text!r}: expected 45m, 2h, or a time like 2026-11-26T07:59Z, from 5 minutes to 24 hours ahead"
    if (found := _UNTIL.fullmatch(text)) is not None:
        until = now + timedelta(**{_UNITS[found["unit"]]: int(found["amount"])})
    else:
        try:
            until = datetime.fromisoformat(text)
        except ValueError:
            raise InputError(expected) from None
        if until.tzinfo is None:
            raise InputError(f"{expected}; the time has no zone")
    if not _SHORTEST <= until - now <= _LONGEST:
        raise InputError(expected)
    until = until.astimezone(UTC)
    full = until.replace(second=0, microsecond=0)
    return full if full == until else full + timedelta(minutes=1)


def on(
    edge: EdgeOf,
    until: datetime,
    reason: str | None,
    console: Console,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Switches it on, or prolongs it. Raises `InputError` and `OperatorError`."""
    running = _running(edge, now())
    if running is not None and until < datetime.fromisoformat(running.until):
        raise InputError(
            f"--until: expected a time after {running.until}, when the maintenance that is on ends;"
            f" to end it earlier: infra maintenance off {edge.name}"
        )
    document = _document(edge, until, reason, now(), running)
    try:
        edge.subject(document).changes(present=True)
    except Conflict as conflict:  # Nothing is written or remembered yet.
        raise OperatorError(f"{edge.name}: {conflict}") from None
    edge.store.put(KEY, document)
    # The page first: an alarm takes longer than a minute to fire because of it.
    converge(edge.api, edge.subject(document), present=True)
    console.print(
        f"{', '.join(read(document, now()).hosts)}: 503 until {moment(document['until'])} UTC", highlight=False
    )
    cloudwatch, prefix = edge.session.client("cloudwatch"), full_name(edge.environment.product, edge.name)
    names = alarms.names(edge.session, edge.environment.product, edge.name)
    about = f"infra maintenance, by {by(document['by'])}{f': {reason}' if reason else ''}"
    made = mute(cloudwatch, f"{prefix}-maintenance", names, until=until, about=about, now=now())
    document["mute_rules"] += [each for each in made if each not in document["mute_rules"]]
    edge.store.put(KEY, document)
    console.print(f"{len(names)} alarms: muted within a minute, until then", highlight=False)
    console.print(f"to end it: infra maintenance off {edge.name}", highlight=False)


def off(edge: EdgeOf, console: Console) -> None:
    """Ends it. May be repeated, also after a failure half-way. Raises `OperatorError`."""
    found = edge.store.get(KEY)
    # Also without a record: it removes everything that exists.
    converge(edge.api, edge.subject(found or _declaration(edge)), present=False)
    if found is None:
        console.print(f"{edge.name}: no maintenance is on", highlight=False)
        return
    unmute(edge.session.client("cloudwatch"), found["mute_rules"])
    edge.store.put(KEY, None)
    console.print(f"{edge.name}: visitors reach the environment again, and its alarms notify again", highlight=False)
    for each in alarms.firing(edge.session, edge.environment.product, edge.name):
        console.print(f"fires, and notifies now: {each.alarm}: {each.runbook}", highlight=False)


def show(
    edge: EdgeOf, console: Console, *, as_json: bool, now: Callable[[], datetime] = lambda: datetime.now(UTC)
) -> None:
    """Shows the state at Cloudflare and CloudWatch, not only the record.

    Raises `typer.Exit` with `FINDINGS` when it is over and not off, or not as it was switched on.
    """
    document = edge.store.get(KEY)
    found = read(document, now()) if document else None
    problems = _problems(edge, document, found) if document and found else []
    if as_json:
        print_json(ShownMaintenance(maintenance=found, problems=problems))
    elif found is None:
        console.print(f"{edge.name}: no maintenance is on", highlight=False)
    else:
        console.print(line(edge.name, found), highlight=False)
        for each in problems:
            console.print(f"but: {each}", highlight=False)
    if problems:
        raise typer.Exit(FINDINGS)


def _problems(edge: EdgeOf, document: Mapping[str, Any], found: Maintenance) -> list[str]:
    if found.is_over:
        return [f"it is over since {moment(found.until)} UTC, and not off"]
    problems = []
    try:
        if edge.subject(document).changes(present=True):
            problems.append(f"the page is not as it was switched on: infra edge apply {edge.name}")
    except Conflict as conflict:
        problems.append(str(conflict))
    cloudwatch = edge.session.client("cloudwatch")
    statuses = [_status(cloudwatch, each) for each in found.mute_rules]
    if not {"ACTIVE", "SCHEDULED"} & set(statuses):
        problems.append(f"no alarm is muted; again: infra maintenance on {edge.name} --until {found.until}")
    return problems


def _status(cloudwatch: Any, rule: str) -> str:
    try:
        status: str = cloudwatch.get_alarm_mute_rule(AlarmMuteRuleName=rule)["Status"]
    except cloudwatch.exceptions.ResourceNotFoundException:
        return "missing"
    return status


def _running(edge: EdgeOf, now: datetime) -> Maintenance | None:
    """None as well when it is over."""
    document = edge.store.get(KEY)
    found = read(document, now) if document else None
    return None if found is None or found.is_over else found


def _document(
    edge: EdgeOf, until: datetime, reason: str | None, now: datetime, running: Maintenance | None
) -> dict[str, Any]:
    secret = physical_id(edge.name, edge.environment, edge.session, "secret/CheckPass")
    return {
        **_declaration(edge),
        "variables": {"UNTIL": until.isoformat(timespec="minutes").replace("+00:00", "Z"), "PASS_HEADER": PASS_HEADER},
        "secrets": {"CHECK_PASS": {REFERENCE: secret}},
        "by": _who(edge),
        "since": running.since if running else now.isoformat(timespec="seconds"),
        "until": until.isoformat(timespec="seconds"),
        "reason": reason or (running.reason if running else None),
        "mute_rules": running.mute_rules if running else [],
    }


def _declaration(edge: EdgeOf) -> dict[str, Any]:
    """The parts of the declaration that a removal needs."""
    return {
        "kind": KIND,
        "owner": edge.name,
        "name": NAME,
        "zone": edge.environment.domains.zone,
        "script": PAGE.read_text(),
        "compatibility_date": COMPATIBILITY_DATE,
        "patterns": [f"{host}/*" for host in services.hosts(edge.environment).values()],
    }


def _who(edge: EdgeOf) -> str:
    arn: str = edge.session.client("sts").get_caller_identity()["Arn"]
    return f"{arn} for {claim}" if (claim := actor()) else arn
