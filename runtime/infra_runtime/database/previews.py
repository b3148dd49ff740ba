"""Databases of previews: copies of the environment's own, each with logins that can use no other.

They are copied from a template database, itself copied from the environment's every night: PostgreSQL copies only
databases without connections, so a copy of the environment's ends every connection to it (docs/adr/0015).
"""

import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from infra_runtime.aws import client
from infra_runtime.contract.database_names import OWNER, OWNER_URL, URL, preview_names
from infra_runtime.database.connection import Connection, Login, connect
from infra_runtime.database.instance import master_secret, serving
from infra_runtime.database.roles import create_role, grant_access, run, set_password
from infra_runtime.reporting import reported

_TEMPLATE, _NEXT_TEMPLATE = "preview_template", "preview_template_next"
_MAINTENANCE = "postgres"
_END_CONNECTIONS_SECONDS = 0.05
# The function has two minutes more.
_LONGEST_COPY_SECONDS = 480


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    """{"action": "make" | "drop", "slot": N}; from a schedule, {"action": "refresh"}. Idempotent."""
    manager = client("secretsmanager")
    master = Login.of(manager.get_secret_value(SecretId=master_secret(client("rds"), serving()))["SecretString"])
    databases = Databases(master, os.environ["PGDATABASE"], os.environ)
    match event["action"]:
        case "make":
            password = secrets.token_urlsafe(30)
            secret = json.loads(os.environ["SLOT_SECRETS"])[str(event["slot"])]
            manager.put_secret_value(SecretId=secret, SecretString=_secret(event["slot"], password))
            databases.make(event["slot"], password)
        case "drop":
            databases.drop(event["slot"])
        case "refresh":
            databases.refresh()


def _secret(slot: int, password: str) -> str:
    names = preview_names(slot)
    variables = {**os.environ, "PGDATABASE": names.database}
    urls = {name: Login(role, password).url(variables) for name, role in ((URL, names.user), (OWNER_URL, names.owner))}
    return json.dumps({"password": password, **urls})


@dataclass(frozen=True)
class Databases:
    master: Login
    source: str
    variables: Mapping[str, str]
    """PGHOST and PGPORT, as libpq has them."""

    def make(self, slot: int, password: str) -> None:
        """A fresh copy, which replaces the slot's former one."""
        names = preview_names(slot)
        with self._to(_MAINTENANCE) as server:
            if not _exists(server, _TEMPLATE):
                self.refresh()
            self.drop(slot)
            for role in (names.owner, names.user):
                create_role(server, role, "login inherit")
                set_password(server, Login(role, password))
            run(server, "grant {} to current_user", names.owner)
            run(server, "create database {} template {}", names.database, _TEMPLATE)
        with self._to(names.database) as copy:
            # The master owns the databases themselves, so this reassigns only what is inside this one.
            run(copy, "reassign owned by {} to {}", OWNER, names.owner)
            grant_access(copy, names.database, names.owner, names.user)

    def drop(self, slot: int) -> None:
        with self._to(_MAINTENANCE) as server:
            run(server, "drop database if exists {} with (force)", preview_names(slot).database)

    def refresh(self) -> None:
        """Ends every connection to the source once; new ones wait until it is copied."""
        with self._to(_MAINTENANCE) as server:
            run(server, "drop database if exists {} with (force)", _NEXT_TEMPLATE)
            server.execute(f"set statement_timeout to '{_LONGEST_COPY_SECONDS}s'")
            with self._without_connections():
                run(server, "create database {} template {}", _NEXT_TEMPLATE, self.source)
            # The copy keeps the grants on the source's objects. It is a template, so no role may connect to it.
            run(server, "revoke all on database {} from public", _NEXT_TEMPLATE)
            run(server, "drop database if exists {} with (force)", _TEMPLATE)
            run(server, "alter database {} rename to {}", _NEXT_TEMPLATE, _TEMPLATE)

    @contextmanager
    def _without_connections(self) -> Iterator[None]:
        """PostgreSQL's own lock keeps new connections waiting and fails when old ones are left after five seconds."""
        over = threading.Event()

        def end_connections() -> None:
            with self._to(_MAINTENANCE) as server:
                while not over.wait(_END_CONNECTIONS_SECONDS):
                    server.execute(
                        # PostgreSQL's background workers have no user, and disconnect by themselves.
                        "select pg_terminate_backend(pid) from pg_stat_activity"
                        " where datname = %s and usesysid is not null",
                        [self.source],
                    )

        ending = threading.Thread(target=end_connections)
        ending.start()
        try:
            yield
        finally:
            over.set()
            ending.join()

    def _to(self, database: str) -> Connection:
        return connect(self.master, {**self.variables, "PGDATABASE": database})


def _exists(server: Connection, database: str) -> bool:
    return bool(server.execute("select 1 from pg_database where datname = %s", [database]).fetchone())
