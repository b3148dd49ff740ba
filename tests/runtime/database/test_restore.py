"""Restores of a real PostgreSQL are exact to the commit, and wrong ones are recognized by their data."""

import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from psycopg import OperationalError, errors, sql

from infra_constructs.database import PARAMETERS
from infra_runtime.contract.database_names import OWNER, USER
from infra_runtime.database.connection import Connection, Login, connect
from infra_runtime.database.inspection import contents_of, count, first_commit_after
from infra_runtime.database.restore import close, open_
from infra_runtime.database.roles import MigrationLimits, prepare
from infra_runtime.database.verification import CLOCK, Inspected, deviations, problems
from simulators.postgres.server import Postgres, RestoreFailed
from simulators.redis.authority import Authority
from tests.runtime.fakes import SecretsManager

# `make soak` has twenty.
RESTORES = int(os.environ.get("RESTORES", "3"))
STEPS = 150
TABLES = ("orders", "notes")
State = dict[str, dict[int, str]]


@dataclass
class History:
    """A server with writes, and its contents at some moments."""

    server: Postgres
    base: Path
    """Base backup from before all writes."""
    moments: list[tuple[datetime, State]]
    half: Path
    """The server's log until the middle of the moments."""

    @property
    def last(self) -> tuple[datetime, State]:
        return self.moments[-1]


AUTHORITY = Authority()
CERTIFICATE = AUTHORITY.certificate("127.0.0.1")


@pytest.fixture(scope="module", autouse=True)
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(AUTHORITY.write(tmp_path_factory.mktemp("authority") / "ca.pem")))
        yield


def connected(server: Postgres, login: Login | None = None) -> Connection:
    """Connects as the master, who is no superuser, or with another login."""
    variables = {**os.environ, **server.variables()}
    return connect(login or Login(server.user, server.password), variables)


def begin(server: Postgres) -> Postgres:
    server.start()
    with connected(server) as connection:
        prepare(connection, MigrationLimits(lock_ms=200, statement_ms=20_000))
        for table in TABLES:
            connection.execute(f"create table {table} (id int primary key, text text not null)")
            connection.execute(f"alter table {table} owner to {OWNER}")
    return server


def write(server: Postgres, dice: random.Random, steps: int, pause: float = 0.01) -> Iterator[tuple[datetime, State]]:
    """Inserts, updates and deletes, one commit each. Yields PostgreSQL's time and the contents after each."""
    with connected(server) as connection:
        state: State = {table: dict(connection.execute(f"table {table}").fetchall()) for table in TABLES}
        for step in range(steps):
            table, text = dice.choice(TABLES), f"{dice.random()}"
            rows, old = state[table], dice.choice([None, *state[table]])
            if old is None or step < 10:
                number = max(rows, default=0) + 1
                connection.execute(_into(table, "insert into {} values (%s, %s)"), [number, text])
                rows[number] = text
            elif dice.random() < 0.3:
                connection.execute(_into(table, "delete from {} where id = %s"), [old])
                del rows[old]
            else:
                connection.execute(_into(table, "update {} set text = %s where id = %s"), [text, old])
                rows[old] = text
            time.sleep(pause)
            ((now,),) = connection.execute("select clock_timestamp()").fetchall()
            yield now, {name: dict(each) for name, each in state.items()}
            time.sleep(pause)


def _into(table: str, statement: str) -> sql.Composed:
    return sql.SQL(statement).format(sql.Identifier(table))


def contents(server: Postgres) -> State:
    with connected(server) as connection:
        return {table: dict(connection.execute(f"table {table}").fetchall()) for table in TABLES}


def inspected(server: Postgres, until: datetime) -> Inspected:
    with connected(server) as connection:
        found = contents_of(connection, PARAMETERS)
        return Inspected(found, count(connection, [each.name for each in found.tables], until, seconds=30))


def new(**options: Any) -> Postgres:
    return Postgres(**{"certificate": CERTIFICATE, "parameters": PARAMETERS, "is_backed_up": True, **options})


def copy(archive: Path, into: Path) -> None:
    """Copies an archive so that the server's own user can read it."""
    shutil.copytree(archive, into)
    for each in into.iterdir():
        each.chmod(0o644)


