"""Copies one table from one database into another, under a new name, in steps that each end within a call.

A table is read by ranges of its blocks. The new table's comment holds the number of copied blocks and commits with
their rows: an interrupted copy goes on where it stopped, and copies no row twice. docs/runbooks/database-table.md says
which parts of the table's definition are copied.
"""

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg import Error, sql

from infra_runtime.database.connection import Connection

_FIRST_STEP = 64
"""Blocks. How much data a block's rows have outside of it (TOAST) is unknown beforehand."""
_LONGEST_STEP_SECONDS = 1.0
_RELATION = """
select c.oid, c.relkind::text, c.relpersistence::text, pg_get_userbyid(c.relowner),
  pg_relation_size(c.oid) / current_setting('block_size')::int, obj_description(c.oid, 'pg_class')
from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = %s and c.relname = %s"""
_COLUMNS = """
select a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity::text, a.attgenerated::text,
  pg_get_expr(d.adbin, d.adrelid),
  case when a.attcollation <> t.typcollation then a.attcollation::regcollation::text end,
  pg_get_serial_sequence(a.attrelid::regclass::text, a.attname)
from pg_attribute a join pg_type t on t.oid = a.atttypid
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = %s and a.attnum > 0 and not a.attisdropped order by a.attnum"""
_CONSTRAINTS = """
select conname, pg_get_constraintdef(oid) from pg_constraint
where conrelid = %s and contype in ('p', 'u', 'c', 'x') order by contype <> 'p', conname"""
# An index name is unique in its schema, so PostgreSQL chooses another one.
_INDEXES = """
select c.relname, x.indisunique, substr(pg_get_indexdef(x.indexrelid), length(
  format('CREATE %%sINDEX %%I ON %%I.%%I ',
    case when x.indisunique then 'UNIQUE ' end, c.relname, n.nspname, t.relname)))
from pg_index x join pg_class c on c.oid = x.indexrelid join pg_class t on t.oid = x.indrelid
join pg_namespace n on n.oid = t.relnamespace
where x.indrelid = %s and x.indisvalid and not exists (select from pg_constraint k where k.conindid = x.indexrelid)
order by 1"""
_DIGEST = """
select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text
from only {} t where t.ctid >= %s::tid and t.ctid < %s::tid"""


class NotCopied(Exception):
    """Nothing was changed; the message says why."""


@dataclass(frozen=True)
class Named:
    schema: str
    table: str

    @property
    def sql(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.table)

    def __str__(self) -> str:
        return f"{self.schema}.{self.table}"


@dataclass(frozen=True, kw_only=True)
class CopyProgress:
    """Progress of a copy, in blocks of 8 KiB."""

    done: int
    of: int
    lacking: list[str]
    """What of the definition the other database does not take, and why."""


@dataclass(frozen=True)
class _Relation:
    oid: int
    kind: str
    persistence: str
    owner: str
    blocks: int
    comment: str | None


class _Column(NamedTuple):
    name: str
    type: str
    is_not_null: bool
    identity: str
    generated: str
    expression: str | None
    collation: str | None
    sequence: str | None


@dataclass(frozen=True)
class _Work:
    source: Connection
    target: Connection
    table: Named
    new: Named
    found: _Relation
    """The table in the source."""
    columns: list[_Column]


def copy(
    source: Connection, target: Connection, table: Named, new: Named, *, name: str, seconds: float
) -> CopyProgress:
    """Copies as much as time allows. `name` is the source's, so that two copies are not mixed. Raises `NotCopied`."""
    give_up, step = time.monotonic() + seconds, _FIRST_STEP
    for connection in (source, target):
        _prepare(connection)
    found, begun = _found(source, table), {"copy of": str(table), "in": name}
    # What is made belongs to the table's owner, and gets the grants of that owner's new tables.
    target.execute(sql.SQL("set role {}").format(sql.Identifier(found.owner)))
    columns = [_Column(*each) for each in source.execute(_COLUMNS, [found.oid]).fetchall()]
    work = _Work(source, target, table, new, found, columns)
    if _relation(target, new) is None:
        with target.transaction():
            lacking = _create(work)
            _note(target, new, {**begun, "blocks": 0, "lacking": lacking})
    elif not begun.items() <= _noted(target, new).items():
        raise NotCopied(f"{new} is there already, and is no copy of {table} in {name}; nothing was changed")
    while True:
        began = time.monotonic()
        with target.transaction():
            # Another call that copies into it waits here, and then reads what this one has done.
            target.execute(sql.SQL("lock table {} in share update exclusive mode").format(new.sql))
            noted = _noted(target, new)
            done = noted["blocks"]
            if done >= found.blocks or began > give_up:
                return CopyProgress(done=done, of=found.blocks, lacking=noted["lacking"])
            end = min(done + step, found.blocks)
            _copy_blocks(work, done, end)
            _note(target, new, {**noted, "blocks": end})
        step = _next(step, began)


