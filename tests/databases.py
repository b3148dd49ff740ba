"""A database of its own for each test, in one server, with the roles that production has."""

import uuid
from dataclasses import dataclass

from infra_runtime.contract.database_names import OWNER, USER, first_login
from infra_runtime.database.connection import Connection, Login, connect
from infra_runtime.database.roles import MigrationLimits, prepare, set_password
from simulators.postgres.server import Postgres

LOCK_MS = 200
PASSWORDS = {group: Login(first_login(group), f"what-stands-for-{group}") for group in (OWNER, USER)}


@dataclass(frozen=True)
class Database:
    server: Postgres
    name: str
    authority: str

    def variables(self, login: Login) -> dict[str, str]:
        return {
            **self.server.variables(login.username, login.password),
            "PGDATABASE": self.name,
            "PGSSLMODE": "verify-full",
            "SSL_CERT_FILE": self.authority,
            "PGSSLROOTCERT": self.authority,
            "NODE_EXTRA_CA_CERTS": self.authority,
        }

    def as_(self, login: Login) -> Connection:
        return connect(login, self.variables(login))

    @property
    def master(self) -> Login:
        return Login(self.server.user, self.server.password)

    @property
    def owner(self) -> Login:
        return PASSWORDS[OWNER]

    @property
    def user(self) -> Login:
        return PASSWORDS[USER]


def make(server: Postgres, authority: str, *, prepared: bool = True) -> Database:
    made = Database(server, f"test_{uuid.uuid4().hex[:12]}", authority)
    with server.inside("postgres") as connection:
        connection.execute(f"create database {made.name} owner {server.user}")
    if prepared:
        with made.as_(made.master) as connection:
            prepare(connection, MigrationLimits(lock_ms=LOCK_MS, statement_ms=20_000))
            for login in PASSWORDS.values():
                set_password(connection, login)
    return made
