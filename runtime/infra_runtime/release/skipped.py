"""Finds migrations that drizzle has skipped without an error.

drizzle applies only migrations that are newer than the last applied one. If a branch with an older migration is merged
later, drizzle skips it with exit code 0 (drizzle-orm #5316, #5769; 1.0 compares names instead). The journal of all
migrations is in the image, the list of applied ones in the database.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql
from psycopg.errors import InsufficientPrivilege

from infra_runtime.database.connection import Connection
from infra_runtime.release.image_layers import Unreadable, layers

_JOURNAL = "meta/_journal.json"
_TABLE = "__drizzle_migrations"
# 1.0 has a column `name`, and skips none.
_TABLES = """
select n.nspname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relname = %s and c.relkind = 'r' and not exists (
  select from pg_attribute a where a.attrelid = c.oid and a.attname = 'name' and not a.attisdropped)"""


@dataclass(frozen=True)
class Entry:
    """One entry of a journal."""

    tag: str
    when: int
    hash: str | None
    """Hash of its SQL, as drizzle stores it; None where the image's layer has no such file."""

    def is_in(self, applied: "Applied") -> bool:
        """Compares the SQL, too: giving an applied migration another time applies nothing."""
        return self.when in applied or (self.hash is not None and self.hash in applied)


Applied = set[str | int | None]
"""Hashes and times."""


def skipped(ecr: Any, image: str, connection: Connection) -> list[str]:
    """Tags of the migrations that the image has and the database lacks.

    Reads no image if drizzle has never run. Raises `Unreadable` when it cannot, `psycopg.Error`.
    """
    schemas = [str(name) for (name,) in connection.execute(_TABLES, [_TABLE]).fetchall()]
    if not schemas:
        return []
    applied: Applied = set()
    for schema in schemas:
        query = sql.SQL("select hash, created_at from {}").format(sql.Identifier(schema, _TABLE))
        try:
            applied |= {value for row in connection.execute(query).fetchall() for value in row}
        except InsufficientPrivilege as error:
            raise Unreadable(str(error)) from error
    # The uppermost layer that has it: lower ones were overwritten. Another database's journal does not match.
    for files in layers(ecr, image, _is_wanted):
        journals = [_entries(path, files) for path in files if path.endswith(_JOURNAL)]
        if fitting := [each for each in journals if any(entry.is_in(applied) for entry in each)]:
            return [entry.tag for journal in fitting for entry in _missing(journal, applied)]
    raise Unreadable(f"{image} has no {_JOURNAL} of what was applied")


def _missing(journal: Sequence[Entry], applied: Applied) -> Iterator[Entry]:
    """Migrations before the first applied one are a baseline: the database existed before drizzle."""
    first = next(at for at, entry in enumerate(journal) if entry.is_in(applied))
    return (entry for entry in journal[first:] if not entry.is_in(applied))


def _is_wanted(path: str) -> bool:
    return path.endswith((f"/{_JOURNAL}", ".sql")) and "node_modules/" not in path


def _entries(path: str, files: Mapping[str, bytes]) -> list[Entry]:
    """None if a file of that name is no journal."""
    folder = path.removesuffix(_JOURNAL)
    try:
        listed = [(str(each["tag"]), int(each["when"])) for each in json.loads(files[path])["entries"]]
    except (ValueError, KeyError, TypeError):
        return []
    hashes = {name: hashlib.sha256(text).hexdigest() for name, text in files.items() if name.endswith(".sql")}
    return [Entry(tag, when, hashes.get(f"{folder}{tag}.sql")) for tag, when in listed]