def digest(connection: Connection, table: Named, first: int, *, seconds: float) -> dict[str, Any]:
    """Rows and sum of their hashes from one block on, and the block to go on with; None at the end."""
    _prepare(connection)
    found, give_up, step = _found(connection, table), time.monotonic() + seconds, _FIRST_STEP
    rows, total = 0, 0
    while first < found.blocks and time.monotonic() < give_up:
        began = time.monotonic()
        query = sql.SQL(_DIGEST).format(table.sql)
        ((some, part),) = connection.execute(query, [f"({first},0)", f"({first + step},0)"]).fetchall()
        rows, total, first = rows + some, total + int(part), first + step
        step = _next(step, began)
    return {"rows": rows, "digest": str(total), "next": first if first < found.blocks else None}


def _next(step: int, began: float) -> int:
    return step * 2 if time.monotonic() - began < _LONGEST_STEP_SECONDS else max(step // 2, 1)


def _prepare(connection: Connection) -> None:
    # Every name has its schema; a policy that hides rows is an error.
    connection.execute("set search_path to ''; set timezone to 'UTC'; set row_security to off")


def _relation(connection: Connection, table: Named) -> _Relation | None:
    found = connection.execute(_RELATION, [table.schema, table.table]).fetchone()
    return None if found is None else _Relation(*found)


def _found(connection: Connection, table: Named) -> _Relation:
    found = _relation(connection, table)
    if found is None:
        raise NotCopied(f"there is no table {table}")
    if (found.kind, found.persistence) != ("r", "p"):
        raise NotCopied(f"{table} is partitioned, unlogged, or no table; partitions can be copied one by one")
    return found


# -- The definition


def _create(work: _Work) -> list[str]:
    """Returns what the target does not take, and why: a function, a sequence or an extension may be missing there."""
    lines = sql.SQL(", ").join(_line(work.source, each) for each in work.columns)
    work.target.execute(sql.SQL("create table {} ({})").format(work.new.sql, lines))
    refused = []
    for what, statement in _rest(work):
        try:
            with work.target.transaction():
                work.target.execute(statement)
        except Error as error:
            refused.append(f"{what}: {str(error).splitlines()[0]}")
    return refused


def _line(source: Connection, column: _Column) -> sql.Composed:
    words = [column.type]
    if column.collation:
        words.append(f"collate {column.collation}")
    if column.generated:
        words.append(f"generated always as ({column.expression}) {'stored' if column.generated == 's' else 'virtual'}")
    if column.identity:
        state = sql.SQL("select last_value, is_called from {}").format(_raw(str(column.sequence)))
        ((last, is_called),) = source.execute(state).fetchall()
        kind = "always" if column.identity == "a" else "by default"
        words.append(f"generated {kind} as identity (start with {last + is_called})")
    if column.is_not_null:
        words.append("not null")
    return sql.Identifier(column.name) + _raw(f" {' '.join(words)}")


def _rest(work: _Work) -> Iterator[tuple[str, sql.Composed]]:
    """Statements for optional parts of a table, by name."""
    alter = sql.SQL("alter table {} ").format(work.new.sql)
    for column in work.columns:
        if column.expression and not column.generated:
            default = sql.SQL("alter {} set default ").format(sql.Identifier(column.name)) + _raw(column.expression)
            yield f"default of {column.name}", alter + default
    for name, definition in work.source.execute(_CONSTRAINTS, [work.found.oid]).fetchall():
        yield f"constraint {name}", alter + sql.SQL("add ") + _raw(definition)
    for name, is_unique, rest in work.source.execute(_INDEXES, [work.found.oid]).fetchall():
        begin = sql.SQL("create unique index on {}" if is_unique else "create index on {}").format(work.new.sql)
        yield f"index {name}", begin + _raw(rest)


def _raw(text: str) -> sql.SQL:
    """PostgreSQL's own words about the other database."""
    return sql.SQL(text)


# -- The rows


def _copy_blocks(work: _Work, first: int, end: int) -> None:
    columns = sql.SQL(", ").join(sql.Identifier(each.name) for each in work.columns if not each.generated)
    blocks = [sql.Literal(f"({block},0)") for block in (first, end)]
    read = sql.SQL("copy (select {} from only {} t where t.ctid >= {}::tid and t.ctid < {}::tid) to stdout")
    write = sql.SQL("copy {} ({}) from stdin").format(work.new.sql, columns)
    with (
        work.source.cursor().copy(read.format(columns, work.table.sql, *blocks)) as rows,
        work.target.cursor().copy(write) as copied,
    ):
        for piece in rows:
            copied.write(piece)


def _noted(target: Connection, new: Named) -> Mapping[str, Any]:
    found = _relation(target, new)
    try:
        return dict(json.loads(found.comment)) if found and found.comment else {}
    except ValueError:
        return {}


def _note(target: Connection, new: Named, what: Mapping[str, Any]) -> None:
    target.execute(sql.SQL("comment on table {} is {}").format(new.sql, sql.Literal(json.dumps(what))))
