"""What a database contains, as a function reports it to `./infra`, which loads this without a database driver."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table without its rows. Times are ISO 8601 in UTC."""

    name: str
    owner: str
    grants: str
    bytes: int
    estimate: int
    """Rows, by PostgreSQL's own statistics."""
    changed: str | None
    """When its definition was last changed; None for long ago."""


@dataclass(frozen=True, kw_only=True)
class DatabaseContents:
    """A database without its rows."""

    version: str
    in_recovery: bool
    read_only: bool
    settings: Sequence[str]
    """Parameters that are not in effect as declared."""
    roles: int
    """How many of our roles exist, groups and logins."""
    schema: str
    """Digest of the catalog, as in the ledger of releases."""
    extensions: Mapping[str, str]
    tables: Sequence[Table]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of one table; `None` where they could not be counted in time, or not be read."""

    count: int | None = None
    digest: str | None = None
    newest: str | None = None
    """Time of the last commit that left a row in it."""
    count_until: int | None = None
    """Rows that have been as they are since the time in question."""
    newest_until: str | None = None
