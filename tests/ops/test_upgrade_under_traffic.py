"""A new major version of PostgreSQL while users read and write, and the way back."""

import io
import time
from datetime import UTC, datetime

from infra_runtime.database.connection import connect
from ops.console import Console
from ops.restores.instances import Instances
from ops.upgrades import commands
from rehearsal.account import Account
from rehearsal.checks.data import api_secret, instance_of, login_of
from rehearsal.checks.releases import first_release
from rehearsal.checks.restore import Writer, delete_replaced, served_again
from rehearsal.traffic import traffic


def test_no_row_is_lost_and_requests_fail_only_at_the_switch(production: Account) -> None:
    """The version is a label here; the copy, what follows it and the change of names are PostgreSQL's own."""
    first_release(production)
    before = instance_of(production)
    to = int(str(before["EngineVersion"]).partition(".")[0]) + 1
    secret, variables = api_secret(production)
    writer, output = Writer(production, secret, variables), io.StringIO()
    place = Instances(
        production.name, production.environment, production, sleep=lambda seconds: time.sleep(seconds / 100)
    )
    with traffic(production).flowing() as users, writer.writing():
        commands.upgrade(place, to, Console(file=output, width=200), check_only=True)
        assert not users.failures, "while it was copied"
        commands.upgrade(place, to, Console(file=output, width=200), check_only=False)
        served_again(users, output.getvalue())
    after = instance_of(production)
    assert str(after["EngineVersion"]).startswith(f"{to}."), output.getvalue()
    assert after["Endpoint"] == before["Endpoint"]
    with connect(login_of(production, secret), variables) as connection:
        there = {name for (name,) in connection.execute("select name from visitors").fetchall()}
    lost = writer.written.keys() - there
    assert writer.written
    assert not lost, output.getvalue()
    commands.back(place, Console(file=output, width=200), now=datetime.now(UTC), loses_writes=True)
    back = instance_of(production)
    assert back["EngineVersion"] == before["EngineVersion"]
    served_again(users, output.getvalue())
    delete_replaced(production)
