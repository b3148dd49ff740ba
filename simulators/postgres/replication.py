"""One server follows another by logical replication, database by database, as the green one of a blue/green deployment.

It begins where its own copy ends: no row is missing, none comes twice. Definitions, sequences and large objects are not
replicated, and neither are roles and their passwords (PostgreSQL documentation, "Logical Replication: Restrictions").
"""

import time

import psycopg
from psycopg import sql

from simulators.postgres.server import Postgres

_NAME = "blue_green"
_CAUGHT_UP_SECONDS = 30.0
_SEQUENCES = """
select format('%I.%I', schemaname, sequencename), last_value from pg_sequences where last_value is not null"""
# Objects that replication does not copy.
_DEFINITIONS = """
select md5(coalesce(string_agg(line, ' ' order by line), '')) from (
  select format('%s %s %s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod)) as line
  from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
  where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and a.attnum > 0 and not a.attisdropped
  union all select format('large object %s', oid) from pg_largeobject_metadata) as lines"""
_END_SESSIONS = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity
where backend_type = 'client backend' and usename <> 'rdsadmin'"""


def publish(blue: Postgres) -> str:
    """The WAL position from which a copy has to follow."""
    for name in databases(blue):
        with blue.inside(name) as connection:
            connection.execute(f"create publication {_NAME} for all tables")
            connection.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [_slot(connection)])
    position = blue.written()
    blue.save_log()
    return position


def follow(green: Postgres, blue: Postgres, position: str) -> None:
    """`green` was restored from `blue` to that position."""
    for name in databases(green):
        with _writing(green, name) as connection:
            connection.execute(f"drop publication {_NAME}")
            source = f"host={blue.socket} port={blue.port} user=rdsadmin dbname={name}"
            connection.execute(
                sql.SQL(
                    f"create subscription {_NAME} connection {{}} publication {_NAME}"
                    " with (create_slot = false, slot_name = {}, copy_data = false, enabled = false)"
                ).format(sql.Literal(source), sql.Identifier(_slot(connection)))
            )
            connection.execute(
                "select pg_replication_origin_advance('pg_' || oid, %s) from pg_subscription where subname = %s"
                " and subdbid = (select oid from pg_database where datname = current_database())",
                [position, _NAME],
            )
            connection.execute(f"alter subscription {_NAME} enable")


def definitions(server: Postgres) -> list[str]:
    """Another value after each change that is not replicated."""
    found = []
    for name in databases(server):
        with server.inside(name) as connection:
            found.append(f"{name} {connection.execute(_DEFINITIONS).fetchone()}")
    return found


def hand_over(blue: Postgres, green: Postgres, *, seconds: float) -> None:
    """Switches without losing a write: `green` gets the last one after `blue` is read-only. Raises `TimeoutError`."""
    blue.set_read_only(is_on=True)
    with blue.inside("postgres") as connection:
        connection.execute(_END_SESSIONS)
    try:
        _wait_until_followed(blue, min(seconds, _CAUGHT_UP_SECONDS))
    except TimeoutError:
        blue.set_read_only(is_on=False)
        raise
    for name in databases(blue):
        with blue.inside(name) as before, _writing(green, name) as after:
            for sequence, value in before.execute(_SEQUENCES).fetchall():
                after.execute("select setval(%s, %s)", [sequence, value])
    end(blue, green)
    green.set_read_only(is_on=False)


def end(blue: Postgres, green: Postgres) -> None:
    for name in databases(green):
        with _writing(green, name) as connection:
            connection.execute(f"alter subscription {_NAME} disable")
            connection.execute(f"alter subscription {_NAME} set (slot_name = none)")
            connection.execute(f"drop subscription {_NAME}")
    for name in databases(blue):
        with _writing(blue, name) as connection:
            slot = _slot(connection)
            _until_free(connection, slot)
            connection.execute("select pg_drop_replication_slot(%s)", [slot])
            connection.execute(f"drop publication {_NAME}")


def databases(server: Postgres) -> list[str]:
    with server.inside("postgres") as connection:
        found = connection.execute(
            "select datname from pg_database where datallowconn and not datistemplate order by 1"
        )
        return [str(name) for (name,) in found.fetchall()]


def _wait_until_followed(blue: Postgres, seconds: float) -> None:
    give_up = time.monotonic() + seconds
    with _writing(blue, "postgres") as connection:
        connection.execute("select pg_logical_emit_message(true, 'last', '')")
        (last,) = connection.execute("select pg_current_wal_lsn()").fetchone() or (None,)
        followed = "select bool_and(confirmed_flush_lsn >= %s) from pg_replication_slots where slot_name ~ %s"
        while connection.execute(followed, [last, f"^{_NAME}"]).fetchone() != (True,):
            if time.monotonic() > give_up:
                raise TimeoutError("replication lag")
            time.sleep(0.05)


def _until_free(connection: "psycopg.Connection[tuple[object, ...]]", slot: str) -> None:
    give_up = time.monotonic() + _CAUGHT_UP_SECONDS
    is_active = "select active from pg_replication_slots where slot_name = %s"
    while connection.execute(is_active, [slot]).fetchone() == (True,) and time.monotonic() < give_up:
        time.sleep(0.05)


def _slot(connection: "psycopg.Connection[tuple[object, ...]]") -> str:
    return f"{_NAME}_{connection.info.dbname}"


def _writing(server: Postgres, database: str) -> "psycopg.Connection[tuple[object, ...]]":
    """A connection that may write even while the server is read-only."""
    connection = server.inside(database)
    connection.execute("set default_transaction_read_only to off")
    return connection
