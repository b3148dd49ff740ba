"""What a restore does inside of databases, as nothing outside of the VPC reaches them. Asked by `infra restore`."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from infra_runtime.aws import client
from infra_runtime.contract.database_names import OWNER, USER, logins_of
from infra_runtime.database import upgrade
from infra_runtime.database.connection import Connection, Login
from infra_runtime.database.inspection import contents_of, count
from infra_runtime.database.instance import RestoredInstance, instance_called
from infra_runtime.database.roles import MigrationLimits, prepare, run, set_password
from infra_runtime.database.table_copy import Named, copy, digest
from infra_runtime.reporting import reported

_LOGINS = [login for group in (OWNER, USER) for login in logins_of(group)]
# The caller waits a minute for the answer.
_WORKING_SECONDS = 40.0
_END_SESSIONS = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = any(%s) and pid <> pg_backend_pid()"""


@reported
def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """{"instance": NAME, "do": …}, and each may be repeated:

    - "look": what is in it, without rows.
    - "count", "tables", "until": rows of as many of the tables as there is time for.
    - "close": logins of the application and of migrations get in no more, and those that are in are ended.
    - "open": they get in, with the passwords that their secrets have now.
    - "copy", "from", "schema", "table", "as": a table of the instance "from", as far as there is time for.
    - "digest", "schema", "table", "block": of a table's rows from a block on, as far as there is time for.
    - "prepare": what a copy lacks that follows another database: the passwords of now, and statistics.
    - "obstacles": what speaks against a major upgrade.
    """
    instance = instance_called(event["instance"])
    with instance.connect() as connection:
        match event["do"]:
            case "look":
                return asdict(contents_of(connection, json.loads(os.environ["PARAMETERS"])))
            case "count":
                until = datetime.fromisoformat(event["until"])
                found = count(connection, event["tables"], until, seconds=_WORKING_SECONDS)
                return {name: asdict(rows) for name, rows in found.items()}
            case "close":
                close(connection)
            case "copy":
                table, new = (Named(event["schema"], event[each]) for each in ("table", "as"))
                with instance_called(event["from"]).connect() as source:
                    progress = copy(source, connection, table, new, name=event["from"], seconds=_WORKING_SECONDS)
                return asdict(progress)
            case "digest":
                table = Named(event["schema"], event["table"])
                return digest(connection, table, event["block"], seconds=_WORKING_SECONDS)
            case "open":
                open_(connection, client("secretsmanager"), instance)
            case "prepare":
                connection.execute("set default_transaction_read_only to off")
                set_passwords(connection, client("secretsmanager"))
                connection.execute(f"set statement_timeout to '{_WORKING_SECONDS:.0f}s'")
                connection.execute("analyze")
            case "obstacles":
                return {"found": list(obstacles(instance, connection))}
            case other:
                raise ValueError(f"do {other!r}: the function in this account does not know it")
    return {}


def obstacles(instance: RestoredInstance, connection: Connection) -> Iterator[str]:
    yield from upgrade.of_instance(connection)
    for name in upgrade.databases(connection):
        with instance.connect(name) as inside:
            yield from upgrade.of_database(inside)


def close(connection: Connection) -> None:
    """So that no task that still has its old address writes into it."""
    there = [name for (name,) in connection.execute("select rolname from pg_roles where rolname = any(%s)", [_LOGINS])]
    for login in there:
        run(connection, "alter role {} nologin", login)
    connection.execute(_END_SESSIONS, [there])


def open_(connection: Connection, manager: Any, instance: RestoredInstance) -> None:
    """Sets the current and the previous login of each secret: tasks from before the last rotation use the previous."""
    prepare(connection, MigrationLimits(**json.loads(os.environ["LIMITS"])))
    for login in _LOGINS:
        run(connection, "alter role {} login", login)
    set_passwords(connection, manager)


def set_passwords(connection: Connection, manager: Any) -> None:
    for secret in json.loads(os.environ["LOGINS"]):
        for stage in ("AWSPREVIOUS", "AWSCURRENT"):
            try:
                value = manager.get_secret_value(SecretId=secret, VersionStage=stage)["SecretString"]
            except manager.exceptions.ResourceNotFoundException:
                continue  # It was never rotated.
            set_password(connection, Login.of(value))
