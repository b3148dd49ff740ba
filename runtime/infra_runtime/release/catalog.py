"""A database's catalog, read before and after a migration, and which differences break the serving version.

Not from the text of migrations: it finds what the serving version can no longer do, with any migration tool.
"""

import hashlib
import json
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from infra_runtime.database.connection import Connection

# `is`: has to be there afterwards. `limit`: a demand that must not be new to `about`, if `about` was there before.
# The schema `drizzle` is that tool's own bookkeeping.
_FACTS = """
with relations as (
  select c.oid, format('%I.%I', n.nspname, c.relname) as name, c.relkind
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'drizzle')
    and c.relkind in ('r', 'p', 'v', 'm', 'f')
), columns as (
  select r.name as relation, r.relkind, format('%s.%I', r.name, a.attname) as name, a.attnotnull,
         format_type(a.atttypid, a.atttypmod) as type,
         not a.attnotnull or a.atthasdef or a.attidentity <> '' or a.attgenerated <> '' as optional
  from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
)
select 'is' as kind, 'relation ' || name as fact, '' as about from relations
union all select 'is', 'column ' || name || ' of type ' || type, '' from columns
union all select 'limit', 'column ' || name || ' has to be given', 'relation ' || relation from columns
  where not optional and relkind in ('r', 'p')
union all select 'limit', 'column ' || name || ' refuses NULL', 'column ' || name || ' of type ' || type from columns
  where attnotnull and relkind in ('r', 'p')
union all select 'limit', 'constraint ' || k.conname || ' on ' || r.name || ': ' || pg_get_constraintdef(k.oid),
  'relation ' || r.name from pg_constraint k join relations r on r.oid = k.conrelid
  where k.contype in ('c', 'f', 'u', 'p', 'x')
union all select 'limit', 'unique index ' || i.relname || ' on ' || r.name, 'relation ' || r.name
  from pg_index x join relations r on r.oid = x.indrelid join pg_class i on i.oid = x.indexrelid
  where x.indisunique and not exists (select from pg_constraint k where k.conindid = x.indexrelid)
union all select 'is', 'value ' || quote_literal(e.enumlabel) || ' of ' || e.enumtypid::regtype, '' from pg_enum e
union all select 'is', 'routine ' || p.oid::regprocedure, '' from pg_proc p
  join pg_namespace n on n.oid = p.pronamespace
  where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
order by 1, 2"""
# A partitioned one is invalid, by design, until each partition has its own.
_INVALID = """
select format('%I.%I', n.nspname, c.relname)
from pg_index x join pg_class c on c.oid = x.indexrelid join pg_namespace n on n.oid = c.relnamespace
where not x.indisvalid and c.relkind = 'i' order by 1"""
_END_SESSIONS = """
select pid, pg_terminate_backend(pid, 5000) from pg_stat_activity
where datname = current_database() and usename = session_user and application_name <> 'infra'"""
# Of the five minutes that the function has.
_PATIENCE = "20s"


class Fact(NamedTuple):
    kind: str
    text: str
    about: str


def facts(connection: Connection) -> list[Fact]:
    """Raises `psycopg.Error`. Holds no snapshot afterwards: each statement commits."""
    connection.execute(f"set statement_timeout to '{_PATIENCE}'")
    return [Fact(*row) for row in connection.execute(_FACTS).fetchall()]


def invalid_indexes(connection: Connection) -> list[str]:
    """Names, with their schema and quoted, of what `create index concurrently` left unfinished."""
    return [str(name) for (name,) in connection.execute(_INVALID).fetchall()]


def end_sessions(connection: Connection) -> None:
    """Those of the same login: a command that was killed may have left a statement that goes on in the server."""
    # A member of a group may end its own sessions only under its own name.
    connection.execute("set role none")
    connection.execute(_END_SESSIONS)
    connection.execute("reset role")


def digest(found: Sequence[Fact]) -> str:
    """The schema's version in the ledger."""
    lines = "".join(f"{each.kind} {each.text}\n" for each in found)
    return hashlib.sha256(lines.encode()).hexdigest()[:16]


def breaks(before: Sequence[Fact], after: Sequence[Fact]) -> list[str]:
    """What the version that served `before` can no longer rely on."""
    now, then = {each.text for each in after}, {each.text for each in before}
    gone = [f"gone: {each.text}" for each in before if each.kind == "is" and each.text not in now]
    new = [
        f"new: {each.text}" for each in after if each.kind == "limit" and each.text not in then and each.about in then
    ]
    return gone + new


def packed(found: Sequence[Fact]) -> bytes:
    return zlib.compress(json.dumps(found).encode(), 9)


def unpacked(content: bytes) -> list[Fact]:
    return [Fact(*each) for each in json.loads(zlib.decompress(content))]
