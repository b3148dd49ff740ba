"""Lost data, and how much of it comes back."""

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

from infra_runtime.database.connection import Login, connect
from ops.console import Console
from ops.restores import commands
from ops.restores.drills import Drills
from ops.restores.instances import Instances
from rehearsal.account import Account
from rehearsal.promises.data import api_secret, instance_of, login_of
from rehearsal.promises.found import not_on_this_plan, require, wait_until
from rehearsal.promises.releases import first_release
from rehearsal.traffic import Traffic, traffic

_SERVED_SECONDS = 60.0


def to_a_point_in_time(account: Account) -> str:
    """Somebody drops a table while users read and write it; `infra restore point` gets it back."""
    first_release(account)
    secret, variables = api_secret(account)
    writer = _Writer(account, secret, variables)
    with traffic(account).flowing() as users, writer.writing():
        time.sleep(1)
        # RDS restores to whole seconds: to the last one before it happens.
        last_good = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
        time.sleep((last_good - datetime.now(UTC)).total_seconds() + 0.1)
        with connect(_master(account), variables) as connection:
            connection.execute("drop table visitors")
        dropped = datetime.now(UTC)
        told = _restore(account, last_good)
        served = _served_again(users, told)
    with connect(login_of(account, secret), variables) as connection:
        there = {name for (name,) in connection.execute("select name from visitors").fetchall()}
    missing = [name for name, at in writer.written.items() if at <= last_good and name not in there]
    require(not missing, f"{len(missing)} rows from before {last_good} are missing; {told}")
    lost = [name for name in writer.written if name not in there]
    require(lost, "nothing was written between the restored time and the loss: nothing was shown")
    _delete_replaced(account)
    return (
        f"a dropped table is back after {(served - dropped).total_seconds():.0f} s here; {len(users.failures)} requests"
        f" failed, {len(lost)} rows of {(dropped - last_good).total_seconds():.1f} s are lost, none from before"
    )


def drill(account: Account) -> str:
    """As a person starts it: AWS Backup restores and tells of the end, the function verifies and deletes."""
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
    return f"restored beside, {result.told}; RPO {result.rpo:.1f} min, RTO {result.rto:.1f} min here; deleted again"


def _instances(account: Account) -> list[Mapping[str, Any]]:
    pages = account.client("rds").get_paginator("describe_db_instances").paginate()
    return [each for page in pages for each in page["DBInstances"]]


def _wait_for_the_first_backup(account: Account) -> None:
    """A night, which takes AWS Backup a second here."""
    vault, backup = account.resource("Data", "AWS::Backup::BackupVault"), account.client("backup")
    wait_until(
        lambda: bool(backup.list_recovery_points_by_backup_vault(BackupVaultName=vault)["RecoveryPoints"]),
        lambda: f"{vault} is empty",
        seconds=_SERVED_SECONDS,
    )


@dataclass
class _Writer:
    """Writes rows as the application does."""

    account: Account
    secret: str
    variables: Mapping[str, str]
    written: dict[str, datetime] = field(default_factory=dict)
    """When the database had confirmed each."""
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
    """As a person types it; returns what that says."""
    told, now = io.StringIO(), datetime.now(UTC)
    place = Instances(account.name, account.environment, account, sleep=lambda seconds: time.sleep(seconds / 50))
    wanted = commands.when(f"{to:%Y-%m-%dT%H:%M:%SZ}", now=now)
    commands.point(place, wanted, Console(file=told, width=200), now=now, check_only=False)
    return told.getvalue()


def _served_again(users: Traffic, told: str) -> datetime:
    give_up = time.monotonic() + _SERVED_SECONDS
    while True:
        try:
            users.ask("/")
        except (OSError, ValueError) as error:
            require(time.monotonic() < give_up, f"{error}; {told}")
            time.sleep(0.05)
        else:
            return datetime.now(UTC)


def _master(account: Account) -> Login:
    secret = instance_of(account)["MasterUserSecret"]
    assert isinstance(secret, dict)
    return login_of(account, secret["SecretArn"])


def _delete_replaced(account: Account) -> None:
    """As the runbook says: once nobody needs it."""
    rds = account.client("rds")
    for each in Instances(account.name, account.environment, account).replaced():
        name = {"DBInstanceIdentifier": each["DBInstanceIdentifier"]}
        rds.modify_db_instance(**name, DeletionProtection=False, ApplyImmediately=True)
        rds.get_waiter("db_instance_available").wait(**name, WaiterConfig={"Delay": 1})
        rds.delete_db_instance(**name, SkipFinalSnapshot=True)
