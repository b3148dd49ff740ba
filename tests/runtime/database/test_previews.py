"""Databases of previews on a real PostgreSQL: copies that open nothing else, of a database that is in use."""

import json
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import errors

from infra_runtime.contract.database_names import OWNER, OWNER_URL, URL, preview_names
from infra_runtime.database import previews
from infra_runtime.database.connection import Connection, Login
from infra_runtime.database.previews import Databases
from tests.databases import Database
from tests.runtime.fakes import Rds, SecretsManager

PASSWORD = "of-this-preview"


def of_slot(database: Database, slot: int) -> Database:
    return Database(database.server, preview_names(slot).database, database.authority)


def owner(slot: int) -> Login:
    return Login(preview_names(slot).owner, PASSWORD)


def user(slot: int) -> Login:
    return Login(preview_names(slot).user, PASSWORD)


@pytest.fixture
def source(database: Database) -> Database:
    with database.as_(database.owner) as connection:
        connection.execute("create table visitors (id serial primary key, name text)")
        connection.execute("create schema drizzle")
        connection.execute("create table drizzle.migrations (id int)")
        connection.execute("insert into visitors (name) values ('Ada')")
    return database


@pytest.fixture
def copies(source: Database) -> Iterator[Databases]:
    """Cleans the shared server after each test."""
    yield Databases(source.master, source.name, source.variables(source.master))
    with source.server.inside("postgres") as connection:
        for name in ("preview_1", "preview_2", "preview_template", "preview_template_next"):
            connection.execute(f"drop database if exists {name} with (force)")


def names_in(connection: Connection) -> list[str]:
    return [row[0] for row in connection.execute("select name from visitors order by id").fetchall()]


def test_a_copy_has_the_data_and_what_is_done_to_it_stays_in_it(source: Database, copies: Databases) -> None:
    copies.make(1, PASSWORD)
    with of_slot(source, 1).as_(owner(1)) as migrating:
        migrating.execute("alter table visitors add email text")
        migrating.execute("insert into drizzle.migrations values (1)")
        migrating.execute("create table made_later (id int)")
    with of_slot(source, 1).as_(user(1)) as using:
        using.execute("insert into visitors (name, email) values ('Grace', 'g@example.com')")
        assert using.execute("select count(*) from made_later").fetchone() == (0,)
        assert names_in(using) == ["Ada", "Grace"]
        with pytest.raises(errors.InsufficientPrivilege):
            using.execute("drop table visitors")
    with source.as_(source.user) as connection:
        assert names_in(connection) == ["Ada"]


def test_its_logins_reach_no_other_database_and_no_other_login_reaches_it(source: Database, copies: Databases) -> None:
    copies.make(1, PASSWORD)
    copies.make(2, PASSWORD)
    of_slot(source, 2).as_(user(2)).close()
    template = Database(source.server, "preview_template", source.authority)
    for login in (owner(1), user(1)):
        for closed in (source, of_slot(source, 2), template):
            with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                closed.as_(login)
    for login in (source.owner, source.user):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            of_slot(source, 1).as_(login)


def test_objects_of_the_owner_keep_their_owner(source: Database, copies: Databases) -> None:
    """`reassign owned` also reassigns databases, whichever database it is run in."""
    copies.make(1, PASSWORD)
    with source.as_(source.owner) as connection:
        assert connection.execute("select tableowner from pg_tables where tablename = 'visitors'").fetchone() == (
            OWNER,
        )
        connection.execute("alter table visitors add still_mine int")
        connection.execute("create schema still_mine")


def test_a_slot_starts_with_a_fresh_copy(source: Database, copies: Databases) -> None:
    copies.make(1, PASSWORD)
    left = of_slot(source, 1).as_(owner(1))
    left.execute("drop table visitors")
    copies.make(1, "another-password")
    with pytest.raises(psycopg.OperationalError):
        left.execute("select 1")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        of_slot(source, 1).as_(user(1))
    with of_slot(source, 1).as_(Login(user(1).username, "another-password")) as connection:
        assert names_in(connection) == ["Ada"]
    copies.drop(1)
    copies.drop(1)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        of_slot(source, 1).as_(Login(user(1).username, "another-password"))


def test_a_template_is_last_nights_until_it_is_made_again(source: Database, copies: Databases) -> None:
    copies.refresh()
    with source.as_(source.user) as connection:
        connection.execute("insert into visitors (name) values ('Grace')")
    copies.make(1, PASSWORD)
    with of_slot(source, 1).as_(user(1)) as connection:
        assert names_in(connection) == ["Ada"]
    copies.refresh()
    copies.make(1, PASSWORD)
    with of_slot(source, 1).as_(user(1)) as connection:
        assert names_in(connection) == ["Ada", "Grace"]


def test_users_of_the_database_are_disconnected_once_and_reconnect(source: Database, copies: Databases) -> None:
    """Users who connect again at once, as a pool does, do not keep a copy from being made: they wait for it."""
    over, cuts = threading.Event(), [0] * 5
    others: list[str] = []

    def use(number: int) -> None:
        while not over.is_set():
            try:
                with source.as_(source.user) as connection:
                    while not over.is_set():
                        connection.execute("select count(*) from visitors")
            except psycopg.OperationalError as error:
                cuts[number] += 1
                if "terminating connection" not in str(error):
                    others.append(str(error))

    users = [threading.Thread(target=use, args=(number,)) for number in range(len(cuts))]
    for each in users:
        each.start()
    try:
        time.sleep(0.2)
        copies.refresh()
        time.sleep(0.2)
    finally:
        over.set()
        for each in users:
            each.join()
    assert all(cuts), "each client was disconnected"
    assert others == []
    source.as_(source.user).close()


def test_a_refresh_that_ended_half_way_is_no_obstacle(source: Database, copies: Databases) -> None:
    with source.as_(source.master) as master:
        master.execute("create database preview_template_next")
    copies.refresh()
    with source.server.inside("postgres") as connection:
        found = connection.execute("select datname from pg_database where datname like 'preview%'").fetchall()
    assert found == [("preview_template",)]


def test_each_time_the_password_is_new(source: Database, copies: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    manager = SecretsManager("")
    manager.others = {"master": json.dumps(vars(source.master)), "slot": "{}"}
    monkeypatch.setattr(
        previews, "client", lambda name: {"secretsmanager": manager, "rds": Rds(serving="master")}[name]
    )
    for key, value in source.variables(source.master).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("DATABASE", "serving")
    monkeypatch.setenv("SLOT_SECRETS", json.dumps({"1": "slot"}))
    seen: set[str] = set()
    for _ in range(2):
        previews.handler({"action": "make", "slot": 1}, None)
        secret = json.loads(manager.get_secret_value(SecretId="slot")["SecretString"])
        password = secret["password"]
        of_slot(source, 1).as_(Login(user(1).username, password)).close()
        for field, name in ((URL, user(1).username), (OWNER_URL, owner(1).username)):
            with psycopg.connect(secret[field], sslrootcert=source.authority) as connection:
                assert connection.info.user == name
                assert connection.info.dbname == "preview_1"
        seen.add(password)
    assert len(seen) == 2
    previews.handler({"action": "refresh"}, None)
    previews.handler({"action": "drop", "slot": 1}, None)
