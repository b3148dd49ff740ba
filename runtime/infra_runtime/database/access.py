"""Personal logins of the database, for callers who have proven who they are (docs/adr/0035).

A login has no password: RDS accepts a token that the person's own credentials have signed (RDS user guide, "IAM
database authentication"). This function logs one line for each request.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Any

import boto3

from infra_runtime.aws import client
from infra_runtime.caller import who
from infra_runtime.contract.database_names import IAM_GROUP, READER, USER, Mode
from infra_runtime.database.connection import Connection, Login, connect
from infra_runtime.database.instance import master_secret, serving
from infra_runtime.database.roles import create_role, run
from infra_runtime.reporting import reported

_LONGEST_NAME = 40
_STATEMENT, _LOCK = "15min", "2s"
_SCHEMAS = "select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema' order by 1"


class Locked(Exception):
    """With the new login, RDS would refuse the master login; the new one was revoked."""


@reported
def handler(event: Mapping[str, Any], context: Any) -> dict[str, str]:
    """{"caller": proof, "mode": "read" | "write", "reason": text} → user, host, port and database to log in with."""
    by = who(event, sts=boto3.client("sts"), function=context.function_name)
    mode: Mode = "write" if event["mode"] == "write" else "read"
    user = login_of(by, mode)
    manager = client("secretsmanager")
    master = Login.of(manager.get_secret_value(SecretId=master_secret(client("rds"), serving()))["SecretString"])
    with connect(master) as connection:
        admit(connection, user, mode)
        try:
            connect(master).close()
        except Exception as error:
            # RDS requires a token from direct and indirect members of the group; the master login must never be one.
            run(connection, "revoke {} from {}", IAM_GROUP, user)
            raise Locked(f"RDS no longer lets {master.username} log in") from error
    print(json.dumps({"database_access": user, "mode": mode, "by": by, "reason": str(event["reason"])}))  # noqa: T201
    return {
        "user": user, "host": os.environ["PGHOST"], "port": os.environ["PGPORT"], "database": os.environ["PGDATABASE"]
    }  # fmt: skip


def login_of(who: str, mode: Mode) -> str:
    """A readable name, unique to the identity: the name of its session or user, and a digest of its ARN."""
    arn = who.partition(" for ")[0]
    name = re.sub(r"[^a-z0-9]+", "_", arn.rpartition("/")[2].lower()).strip("_")
    return f"person_{name[:_LONGEST_NAME]}_{hashlib.sha256(arn.encode()).hexdigest()[:6]}_{mode}"


def admit(connection: Connection, user: str, mode: Mode) -> None:
    """Grants a personal login its rights, as the master. Repeated, it also covers tables created since."""
    database = connection.info.dbname
    create_role(connection, READER, "nologin")
    run(connection, "grant pg_monitor to {}", READER)
    run(connection, "grant connect on database {} to {}", database, READER)
    for (schema,) in connection.execute(_SCHEMAS).fetchall():
        run(connection, "grant usage on schema {} to {}", schema, READER)
        run(connection, "grant select on all tables in schema {} to {}", schema, READER)
        run(connection, "grant select on all sequences in schema {} to {}", schema, READER)
    create_role(connection, user, "login inherit")
    writes = [USER, "pg_signal_backend"] if mode == "write" else []
    for group in (READER, *writes, IAM_GROUP):
        run(connection, "grant {} to {}", group, user)
    read_only = "off" if mode == "write" else "on"
    for setting in (
        f"default_transaction_read_only = {read_only}",
        f"statement_timeout = '{_STATEMENT}'",
        f"lock_timeout = '{_LOCK}'",
    ):
        run(connection, f"alter role {{}} set {setting}", user)
