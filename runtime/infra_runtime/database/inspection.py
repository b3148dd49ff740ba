"""What is in a database, read with SQL: settings, schema, and the rows, digest and last commit of each table.

With `track_commit_timestamp`, PostgreSQL keeps the time of each commit, also in backups and in the write-ahead log.
So the rows of a restored database show how far it reaches, and no heartbeat table is needed.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime

from psycopg import errors, sql

from infra_runtime.contract.database_names import OWNER, USER, logins_of
from infra_runtime.database.connection import Connection
from infra_runtime.database.contents import DatabaseContents, Rows, Table
from infra_runtime.release.catalog import digest, facts

_COMMITS = "track_commit_timestamp"
# In the unit that parameter groups have; a setting that the server does not know itself is in no view.
_SETTING = "select coalesce((select setting from pg_settings where name = %s), current_setting(%s, true), '')"
_SERVER = """
select current_setting('server_version'), pg_is_in_recovery(), current_setting('track_commit_timestamp') = 'on',
  current_setting('default_transaction_read_only') = 'on', (select count(*) from pg_roles where rolname = any(%s))"""
_EXTENSIONS = "select extname, extversion from pg_extension order by 1"
# Without temporary and unlogged tables, which no backup has, and without those of extensions.
_TABLES = """
select format('%I.%I', n.nspname, c.relname), pg_get_userbyid(c.relowner), coalesce(c.relacl::text, ''),
  pg_relation_size(c.oid), greatest(c.reltuples, 0)::bigint, c.xmin::text::bigint
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema' and c.relkind = 'r' and c.relpersistence = 'p'
  and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
order by pg_relation_size(c.oid), 1"""
# Independent of the rows' order. `xmin` is the transaction that wrote the current version of a row.
_COUNT = """
select count(*), coalesce(sum(hashtextextended(row, 0)::numeric), 0)::text, max(at),
  count(*) filter (where at is null or at <= %s), max(at) filter (where at <= %s)
from (select t::text as row, {commit} as at from only {table} t) rows"""
_FIRST_AFTER = "select min(pg_xact_commit_timestamp(xmin)) from only {} where pg_xact_commit_timestamp(xmin) > %s"
_MADE = "select pg_xact_commit_timestamp(%s::text::xid)"


def contents_of(connection: Connection, declared: Mapping[str, str]) -> DatabaseContents:
    """`declared` are the parameters that the instance should have, as its parameter group has them."""
    connection.execute("set timezone to 'UTC'")
    roles = [name for group in (OWNER, USER) for name in (group, *logins_of(group))]
    ((version, in_recovery, has_commits, read_only, found),) = connection.execute(_SERVER, [roles]).fetchall()
    return DatabaseContents(
        version=version,
        in_recovery=in_recovery,
        read_only=read_only,
        settings=_other_settings(connection, declared),
        roles=found,
        schema=digest(facts(connection)),
        extensions=dict(connection.execute(_EXTENSIONS).fetchall()),
        tables=[
            Table(
                name=name,
                owner=owner,
                grants=grants,
                bytes=size,
                estimate=estimate,
                changed=_changed(connection, transaction) if has_commits else None,
            )
            for name, owner, grants, size, estimate, transaction in connection.execute(_TABLES).fetchall()
        ],
    )


def count(connection: Connection, tables: Sequence[str], until: datetime, *, seconds: float) -> dict[str, Rows]:
    """Counts as many tables as it can in that time, from the first on, and at least one."""
    connection.execute("set timezone to 'UTC'")
    has_commits = connection.execute("select current_setting(%s)", [_COMMITS]).fetchone() == ("on",)
    commit = sql.SQL("pg_xact_commit_timestamp(t.xmin)" if has_commits else "null::timestamptz")
    found: dict[str, Rows] = {}
    give_up = time.monotonic() + seconds
    for name in tables:
        left = int((give_up - time.monotonic()) * 1000)
        if found and left < seconds * 500:
            # Less than half of the time is left: another call counts the rest.
            break
        connection.execute(f"set statement_timeout to {max(left, 1)}")
        table = sql.Identifier(*_parts(connection, name))
        try:
            ((rows, digested, newest, rows_until, newest_until),) = connection.execute(
                sql.SQL(_COUNT).format(commit=commit, table=table), [until, until]
            ).fetchall()
        except (errors.QueryCanceled, errors.InsufficientPrivilege):
            found[name] = Rows()
        else:
            found[name] = Rows(
                count=rows,
                digest=digested,
                newest=_isoformat(newest),
                count_until=rows_until,
                newest_until=_isoformat(newest_until),
            )
    return found


def first_commit_after(
    connection: Connection, tables: Sequence[str], since: datetime, *, seconds: float
) -> datetime | None:
    """The first commit after `since` among the rows of now, or None. Skips tables that it cannot read in time."""
    found: list[datetime] = []
    give_up = time.monotonic() + seconds
    for name in tables:
        connection.execute(f"set statement_timeout to {max(int((give_up - time.monotonic()) * 1000), 1)}")
        table = sql.Identifier(*_parts(connection, name))
        try:
            ((first,),) = connection.execute(sql.SQL(_FIRST_AFTER).format(table), [since]).fetchall()
        except (errors.QueryCanceled, errors.InsufficientPrivilege):
            continue
        if first is not None:
            found.append(first)
    return min(found, default=None)


def _other_settings(connection: Connection, declared: Mapping[str, str]) -> list[str]:
    """Declared settings that are not in effect. RDS adds libraries of its own to lists, which is fine."""
    found = []
    for name, wanted in sorted(declared.items()):
        try:
            ((actual,),) = connection.execute(_SETTING, [name, name]).fetchall()
        except errors.InsufficientPrivilege:
            continue  # The master may lack pg_read_all_settings; the settings that it can read are enough.
        if not set(_normal(wanted).split(",")) <= set(_normal(actual).split(",")):
            found.append(f"{name} is {actual or 'not set'}, declared {wanted}")
    return found


def _normal(value: str) -> str:
    return {"on": "1", "true": "1", "off": "0", "false": "0"}.get(value, value.replace(" ", ""))


def _changed(connection: Connection, transaction: int) -> str | None:
    ((at,),) = connection.execute(_MADE, [transaction]).fetchall()
    return _isoformat(at)


def _parts(connection: Connection, name: str) -> list[str]:
    ((parts,),) = connection.execute("select parse_ident(%s)", [name]).fetchall()
    return list(parts)


def _isoformat(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
