"""`infra restore point`, `back` and `list`.

A restored database takes over by its name: the one that serves is renamed, and the restored one gets its name. The
endpoint, the stack's resource, alarms and permissions go by that name (RDS guide, "Renaming a DB instance").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from rich.table import Table

from infra_runtime.contract.names import stack_name
from infra_runtime.database.contents import DatabaseContents, Rows
from infra_runtime.database.contents import Table as DatabaseTable
from infra_runtime.database.verification import CLOCK, Inspected, problems
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.releases.text import moment
from ops.restores.instances import (
    Described,
    Instances,
    differences,
    lacking,
    replaced_for,
    restored_to,
    wanted_at_restore,
)

LATEST = "latest"
# RDS saves the log every five minutes: what happened just now can be restored soon.
_SAVED_WITHIN = timedelta(minutes=15)
# The RDS guide has ten minutes for a renaming.
_REACHED_WITHIN = timedelta(minutes=20)
_EVERY_SECONDS = 15.0
# If RDS refuses one of them then, it is reported as a difference.
_TRIES = 3


def when(text: str, *, now: datetime) -> datetime | None:
    """None for the latest. Raises `InputError`."""
    return None if text == LATEST else second(text, now=now, expected=f"{LATEST} or a time")


def second(text: str, *, now: datetime, expected: str = "a time") -> datetime:
    """RDS restores to a whole second, and S3 records versions to the second. Raises `InputError`."""
    expected = f"expected {expected} with its zone, like {now - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}"
    try:
        found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise InputError(f"--to {text!r}: {expected}") from None
    if found.tzinfo is None:
        raise InputError(f"--to {text!r}: {expected}; the zone is missing")
    if found.microsecond:
        raise InputError(f"--to {text!r}: {expected}; a whole second")
    if found > now:
        raise InputError(f"--to {text!r} is in the future: now it is {now:%Y-%m-%dT%H:%M:%SZ}")
    return found.astimezone(UTC)


def point(place: Instances, to: datetime | None, console: Console, *, now: datetime, check_only: bool) -> None:
    """Continues an interrupted run. Raises `OperatorError`, also where the data is not as it should be."""
    if (taking_over := place.next()) is not None:
        if taking_over in place.replaced():
            raise OperatorError(f"going back was begun before: infra restore back {place.name}")
        if check_only or to not in (None, restored_to(taking_over)):
            raise OperatorError(
                f"{taking_over['DBInstanceIdentifier']} was about to take over: infra restore point {place.name} --to"
                f" {LATEST} goes on with that, infra restore back {place.name} undoes it"
            )
        console.print(f"{taking_over['DBInstanceIdentifier']} was about to take over: going on with that")
        take_over(place, taking_over, console, now=now)
        return
    refuse_if_something_moves(place)
    if to is not None and any(replaced_for(each) == to for each in place.replaced()[:1]):
        console.print(f"{place.identifier} was restored to that time already, and serves")
        return
    restored = _restored(place, to, console, now=now)
    _verify(place, restored, console)
    name = restored["DBInstanceIdentifier"]
    if check_only:
        console.print(f"{name} stays beside the one that serves; without --check, the same command lets it take over")
        return
    take_over(place, restored, console, now=now)


def back(place: Instances, console: Console, *, now: datetime) -> None:
    """The one that served before serves again; what was written since the restore stays in the other one."""
    target = place.next()
    if target is None:
        refuse_if_something_moves(place)
    if target is not None and target not in place.replaced():
        # A restored one that has not taken over yet. It stays for another try.
        place.unmark_next(target)
        if place.called(place.identifier) is not None:
            place.inside(place.identifier, "open")
            console.print(f"{place.identifier} goes on serving")
            return
        target = None
    target = target or next(iter(place.replaced()), None)
    if target is None:
        raise OperatorError(f"{place.name}: no database was replaced by `infra restore point`")
    take_over(place, target, console, now=now)


@dataclass(frozen=True, kw_only=True)
class Restorable:
    """An instance of the database. Times are ISO 8601 in UTC."""

    instance: str
    status: str
    """RDS's status."""
    serves: bool
    earliest: str | None
    """It can be restored to any second from here; None before its first backup."""
    latest: str | None


def restorable(place: Instances) -> list[Restorable]:
    found = []
    for each in place.all():
        bounds = [at.astimezone(UTC).isoformat(timespec="seconds") for at in place.window(each) or ()]
        earliest, latest = bounds or (None, None)
        found.append(
            Restorable(
                instance=each["DBInstanceIdentifier"],
                status=each["DBInstanceStatus"],
                serves=each["DBInstanceIdentifier"] == place.identifier,
                earliest=earliest,
                latest=latest,
            )
        )
    return found


def show(found: Sequence[Restorable], console: Console) -> None:
    table = Table("instance", "status", "can be restored from", "to")
    for each in found:
        bounds = (
            [moment(each.earliest), moment(each.latest)] if each.earliest and each.latest else ["no backup yet", ""]
        )
        table.add_row(f"{each.instance}{' (serves)' if each.serves else ''}", each.status, *bounds)
    console.print(table)