@pytest.fixture(scope="module")
def history() -> Iterator[History]:
    server = begin(new())
    try:
        base, moments = server.base, []
        half = server.archive.parent / "half"
        for number, moment in enumerate(write(server, random.Random(16), STEPS)):
            moments.append(moment)
            if number == STEPS // 2:
                server.save_log()
                copy(server.archive, half)
        # A backup that is later than every moment.
        server.save_log()
        server.back_up()
        server.save_log()
        yield History(server, base, moments, half)
    finally:
        server.remove()


@pytest.fixture(scope="module")
def lost() -> Iterator[tuple[Postgres, list[tuple[datetime, State]]]]:
    """A server that was lost. Its log was saved every second, as in rehearsals; RDS saves it every five minutes."""
    server, over = begin(new()), threading.Event()

    def save() -> None:
        while not over.wait(1):
            server.save_log()

    saving = threading.Thread(target=save)
    saving.start()
    try:
        moments = list(write(server, random.Random(5), STEPS))
        over.set()
        saving.join()
        server.kill()
        yield server, moments
    finally:
        over.set()
        server.remove()


@pytest.fixture
def restore(history: History) -> Iterator[Callable[..., Postgres]]:
    """Restores from the backup of the history, or from another one."""
    made: list[Postgres] = []

    def make(to: datetime | None, *, base: Path | None = None, archive: Path | None = None, **options: Any) -> Postgres:
        # RDS backs up a restored instance again, which these tests do not need.
        server = new(**{"is_backed_up": False, **options})
        made.append(server)
        return server.restore(base or history.base, archive or history.server.archive, to)

    yield make
    for each in made:
        each.remove()


def found_out(restored: Postgres, to: datetime, history: History | None = None) -> list[str]:
    """Problems of a restored server, compared with the serving one if it can still be read."""
    until = to - CLOCK
    return list(problems(inspected(restored, until), to, inspected(history.server, until) if history else None))


@pytest.mark.parametrize("number", range(RESTORES))
def test_a_restore_has_exactly_the_rows_of_any_moment(
    number: int, history: History, restore: Callable[..., Postgres]
) -> None:
    dice = random.Random(number)
    to, state = dice.choice(history.moments)
    restored = restore(to)
    assert contents(restored) == state
    assert found_out(restored, to, history) == []
    found = inspected(restored, to)
    assert found.newest is not None
    # A moment was taken right after its commit: nothing younger is lost.
    assert timedelta() <= to - found.newest <= timedelta(seconds=5)
    with connected(history.server) as connection:
        for table, rows in state.items():
            connection.execute(f"create table if not exists expected_{table} (like {table})")
            connection.execute(f"truncate expected_{table}")
            with connection.cursor().copy(f"copy expected_{table} from stdin") as copy:
                for row in rows.items():
                    copy.write_row(row)
            digest = count(connection, [f"public.expected_{table}"], to, seconds=30)[f"public.expected_{table}"].digest
            connection.execute(f"drop table expected_{table}")
            assert found.rows[f"public.{table}"].digest == digest
            assert found.rows[f"public.{table}"].count == len(rows)


def test_no_more_than_five_seconds_are_lost_with_the_server(
    lost: tuple[Postgres, list[tuple[datetime, State]]], restore: Callable[..., Postgres]
) -> None:
    server, moments = lost
    restored = restore(None, base=server.base, archive=server.archive)
    reached = [state for _, state in moments].index(contents(restored))
    assert moments[-1][0] - moments[reached][0] <= timedelta(seconds=5)


# -- Wrong restores


@pytest.mark.parametrize("missing", ["the rest of the log", "a piece of it"])
def test_missing_wal_is_refused_or_detected_by_missing_rows(
    missing: str, history: History, restore: Callable[..., Postgres]
) -> None:
    archive = history.half
    if missing == "a piece of it":
        archive = history.half.parent / "holes"
        copy(history.server.archive, archive)
        begun = next(each for each in archive.iterdir() if each.name.endswith(".backup")).name.partition(".")[0]
        _, second, *_ = sorted(each for each in archive.iterdir() if "." not in each.name and each.name > begun)
        second.unlink()
    to, _ = history.last
    with pytest.raises(RestoreFailed, match="recovery ended before configured recovery target was reached"):
        restore(to, archive=archive)
    # Without a time, PostgreSQL starts silently where the log ends.
    found = found_out(restore(None, archive=archive), to + CLOCK, history)
    assert any("is missing" in each or "were there at" in each for each in found), found


