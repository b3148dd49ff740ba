"""Restores of lost data: database, single tables and media."""

import io
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from infra_runtime.cloudflare.purge import prefixes
from infra_runtime.contract.database_names import OWNER
from infra_runtime.database.connection import Login, connect
from ops.console import Console
from ops.restores import commands, objects, tables
from ops.restores.drills import Drills
from ops.restores.instances import Instances
from ops.restores.objects import MediaBucket
from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require, wait_until
from rehearsal.checks.data import api_secret, instance_of, login_of
from rehearsal.checks.releases import first_release
from rehearsal.traffic import UserTraffic, traffic

_SERVED_SECONDS = 60.0
_KEPT, _KEPT_ROWS = "souvenirs", 1000
_PURGED_SECONDS = 60.0


def to_a_point_in_time(account: Account) -> str:
    """A table is dropped while users read and write it; `infra restore point` restores it."""
    first_release(account)
    secret, variables = api_secret(account)
    writer = Writer(account, secret, variables)
    with connect(_master(account), variables) as connection:
        connection.execute(f"create table {_KEPT} as select generate_series(1, {_KEPT_ROWS}) as id")
        connection.execute(f"alter table {_KEPT} owner to {OWNER}")
    with traffic(account).flowing() as users, writer.writing():
        time.sleep(1)
        # RDS restores to whole seconds: take the last one before the loss.
        last_good = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
        time.sleep((last_good - datetime.now(UTC)).total_seconds() + 0.1)
        with connect(_master(account), variables) as connection:
            connection.execute("drop table visitors")
        dropped = datetime.now(UTC)
        output = _restore(account, last_good)
        served = served_again(users, output)
    with connect(login_of(account, secret), variables) as connection:
        there = {name for (name,) in connection.execute("select name from visitors").fetchall()}
    missing = [name for name, at in writer.written.items() if at <= last_good and name not in there]
    require(not missing, f"{len(missing)} rows from before {last_good} are missing; {output}")
    lost = [name for name in writer.written if name not in there]
    require(lost, "nothing was written between the restored time and the loss: this shows nothing")
    copied = _copied(account, variables)
    delete_replaced(account)
    return (
        f"a dropped table is back after {(served - dropped).total_seconds():.0f} s here; {len(users.failures)} requests"
        f" failed, {len(lost)} rows of {(dropped - last_good).total_seconds():.1f} s are lost, none from before;"
        f" a table of {copied} rows was copied out of the replaced instance"
    )


def drill(account: Account) -> str:
    """A drill that a person starts: AWS Backup restores and sends an event, the function verifies and deletes."""
    if not account.environment.database.restore_drills:
        not_on_this_plan("no restore drills, by the environment's choice")
    first_release(account)
    place = Drills(account.name, account.environment, account, sleep=lambda _: time.sleep(0.2))
    before = {each["DBInstanceIdentifier"] for each in _instances(account)}
    _wait_for_the_first_backup(account)
    result = place.result(place.start())
    require(not result.problems, f"{result.problems}")
    wait_until(
        lambda: {each["DBInstanceIdentifier"] for each in _instances(account)} == before,
        lambda: f"left behind: {[each['DBInstanceIdentifier'] for each in _instances(account)]}",
        seconds=_SERVED_SECONDS,
    )
    measured = f"RPO {result.rpo:.1f} min, RTO {result.rto:.1f} min here"
    return f"restored to a new instance, {result.told}; {measured}; deleted again"


def _instances(account: Account) -> list[Mapping[str, Any]]:
    pages = account.client("rds").get_paginator("describe_db_instances").paginate()
    return [each for page in pages for each in page["DBInstances"]]


def _wait_for_the_first_backup(account: Account) -> None:
    """Waits for AWS Backup's nightly recovery point, which takes a second here."""
    vault, backup = account.resource("Data", "AWS::Backup::BackupVault"), account.client("backup")
    wait_until(
        lambda: bool(backup.list_recovery_points_by_backup_vault(BackupVaultName=vault)["RecoveryPoints"]),
        lambda: f"{vault} is empty",
        seconds=_SERVED_SECONDS,
    )


