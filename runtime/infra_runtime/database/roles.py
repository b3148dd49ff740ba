"""PostgreSQL roles: a group that owns the tables, a group that uses them, and two logins in each."""

from dataclasses import dataclass

from psycopg import sql

from infra_runtime.contract.database_names import OWNER, USER, logins_of
from infra_runtime.database.connection import Connection, Login

_CONNECTION_CHECK_MS = 2000


@dataclass(frozen=True)
class MigrationLimits:
    """Limits of all migrations, in milliseconds, independent of their own settings."""

    lock_ms: int
    """Readers queue behind a migration that waits for an exclusive lock: at most this long."""
    statement_ms: int


def prepare(connection: Connection, limits: MigrationLimits) -> None:
    """Creates both groups and grants their rights, as the master. Repeatable.

    Objects that the product created earlier with the master login then belong to the owner.
    """
    for group in (OWNER, USER):
        create_role(connection, group, "nologin")
        for login in logins_of(group):
            create_role(connection, login, "login inherit")
            run(connection, "grant {} to {}", group, login)
    for login in logins_of(OWNER):
        # Objects that a migration creates belong to the group, so that the other login can change them.
        run(connection, "alter role {} set role to {}", login, OWNER)
        for setting, value in (
            ("lock_timeout", limits.lock_ms),
            ("statement_timeout", limits.statement_ms),
            ("idle_in_transaction_session_timeout", limits.statement_ms),
            # Otherwise the statement of a killed migration runs on and keeps its locks.
            ("client_connection_check_interval", _CONNECTION_CHECK_MS),
        ):
            statement = sql.SQL("alter role {} set {} to {}")
            connection.execute(
                statement.format(sql.Identifier(login), sql.Identifier(setting), sql.Literal(str(value)))
            )
    run(connection, "grant {} to current_user", OWNER)
    run(connection, "reassign owned by current_user to {}", OWNER)
    grant_access(connection, connection.info.dbname, OWNER, USER)


def grant_access(connection: Connection, database: str, owner: str, user: str) -> None:
    """Lets `owner` change the schema of this connection's database, and `user` read and write its rows.

    The database still belongs to the master: another owner could give it away with everything that it owns.
    """
    run(connection, "alter database {} owner to current_user", database)
    run(connection, "revoke all on database {} from public", database)
    run(connection, "grant connect, temporary, create on database {} to {}", database, owner)
    run(connection, "grant connect, temporary on database {} to {}", database, user)
    run(connection, "grant usage, create on schema public to {}", owner)
    run(connection, "grant usage on schema public to {}", user)
    for what, rights in (("tables", "select, insert, update, delete"), ("sequences", "usage, select")):
        run(connection, f"grant {rights} on all {what} in schema public to {{}}", user)
        run(
            connection,
            f"alter default privileges for role {{}} in schema public grant {rights} on {what} to {{}}",
            owner,
            user,
        )


def set_password(connection: Connection, login: Login) -> None:
    """Sets a login's password, as the master. The server and its log see a verifier, never the password."""
    verifier = connection.pgconn.encrypt_password(
        login.password.encode(), login.username.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(
        sql.SQL("alter role {} password {}").format(sql.Identifier(login.username), sql.Literal(verifier))
    )


def create_role(connection: Connection, name: str, options: str) -> None:
    """Creates the role unless it exists."""
    if not connection.execute("select 1 from pg_roles where rolname = %s", [name]).fetchone():
        run(connection, f"create role {{}} {options}", name)


def run(connection: Connection, statement: str, *names: str) -> None:
    """Executes the statement; its placeholders {} become the names, quoted as identifiers."""
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