def test_a_time_that_has_not_come_is_refused_or_seen_by_missing_rows(
    history: History, restore: Callable[..., Postgres]
) -> None:
    future = datetime.now(UTC) + timedelta(hours=1)
    with pytest.raises(RestoreFailed, match="recovery ended before configured recovery target was reached"):
        restore(future)
    found = found_out(restore(None, archive=history.half), future, history)
    assert any("is missing" in each or "were there at" in each for each in found), found


def test_a_time_before_the_backup_is_seen_by_rows_that_are_too_young(
    history: History, restore: Callable[..., Postgres]
) -> None:
    early, _ = history.moments[STEPS // 3]
    # PostgreSQL starts silently at the end of the backup.
    found = found_out(restore(early, base=history.server.base), early)
    assert any("the backup is younger than that" in each for each in found), found


def test_the_backup_of_another_database_is_seen_by_its_rows(
    lost: tuple[Postgres, list[tuple[datetime, State]]], history: History, restore: Callable[..., Postgres]
) -> None:
    other, moments = lost
    restored = restore(None, base=other.base, archive=other.archive)
    to = max(history.last[0], moments[-1][0]) + CLOCK
    found = found_out(restored, to, history)
    assert any("were there at" in each or "is missing" in each for each in found), found


def test_an_empty_database_is_detected(history: History) -> None:
    empty = new(is_backed_up=False).start()
    to = history.last[0] + CLOCK
    try:
        alone, beside = found_out(empty, to), found_out(empty, to, history)
        with connected(empty) as connection:
            connection.execute("create table orders (id int)")
        hollow = found_out(empty, to)
    finally:
        empty.remove()
    assert any("only 0 of 6 roles" in each for each in alone)
    assert "it has no tables" in alone
    assert any(each.startswith("public.orders is not there") for each in beside)
    assert "its tables are empty" in hollow


def test_the_default_parameter_group_is_seen(history: History, restore: Callable[..., Postgres]) -> None:
    found = found_out(restore(history.last[0], parameters={}), history.last[0])
    assert any("track_commit_timestamp is off, declared 1" in each for each in found), found
    assert any("rds.force_ssl is not set, declared 1" in each for each in found), found


# -- What a drill measures, without a requested time


def test_a_drill_sees_the_first_commit_that_a_restore_lacks(history: History, restore: Callable[..., Postgres]) -> None:
    to, state = history.moments[STEPS // 2]
    newest = inspected(restore(to), to).newest
    assert newest is not None
    assert newest <= to
    with connected(history.server) as connection:
        tables = [f"public.{each}" for each in TABLES]
        lost = first_commit_after(connection, tables, newest, seconds=30)
        assert first_commit_after(connection, tables, history.last[0] + CLOCK, seconds=30) is None
    # Only of rows as they are now: the first ones may have been deleted since.
    assert lost is not None
    assert to < lost <= history.last[0]
    assert state != history.last[1]


def test_a_drill_compares_what_has_not_changed_since(history: History, restore: Callable[..., Postgres]) -> None:
    to, _ = history.last
    restored = restore(to)
    serving = inspected(history.server, to + CLOCK)
    assert list(deviations(inspected(restored, to), serving, to + CLOCK)) == []
    rows = {name: replace(each, digest="other") for name, each in serving.rows.items()}
    lines = list(deviations(inspected(restored, to), Inspected(serving.contents, rows), to + CLOCK))
    assert [each.partition(" ")[0] for each in lines] == ["public.notes", "public.orders"]
    with connected(restored) as connection:
        connection.execute("alter table orders owner to current_user")
        connection.execute("alter table orders add column extra int")
    lines = list(deviations(inspected(restored, to), serving, to + CLOCK))
    assert any(each.startswith(f"public.orders belongs to {restored.user}") for each in lines), lines
    assert any(each.startswith("schema ") for each in lines), lines


# -- Logins


def test_a_replaced_database_refuses_logins_and_ends_sessions(history: History) -> None:
    manager = SecretsManager(f'{{"username": "{USER}_a", "password": "current"}}')
    server = history.server

    user_login = Login(f"{USER}_a", "current")
    with connected(server) as connection, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIMITS", '{"lock_ms": 200, "statement_ms": 20000}')
        patch.setenv("LOGINS", '["user"]')
        open_(connection, manager, cast(Any, None))
        with connected(server, user_login) as user:
            close(connection)
            with pytest.raises(errors.AdminShutdown):
                user.execute("select 1")
        with pytest.raises(OperationalError, match="not permitted to log in"):
            connected(server, user_login)
        open_(connection, manager, cast(Any, None))
        connected(server, user_login).close()