def deleted_and_replaced_media(account: Account) -> str:
    """Follows the runbook. S3's events then purge the restored objects from Cloudflare's cache."""
    s3, media = account.client("s3"), MediaBucket(account.environment, account)
    deleted, replaced = "rehearsed/restored/deleted", "rehearsed/restored/replaced"
    target = {"Bucket": media.bucket}
    for key in (deleted, replaced):
        s3.put_object(**target, Key=key, Body=b"good", ContentType="image/avif")
    good = _end_of_a_second()
    s3.delete_object(**target, Key=deleted)
    s3.put_object(**target, Key=replaced, Body=b"wrong")
    _purged(account, deleted, replaced)
    account.zone.purged.clear()
    console = Console(file=io.StringIO())
    objects.restore(media, "rehearsed/restored/", good, console, now=datetime.now(UTC), is_confirmed=True)
    for key in (deleted, replaced):
        found = s3.get_object(**target, Key=key)
        served = found["Body"].read(), found["ContentType"]
        require(served == (b"good", "image/avif"), f"{key} is {served}")
    took = _purged(account, deleted, replaced)
    for key in (deleted, replaced):
        s3.delete_object(**target, Key=key)
    return f"one deleted and one replaced object are as they were; purged at the edge {took:.1f} s later"


def _end_of_a_second() -> datetime:
    """Waits until the current second is over, and returns it: S3 dates versions by whole seconds."""
    now = datetime.now(UTC)
    second = now.replace(microsecond=0)
    time.sleep((second + timedelta(seconds=1.05) - now).total_seconds())
    return second


def _purged(account: Account, *keys: str) -> float:
    """Waits until all keys are purged, in every spelling. Returns the seconds that it took."""
    began = time.monotonic()
    wanted = {each for key in keys for each in prefixes(account.environment.domains.media, key)}
    wait_until(
        lambda: wanted <= set(account.zone.purged),
        lambda: f"not purged within a minute: {wanted - set(account.zone.purged)}",
        seconds=_PURGED_SECONDS,
    )
    return time.monotonic() - began


@dataclass
class Writer:
    """Writes rows as the application does."""

    account: Account
    secret: str
    variables: Mapping[str, str]
    written: dict[str, datetime] = field(default_factory=dict)
    """When the database confirmed each row."""
    _over: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def writing(self) -> Iterator[None]:
        work = threading.Thread(target=self._write, daemon=True)
        work.start()
        try:
            yield
        finally:
            self._over.set()
            work.join()

    def _write(self) -> None:
        while not self._over.is_set():
            try:
                with connect(login_of(self.account, self.secret), self.variables) as connection:
                    while not self._over.is_set():
                        name = uuid.uuid4().hex
                        connection.execute("insert into visitors (name) values (%s)", [name])
                        self.written[name] = datetime.now(UTC)
                        time.sleep(0.02)
            except psycopg.Error:
                time.sleep(0.05)


def _restore(account: Account, to: datetime) -> str:
    """Runs `infra restore point`, and returns what it prints."""
    output, now = io.StringIO(), datetime.now(UTC)
    place = Instances(account.name, account.environment, account, sleep=lambda seconds: time.sleep(seconds / 50))
    wanted = commands.when(f"{to:%Y-%m-%dT%H:%M:%SZ}", now=now)
    commands.point(place, wanted, Console(file=output, width=200), now=now, check_only=False)
    return output.getvalue()


def _copied(account: Account, variables: Mapping[str, str]) -> int:
    """Rows of a table that the replaced instance still has."""
    place = Instances(account.name, account.environment, account)
    (replaced, *_) = place.replaced()
    with connect(_master(account), variables) as connection:
        connection.execute(f"drop table {_KEPT}")
    tables.copy(place, _KEPT, "public", replaced["DBInstanceIdentifier"], Console(file=io.StringIO()))
    copy = f"{_KEPT}_{place.short(replaced).replace('-', '_')}"
    with connect(_master(account), variables) as connection:
        rows = len(connection.execute(f"table {copy}").fetchall())
        connection.execute(f"drop table {copy}")
    require(rows == _KEPT_ROWS, f"{rows} of {_KEPT_ROWS} rows are in {copy}")
    return rows


def served_again(users: UserTraffic, message: str) -> datetime:
    give_up = time.monotonic() + _SERVED_SECONDS
    while True:
        try:
            users.ask("/")
        except (OSError, ValueError) as error:
            require(time.monotonic() < give_up, f"{error}; {message}")
            time.sleep(0.05)
        else:
            return datetime.now(UTC)


def _master(account: Account) -> Login:
    secret = instance_of(account)["MasterUserSecret"]
    assert isinstance(secret, dict)
    return login_of(account, secret["SecretArn"])


def delete_replaced(account: Account) -> None:
    """Deletes the replaced instances, as the runbook says."""
    rds = account.client("rds")
    for each in Instances(account.name, account.environment, account).replaced():
        name = {"DBInstanceIdentifier": each["DBInstanceIdentifier"]}
        rds.modify_db_instance(**name, DeletionProtection=False, ApplyImmediately=True)
        rds.get_waiter("db_instance_available").wait(**name, WaiterConfig={"Delay": 1})
        rds.delete_db_instance(**name, SkipFinalSnapshot=True)