def refuse_if_something_moves(place: Instances) -> None:
    prefix = stack_name(place.environment.product, place.name, "")
    pages = place.clients.client("cloudformation").get_paginator("describe_stacks").paginate()
    for page in pages:
        for each in page["Stacks"]:
            moves = each["StackStatus"].endswith("_IN_PROGRESS") and each["StackStatus"] != "REVIEW_IN_PROGRESS"
            if each["StackName"].startswith(prefix) and moves:
                raise OperatorError(
                    f"{each['StackName']} is {each['StackStatus']}: wait for the end of that deployment or release, or"
                    f" stop it: infra rollback {place.name} --service NAME"
                )


# -- A new instance beside the one that serves


def _restored(place: Instances, to: datetime | None, console: Console, *, now: datetime) -> Described:
    """Restores an instance with all settings of the serving one."""
    serving = place.called(place.identifier)
    if serving is None:
        raise OperatorError(f"no instance is called {place.identifier}; infra restore list {place.name}")
    begun = place.restored()
    if begun:
        name, time = begun[-1]["DBInstanceIdentifier"], restored_to(begun[-1])
        if to is not None and time != to:
            raise OperatorError(
                f"{name} was begun before and does not serve yet: go on with it by --to {LATEST}, or delete it:"
                f" {deletion(begun[-1])}"
            )
        console.print(f"{name} was begun before: going on with it")
    else:
        name = _begin(place, serving, to, console, now=now)
    made = place.settled(name)
    for _ in range(_TRIES):
        if not (changes := lacking(serving, made)):
            break
        console.print(f"{name}: {', '.join(sorted(changes))}")
        place.rds.modify_db_instance(DBInstanceIdentifier=name, ApplyImmediately=True, **changes)
        place.sleep(_EVERY_SECONDS)
        made = place.settled(name)
    return made


def _begin(place: Instances, serving: Described, to: datetime | None, console: Console, *, now: datetime) -> str:
    source, time = _source(place, serving, to, console, now=now)
    name = place.restored_name(time)
    console.print(f"{source} as it was at {time:%Y-%m-%d %H:%M:%S} UTC becomes {name}", highlight=False)
    place.rds.restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier=source,
        TargetDBInstanceIdentifier=name,
        RestoreTime=time,
        **wanted_at_restore(serving, time),
    )
    return name


def _source(
    place: Instances, serving: Described, to: datetime | None, console: Console, *, now: datetime
) -> tuple[str, datetime]:
    """The instance whose backups reach that time: after a restore, that may be one that it has replaced."""
    candidates = [serving, *place.replaced()]
    waited = timedelta()
    while True:
        windows = {
            each["DBInstanceIdentifier"]: window for each in candidates if (window := place.window(each)) is not None
        }
        for name, (earliest, latest) in windows.items():
            if to is None:
                return name, latest.astimezone(UTC).replace(microsecond=0)
            if earliest <= to <= latest:
                return name, to
        reach = "; ".join(f"{name}: {since:%Y-%m-%dT%H:%M:%SZ} to {until:%Y-%m-%dT%H:%M:%SZ}"
                          for name, (since, until) in windows.items())  # fmt: skip
        newest = windows.get(place.identifier, (now, now))[1]
        if to is None or to < newest or waited > _SAVED_WITHIN:
            raise OperatorError(
                f"{place.name} cannot be restored to {to or LATEST}. What can be: {reach or 'nothing yet'}"
            )
        if not waited:
            console.print(
                f"RDS saves the log every five minutes, until now {newest:%H:%M:%S} UTC: waiting for the rest"
            )
        place.sleep(_EVERY_SECONDS)
        waited += timedelta(seconds=_EVERY_SECONDS)


# -- Verifying the data


def _verify(place: Instances, restored: Described, console: Console) -> None:
    name, to = restored["DBInstanceIdentifier"], restored_to(restored)
    if to is None:
        raise OperatorError(
            f"{name} has lost its tag with the time that it was restored to; delete it: {deletion(restored)}"
        )
    serving = place.called(place.identifier)
    found = inspect(place, name, to - CLOCK)
    try:
        beside = inspect(place, place.identifier, to - CLOCK)
    except OperatorError as error:
        console.print(f"{place.identifier} cannot be read, so nothing is compared with it: {error}")
        beside = None
    _print_tables(found, beside, console)
    console.print(f"{name}: PostgreSQL {found.contents.version}, schema {found.contents.schema}; {_reaches(found, to)}")
    if beside is not None and beside.contents.extensions != found.contents.extensions:
        console.print(f"extensions {_listed(found.contents.extensions)}, before {_listed(beside.contents.extensions)}")
    wrong = list(problems(found, to, beside))
    if serving is not None:
        wrong += differences(serving, restored)
    if wrong:
        text = "\n".join(f"- {each}" for each in wrong)
        raise OperatorError(f"{name} is not what it should be, and nothing has changed for users:\n{text}\n"
                            f"Delete it and restore again: {deletion(restored)}")  # fmt: skip


