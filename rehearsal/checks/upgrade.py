"""A new major version of PostgreSQL under traffic, and the way back."""

import io
import time
from datetime import UTC, datetime

from infra_runtime.database.connection import connect
from ops.console import Console
from ops.restores.instances import Instances
from ops.upgrades import commands
from rehearsal.account import Account
from rehearsal.checks.assertions import require
from rehearsal.checks.data import api_secret, instance_of, login_of
from rehearsal.checks.releases import first_release
from rehearsal.checks.restore import Writer, delete_replaced, served_again
from rehearsal.traffic import traffic


def to_a_major_version(account: Account) -> str:
    """The version is a label here; the copy, what follows it and the change of names are PostgreSQL's own."""
    first_release(account)
    before = instance_of(account)
    to = int(str(before["EngineVersion"]).partition(".")[0]) + 1
    secret, variables = api_secret(account)
    writer, told = Writer(account, secret, variables), io.StringIO()
    place = Instances(account.name, account.environment, account, sleep=lambda seconds: time.sleep(seconds / 100))
    with traffic(account).flowing() as users, writer.writing():
        commands.upgrade(place, to, Console(file=told, width=200), check_only=True)
        require(not users.failures, f"{len(users.failures)} requests failed while it was copied: {users.failures[:3]}")
        commands.upgrade(place, to, Console(file=told, width=200), check_only=False)
        served_again(users, told.getvalue())
    after = instance_of(account)
    require(str(after["EngineVersion"]).startswith(f"{to}."), f"it is on {after['EngineVersion']}; {told.getvalue()}")
    require(after["Endpoint"] == before["Endpoint"], "its address is another")
    with connect(login_of(account, secret), variables) as connection:
        there = {name for (name,) in connection.execute("select name from visitors").fetchall()}
    lost = writer.written.keys() - there
    require(writer.written and not lost, f"{len(lost)} of {len(writer.written)} rows are lost; {told.getvalue()}")
    commands.back(place, Console(file=told, width=200), now=datetime.now(UTC), loses_writes=True)
    back = instance_of(account)
    require(back["EngineVersion"] == before["EngineVersion"], f"after the way back it is on {back['EngineVersion']}")
    served_again(users, told.getvalue())
    delete_replaced(account)
    return (
        f"{before['EngineVersion']} to {after['EngineVersion']} and back: {len(users.failures)} of {users.requests}"
        f" requests failed at the switch, none of {len(writer.written)} rows is lost"
    )
