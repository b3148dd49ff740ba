"""Personal logins, on a real PostgreSQL: what they may, and what they may not."""

import psycopg
import pytest
from psycopg import errors

from infra_runtime.contract.database_names import IAM_GROUP
from infra_runtime.database.access import admit, login_of
from infra_runtime.database.connection import Login
from infra_runtime.database.roles import set_password
from tests.databases import Database

ZARA = "arn:aws:sts::111122223333:assumed-role/Operator/Zara.Ali@example.com"
PASSWORD = "what-stands-for-a-token-here"


def logged_in(database: Database, mode: str) -> "psycopg.Connection[tuple[object, ...]]":
    user = login_of(ZARA, "write" if mode == "write" else "read")
    with database.as_(database.master) as master:
        admit(master, user, "write" if mode == "write" else "read")
        set_password(master, Login(user, PASSWORD))
    return database.as_(Login(user, PASSWORD))


@pytest.fixture
def product(database: Database) -> Database:
    """A product's database: its table, and its migration tool's in another schema."""
    with database.as_(database.owner) as owner:
        owner.execute("create table visitors (id serial primary key, name text)")
        owner.execute("insert into visitors (name) values ('Ada')")
        owner.execute("create schema drizzle")
        owner.execute("create table drizzle.migrations (id int)")
    return database


def test_a_reader_reads_everything_and_changes_nothing_whatever_it_sets(product: Database) -> None:
    with logged_in(product, "read") as reader:
        assert reader.execute("select name from visitors").fetchall() == [("Ada",)]
        assert reader.execute("select count(*) from drizzle.migrations").fetchone() == (0,)
        assert reader.execute("show statement_timeout").fetchone() == ("15min",)
        with pytest.raises(errors.ReadOnlySqlTransaction):
            reader.execute("create temporary table mine (id int)")
        reader.execute("set default_transaction_read_only to off")
        for forbidden in ("insert into visitors (name) values ('Eve')", "update visitors set name = 'Eve'",
                          "delete from visitors", "drop table visitors", "create table mine (id int)"):  # fmt: skip
            with pytest.raises(errors.InsufficientPrivilege):
                reader.execute(forbidden)


def test_a_writer_changes_rows_and_no_tables(product: Database) -> None:
    with logged_in(product, "write") as writer:
        writer.execute("insert into visitors (name) values ('Grace')")
        writer.execute("update visitors set name = 'Ada Lovelace' where name = 'Ada'")
        for forbidden in ("drop table visitors", "create table mine (id int)", "delete from drizzle.migrations"):
            with pytest.raises(errors.InsufficientPrivilege):
                writer.execute(forbidden)


def test_everybody_sees_what_the_application_does_and_a_writer_stops_it(product: Database) -> None:
    with product.as_(product.user) as application:
        pid = application.info.backend_pid
        with logged_in(product, "read") as reader:
            seen = reader.execute("select query from pg_stat_activity where pid = %s", [pid]).fetchone()
            assert seen is not None
            assert seen[0] != "<insufficient privilege>"
            with pytest.raises(errors.InsufficientPrivilege):
                reader.execute("select pg_terminate_backend(%s)", [pid])
        with logged_in(product, "write") as writer:
            assert writer.execute("select pg_terminate_backend(%s, 5000)", [pid]).fetchone() == (True,)
        with pytest.raises(psycopg.OperationalError):
            application.execute("select 1")


def test_tables_of_later_migrations_are_readable_at_the_next_request(product: Database) -> None:
    logged_in(product, "read").close()
    with product.as_(product.owner) as owner:
        owner.execute("create table later (id int)")
    with logged_in(product, "read") as reader:
        assert reader.execute("select count(*) from later").fetchone() == (0,)


def test_the_login_is_by_token_and_the_masters_stays_by_password(product: Database) -> None:
    logged_in(product, "read").close()
    members = "select pg_has_role(%s, %s, 'member')"
    with product.as_(product.master) as master:
        assert master.execute(members, [login_of(ZARA, "read"), IAM_GROUP]).fetchone() == (True,)
        assert master.execute(members, [product.master.username, IAM_GROUP]).fetchone() == (False,)


def test_a_logins_name_is_unique_to_its_person() -> None:
    found = login_of(ZARA, "read")
    assert found.startswith("person_zara_ali_example_com_")
    others = {login_of(ZARA.replace("Zara.Ali", "zara_ali"), "read"), login_of(ZARA, "write")}
    assert len({found, *others}) == 3
    assert login_of(f"{ZARA} for somebody (…/runs/1)", "read") == found
    assert len(login_of(ZARA + "x" * 200, "write")) <= 63
