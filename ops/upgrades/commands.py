"""`infra database upgrade`: RDS copies the database to an instance of the new version, and that takes over by its name.

The name of the one that serves stays, and with it the endpoint, the stack's resource, alarms and permissions.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.table import Table

from infra_runtime.database.contents import Rows
from infra_runtime.database.verification import CLOCK, Inspected
from infra_runtime.database.verification import differences as differences_of_data
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.restores import commands as restores
from ops.restores.instances import Described, Instances, differences
from ops.upgrades.deployment import AVAILABLE, SWITCHED, SWITCHOVER_SECONDS, Upgrade

# How far the copy may lag behind when it is compared.
_LAG = timedelta(seconds=10)
_COMPARED_TIMES = 5
_EVERY_SECONDS = 15.0


def upgrade(place: Instances, to: int, console: Console, *, check_only: bool) -> None:
    """Continues an interrupted run. Raises `OperatorError`, also where the copy is not as it should be."""
    restores.refuse_if_something_moves(place)
    work, serving = Upgrade(place), _serving(place)
    deployment, version = work.found(), _major(serving)
    if deployment is None:
        if version == to:
            _finish(work, console, ends=None)
            return
        if version > to:
            raise InputError(f"--to {to}: {place.identifier} is on PostgreSQL {serving['EngineVersion']}")
        _begin(work, serving, to, console)
    elif not deployment["BlueGreenDeploymentName"].endswith(f"-to-{to}"):
        raise OperatorError(
            f"{deployment['BlueGreenDeploymentName']} was begun before: go on with that one, or undo it:"
            f" infra database upgrade {place.name} --back"
        )
    deployment = work.settled(console)
    if deployment["Status"] != SWITCHED:
        green = _verified(work, deployment, console)
        if check_only:
            console.print(f"{green['DBInstanceIdentifier']} follows the one that serves and is verified."
                          f" Without --check, the same command lets it take over; to undo it:"
                          f" infra database upgrade {place.name} --back")  # fmt: skip
            return
        _switch(work, deployment, green, console)
    _finish(work, console, ends=work.found())


def back(place: Instances, console: Console, *, now: datetime, loses_writes: bool) -> None:
    """Before the switch: the copy is deleted. After it: the old instance serves again. May be repeated."""
    restores.refuse_if_something_moves(place)
    work = Upgrade(place)
    if (deployment := work.found()) is not None and deployment["Status"] != SWITCHED:
        deployment = work.settled(console)
    if deployment is not None and deployment["Status"] != SWITCHED:
        _drop_copy(work, deployment, console)
        return
    old = next(iter(work.upgraded()), None)
    if (taking_over := place.next()) is not None:
        old = taking_over
    elif old is None:
        if _serving(place).get("MasterUserSecret"):
            raise OperatorError(f"{place.name}: no database was replaced by `infra database upgrade`")
        # It ended before RDS had begun.
        _as_before(work, console)
        return
    else:
        _tell_what_is_lost(place, old, console, loses_writes=loses_writes)
    if deployment is not None:
        work.end(deployment, with_green=False)
    name = old["DBInstanceIdentifier"]
    if name != place.identifier and restores.contents_of(place, name).read_only:
        # RDS leaves it so until a reboot.
        console.print(f"{name} takes no writes yet: rebooting it")
        place.rds.reboot_db_instance(DBInstanceIdentifier=name)
        place.sleep(_EVERY_SECONDS)
        place.settled(name)
        if restores.contents_of(place, name).read_only:
            raise OperatorError(f"{name} still takes no writes: set default_transaction_read_only to 0 in its parameter"
                                f" group, then run this again")  # fmt: skip
    restores.take_over(place, old, console, now=now)
    version = _major(work.give_back_password(place.identifier))
    console.print(_file_says(place, version), highlight=False)


# -- Before it


def _begin(work: Upgrade, serving: Described, to: int, console: Console) -> None:
    place = work.place
    if place.next() is not None:
        raise OperatorError(f"a restore was interrupted; end it first: infra restore list {place.name}")
    version = _target(work, serving, to)
    if found := list(_obstacles(work, serving)):
        text = "\n".join(f"- {each}" for each in found)
        raise OperatorError(f"{place.identifier} cannot be upgraded yet, and nothing has changed:\n{text}")
    group = work.group(to)
    if serving.get("MasterUserSecret"):
        console.print(
            "RDS copies no database whose master password it manages: it is in the stack's secret MasterDuringUpgrades"
            " meanwhile"
        )
        work.take_over_password(serving)
        place.sleep(_EVERY_SECONDS)
        serving = place.settled(place.identifier)
    console.print(f"PostgreSQL {serving['EngineVersion']} is copied to {version}; users notice nothing."
                  " Until it serves, deploy nothing and release nothing with migrations", highlight=False)  # fmt: skip
    work.begin(serving, version, group)


def _target(work: Upgrade, serving: Described, to: int) -> str:
    """The newest minor version that RDS offers. Raises `OperatorError`."""
    pages = work.rds.get_paginator("describe_db_engine_versions").paginate(
        Engine="postgres", EngineVersion=serving["EngineVersion"]
    )
    offered: list[str] = [
        target["EngineVersion"]
        for page in pages
        for each in page["DBEngineVersions"]
        for target in each["ValidUpgradeTarget"]
    ]
    versions = [each for each in offered if each.split(".")[0] == str(to)]
    if not versions:
        raise OperatorError(
            f"RDS offers no upgrade from {serving['EngineVersion']} to {to}; it offers {', '.join(offered) or 'none'}"
        )
    return max(versions, key=lambda each: [int(part) for part in each.split(".")])


def _obstacles(work: Upgrade, serving: Described) -> Iterator[str]:
    if replicas := serving.get("ReadReplicaDBInstanceIdentifiers"):
        yield f"it has read replicas: {', '.join(replicas)}"
    if not serving["BackupRetentionPeriod"]:
        yield "automated backups are off"
    for group in serving["DBParameterGroups"]:
        if group["ParameterApplyStatus"] != "in-sync":
            yield f"parameter group {group['DBParameterGroupName']} is {group['ParameterApplyStatus']}: reboot it once"
    yield from work.place.inside(work.place.identifier, "obstacles")["found"]


# -- The copy


def _verified(work: Upgrade, deployment: Mapping[str, Any], console: Console) -> Described:
    place = work.place
    if deployment["Status"] != AVAILABLE:
        raise OperatorError(
            f"{deployment['BlueGreenDeploymentName']} is {deployment['Status']}: {deployment.get('StatusDetails')}."
            f" Nothing has changed for users. Undo it: infra database upgrade {place.name} --back"
        )
    green = place.settled(work.green(deployment)["DBInstanceIdentifier"])
    wrong: list[str] = []
    for attempt in range(_COMPARED_TIMES):
        if attempt:
            place.sleep(_EVERY_SECONDS)
        wrong = list(_compared(place, green, console if not attempt else None))
        if not wrong:
            return green
    text = "\n".join(f"- {each}" for each in wrong)
    raise OperatorError(f"{green['DBInstanceIdentifier']} is not what it should be, and nothing has changed for users:"
                        f"\n{text}\nUndo it: infra database upgrade {place.name} --back")  # fmt: skip


def _compared(place: Instances, green: Described, console: Console | None) -> Iterator[str]:
    serving, until = _serving(place), datetime.now(UTC) - _LAG - CLOCK
    before = restores.inspect(place, place.identifier, until)
    copy = restores.inspect(place, green["DBInstanceIdentifier"], until)
    after = restores.inspect(place, place.identifier, until)
    if console is not None:
        _print_tables(copy, before, after, console)
        console.print(f"PostgreSQL {copy.contents.version}, schema {copy.contents.schema}")
    yield from differences_of_data(copy, before, after)
    groups = "DBParameterGroups"
    yield from (each for each in differences(serving, green) if not each.startswith(f"{groups} are"))


def _print_tables(copy: Inspected, before: Inspected, after: Inspected, console: Console) -> None:
    table = Table("table", "rows", "rows in the copy", "content")
    for each in before.contents.tables:
        rows, found, since = (one.rows.get(each.name, Rows()) for one in (before, copy, after))
        if rows.digest is None or found.digest is None:
            content = "-"
        elif rows.digest == found.digest:
            content = "the same"
        else:
            content = "another" if rows.digest == since.digest else "written to just now"
        table.add_row(each.name, *("-" if one.count is None else str(one.count) for one in (rows, found)), content)
    console.print(table)


# -- The switch


def _switch(work: Upgrade, deployment: Mapping[str, Any], green: Described, console: Console) -> None:
    place, name = work.place, green["DBInstanceIdentifier"]
    try:
        # Roles are not replicated: a login that was rotated since has its new password there only now.
        place.inside(name, "prepare")
    except OperatorError as error:
        console.print(f"{name} could not be prepared; passwords are set right after the switch: {error}")
    console.print(f"{name} takes over: connections end, and writes wait for seconds, {SWITCHOVER_SECONDS} at most")
    work.switch(deployment)
    ended = work.settled(console)
    if ended["Status"] != SWITCHED:
        raise OperatorError(
            f"{place.identifier} serves as before: {ended.get('StatusDetails') or ended['Status']}."
            " Run the same command again, or undo it with --back"
        )


def _finish(work: Upgrade, console: Console, *, ends: Mapping[str, Any] | None) -> None:
    place = work.place
    restores.open_once_reached(place, console)
    work.give_back_password(place.identifier)
    if ends is not None:
        work.end(ends, with_green=False)
    serving = _serving(place)
    console.print(f"{place.identifier} serves, on PostgreSQL {serving['EngineVersion']}."
                  f" infra status {place.name} shows whether users are served.", highlight=False)  # fmt: skip
    console.print(_file_says(place, _major(serving)), highlight=False)
    for each in work.upgraded():
        console.print(
            f"Kept: {each['DBInstanceIdentifier']}; it takes no writes. To go back: infra database upgrade {place.name}"
            f" --back. Once it is not needed, delete it: {restores.deletion(each)}",
            highlight=False,
        )


def _file_says(place: Instances, version: int) -> str:
    if place.environment.database.version == version:
        return f"environments/{place.name}.toml names version {version}, too. Deploy it: make deploy ENV={place.name}"
    return (
        f"Next: set version = {version} under [database] in environments/{place.name}.toml, and"
        f" make deploy ENV={place.name}. Until then infra drift shows the version."
    )


# -- The way back


def _drop_copy(work: Upgrade, deployment: Mapping[str, Any], console: Console) -> None:
    place, name = work.place, deployment.get("Target", "").rpartition(":")[2]
    green = place.called(name)
    if green is not None and green.get("DeletionProtection"):
        place.rds.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False, ApplyImmediately=True)
        place.sleep(_EVERY_SECONDS)
        place.settled(name)
    console.print(f"{name} is deleted; users notice nothing")
    work.end(deployment, with_green=True)
    _as_before(work, console)


def _as_before(work: Upgrade, console: Console) -> None:
    work.give_back_password(work.place.identifier)
    console.print(f"{work.place.identifier} serves as before, and RDS manages its master password again")


def _tell_what_is_lost(place: Instances, old: Described, console: Console, *, loses_writes: bool) -> None:
    name = old["DBInstanceIdentifier"]
    # It has taken no writes since the switch: everything after its last commit is from after the switch.
    last = restores.inspect(place, name, datetime.now(UTC)).newest
    if last is None:
        text = "what was written since the switch"
    else:
        found = restores.inspect(place, place.identifier, last)
        rows = sum((each.count or 0) - (each.count_until or 0) for each in found.rows.values())
        text = (
            f"what was written since {last:%Y-%m-%d %H:%M:%S} UTC: {rows} rows are new or changed, others are deleted"
        )
    console.print(f"{name} does not have {text}", highlight=False)
    if not loses_writes:
        raise OperatorError(
            f"users would lose that: infra database upgrade {place.name} --back --lose-writes. It stays in the instance"
            f" that serves now, which is kept"
        )


def _serving(place: Instances) -> Described:
    return place.settled(place.identifier)


def _major(instance: Described) -> int:
    return int(instance["EngineVersion"].split(".")[0])
