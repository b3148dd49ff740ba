"""Verifies a restored database by its data: that RDS has finished the restore proves nothing.

PostgreSQL starts without an error when the requested time is before the base backup, and when write-ahead log is
missing at the end (measured: tests/runtime/database/test_restore.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from infra_runtime.contract.database_names import OWNER, USER, logins_of
from infra_runtime.database.contents import DatabaseContents, Rows, Table

# Commits at almost the same time may be in the write-ahead log in another order than their times.
CLOCK = timedelta(seconds=1)
_ROLES = sum(1 + len(logins_of(group)) for group in (OWNER, USER))


@dataclass(frozen=True)
class Inspected:
    contents: DatabaseContents
    rows: Mapping[str, Rows]

    @property
    def newest(self) -> datetime | None:
        """The last commit that left a row in any table."""
        return max(filter(None, (_time(each.newest) for each in self.rows.values())), default=None)


def problems(restored: Inspected, to: datetime, beside: Inspected | None) -> Iterator[str]:
    """What speaks against letting it serve. `beside` is the database that it is to replace, where that can be read;
    its rows were counted until `to` less `CLOCK`.
    """
    if restored.contents.in_recovery:
        yield "it is still being restored"
    for setting in restored.contents.settings:
        yield f"another parameter group is in effect: {setting}"
    if restored.contents.roles < _ROLES:
        yield f"only {restored.contents.roles} of {_ROLES} roles are there: it is another database, or an empty one"
    if not restored.contents.tables:
        yield "it has no tables"
    elif not any(rows.count or each.estimate for each, rows in _tables(restored)):
        yield "its tables are empty"
    if (newest := restored.newest) is not None and newest > to:
        yield f"it has rows of {_seconds(newest)}, which is later than {_seconds(to)}: the backup is younger than that"
    if beside is not None:
        yield from _lacking(restored, to - CLOCK, beside)


def differences(copy: Inspected, before: Inspected, after: Inspected) -> Iterator[str]:
    """What speaks against letting a copy serve that follows `before`.

    `after` is the same database as `before`, read after the copy. A table without writes in between is the same,
    row by row. Of another one, no row may be missing that was there a little earlier: at the time until which `before`
    was counted.
    """
    if copy.contents.in_recovery:
        yield "it is still being restored"
    for setting in copy.contents.settings:
        yield f"another parameter group is in effect: {setting}"
    if copy.contents.roles < before.contents.roles:
        yield f"only {copy.contents.roles} of {before.contents.roles} roles are there"
    if copy.contents.schema != after.contents.schema:
        yield "its schema is another: definitions are not replicated, and one was changed since the copy began"
    for name in sorted(before.contents.extensions.keys() - copy.contents.extensions.keys()):
        yield f"the extension {name} is not there"
    for each, rows in _tables(before):
        found, since = copy.rows.get(each.name), after.rows.get(each.name)
        if found is None or since is None:
            yield f"{each.name} is not there"
        elif rows.digest is not None and rows.digest == since.digest:
            if found.digest not in (None, rows.digest):
                yield f"{each.name} has {found.count} rows with another content; there are {rows.count}"
        elif found.count is not None and rows.count_until is not None and since.count is not None:
            least = min(rows.count_until, since.count)
            if found.count < least:
                yield f"{each.name} has {found.count} rows, at least {least} are there"


def _lacking(restored: Inspected, until: datetime, beside: Inspected) -> Iterator[str]:
    """Rows that have been as they are since before `until` have to be in both."""
    for each, rows in _tables(beside):
        changed = _time(each.changed)
        if (found := restored.rows.get(each.name)) is None:
            if changed is None or changed <= until:
                yield f"{each.name} is not there, though it was at {_seconds(until)}"
            continue
        if found.count is not None and rows.count_until is not None and found.count < rows.count_until:
            yield f"{each.name} has {found.count} rows; {rows.count_until} were there at {_seconds(until)}"
        newest, last = _time(rows.newest_until), _time(found.newest)
        if found.count is not None and newest is not None and (last is None or last < newest):
            ends = "nothing of known age" if last is None else f"nothing after {_seconds(last)}"
            yield f"{each.name} has {ends}; a row of {_seconds(newest)} is missing"


def deviations(restored: Inspected, beside: Inspected, until: datetime) -> Iterator[str]:
    """What should be the same in a copy that reaches to `until`, as nothing has changed it since: contents, owners,
    grants and schema.
    """
    before = {each.name: each for each in restored.contents.tables}
    has_changed = False
    for each, rows in _tables(beside):
        changed, newest = _time(each.changed), _time(rows.newest)
        if changed is not None and changed > until:
            has_changed = True
            continue
        if (table := before.get(each.name)) is None:
            continue
        if (table.owner, table.grants) != (each.owner, each.grants):
            yield f"{each.name} belongs to {table.owner} with {table.grants}; expected {each.owner} with {each.grants}"
        found = restored.rows.get(each.name, Rows())
        is_unchanged = newest is None or newest <= until
        if is_unchanged and found.count == rows.count and found.digest != rows.digest:
            yield f"{each.name} has other contents than the one that serves"
    if not has_changed and restored.contents.schema != beside.contents.schema:
        yield f"schema {restored.contents.schema}, the one that serves has {beside.contents.schema}"


def _tables(inspected: Inspected) -> Iterator[tuple[Table, Rows]]:
    for each in inspected.contents.tables:
        yield each, inspected.rows.get(each.name, Rows())


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _seconds(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