def inspect(place: Instances, name: str, until: datetime) -> Inspected:
    """Raises `OperatorError` where it cannot be read."""
    found = contents_of(place, name)
    rows: dict[str, Rows] = {}
    while rest := [each.name for each in found.tables if each.name not in rows]:
        counted = place.inside(name, "count", tables=rest, until=until.isoformat())
        rows |= {table: Rows(**each) for table, each in counted.items()}
    return Inspected(found, rows)


def contents_of(place: Instances, name: str) -> DatabaseContents:
    answer = place.inside(name, "look")
    return DatabaseContents(**{**answer, "tables": [DatabaseTable(**each) for each in answer["tables"]]})


def _reaches(found: Inspected, to: datetime) -> str:
    if found.newest is None:
        return "no row shows when it was committed"
    return f"its last commit is {(to - found.newest).total_seconds():.1f} s before {to:%H:%M:%S} UTC"


def _print_tables(found: Inspected, beside: Inspected | None, console: Console) -> None:
    table = Table("table", "owner", "rows", "rows now", "last commit", "digest")
    others = beside.rows if beside else {}
    owners = {each.name: (each.owner, each.grants) for each in (beside.contents.tables if beside else [])}
    for each in found.contents.tables:
        rows, other = found.rows[each.name], others.get(each.name)
        count = f"{rows.count}" if rows.count is not None else f"about {each.estimate}"
        now = "-" if beside is None else "gone" if other is None else str(other.count)
        same = "-" if other is None else "the same" if other.digest == rows.digest else "another"
        rights = "" if owners.get(each.name, (each.owner, each.grants)) == (each.owner, each.grants) else " (changed)"
        table.add_row(each.name, f"{each.owner}{rights}", count, now, (rows.newest or "")[:19], same)
    console.print(table)


def _listed(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())


# -- Taking over


def take_over(place: Instances, target: Described, console: Console, *, now: datetime) -> None:
    """Each step may be repeated: `target` stays marked until it serves. A switch that was begun has to be ended: users
    may be without a database, and a deployment may hang because of that.
    """
    if place.next() is None:
        _mark(place, target)
    serving = place.called(place.identifier)
    if serving is not None and serving["DbiResourceId"] != target["DbiResourceId"]:
        # First: if this fails, users notice nothing.
        place.inside(target["DBInstanceIdentifier"], "open")
        try:
            place.inside(place.identifier, "close")
        except OperatorError as error:
            console.print(f"{place.identifier} cannot be closed; tasks may still write into it: {error}")
        if (to := restored_to(target)) is not None:
            place.mark_replaced(serving, to)
        old = place.replaced_name(now)
        console.print(f"{place.identifier} becomes {old}", highlight=False)
        place.free_the_name(serving, old)
    console.print(f"{target['DBInstanceIdentifier']} becomes {place.identifier}", highlight=False)
    place.take_the_name(target)
    # Again: a login may have been rotated meanwhile.
    open_once_reached(place, console)
    place.unmark(place.settled(place.identifier))
    _print_what_is_left(place, console)


def _mark(place: Instances, target: Described) -> None:
    """Marks the target: no release begins while it has the mark (infra_runtime.release.preflight)."""
    place.mark_next(target)
    if place.called(place.identifier) is None:
        return  # Nothing serves: do not wait for deployments.
    try:
        refuse_if_something_moves(place)
    except OperatorError:
        place.unmark_next(target)
        raise


def open_once_reached(place: Instances, console: Console) -> None:
    """The new address may be known everywhere only minutes after the renaming. Raises `OperatorError`."""
    waited = timedelta()
    while True:
        try:
            place.inside(place.identifier, "open")
        except OperatorError as error:
            if waited > _REACHED_WITHIN:
                raise
            if not waited:
                console.print(f"not reached yet: {error}")
            place.sleep(_EVERY_SECONDS)
            waited += timedelta(seconds=_EVERY_SECONDS)
        else:
            return


def _print_what_is_left(place: Instances, console: Console) -> None:
    console.print(f"{place.identifier} serves. infra status {place.name} shows whether users are served.")
    for each in place.replaced():
        console.print(f"Kept: {each['DBInstanceIdentifier']}; delete it once it is not needed: {deletion(each)}")
    console.print(f"To go back: infra restore back {place.name}", highlight=False)


def deletion(instance: Described) -> str:
    name = instance["DBInstanceIdentifier"]
    lift = "" if not instance.get("DeletionProtection") else (
        f"aws rds modify-db-instance --db-instance-identifier {name} --no-deletion-protection && "
    )  # fmt: skip
    return (
        f"{lift}aws rds delete-db-instance --db-instance-identifier {name} --final-db-snapshot-identifier {name}-last"
    )
