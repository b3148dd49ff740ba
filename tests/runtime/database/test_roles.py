"""Who may do what, on a real PostgreSQL, and how a password changes under those who use it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from infra_runtime.contract.database_names import OWNER, USER, other_login
from infra_runtime.contract.secret_values import Secrets
from infra_runtime.custom_resource import Request
from infra_runtime.database import logins
from infra_runtime.database.connection import Login
from infra_runtime.database.roles import MigrationLimits, prepare, set_password
from infra_runtime.database.rotation import LoginRotation
from simulators.redis.authority import Authority
from tests.databases import LOCK_MS, Database
from tests.runtime.fakes import Rds, SecretsManager

ROOT = Path(__file__).resolve().parents[3]


def test_the_owner_makes_what_the_user_reads_and_writes(database: Database) -> None:
    with database.as_(database.owner) as owner:
        owner.execute("create table visitors (id serial primary key, name text)")
        owner.execute("create schema drizzle")
    with database.as_(database.user) as user:
        user.execute("insert into visitors (name) values ('Ada')")
        assert user.execute("select id, name from visitors").fetchall() == [(1, "Ada")]
        for forbidden in ("create table more (id int)", "drop table visitors", "alter table visitors add x int",
                          "create schema mine", "truncate visitors"):  # fmt: skip
            with pytest.raises(errors.InsufficientPrivilege):
                user.execute(forbidden)


def test_the_other_login_of_the_owner_changes_what_the_first_has_made(database: Database) -> None:
    other = Login(other_login(database.owner.username), "another password")
    with database.as_(database.master) as master:
        set_password(master, other)
    with database.as_(database.owner) as first, database.as_(other) as second:
        first.execute("create table t (id int)")
        second.execute("alter table t add name text")
        assert second.execute("select tableowner from pg_tables where tablename = 't'").fetchone() == (OWNER,)


def test_a_migration_waits_for_no_lock_longer_than_readers_can(database: Database) -> None:
    with database.as_(database.owner) as owner:
        for setting, value in (("lock_timeout", f"{LOCK_MS}ms"), ("statement_timeout", "20s")):
            assert owner.execute(f"show {setting}").fetchone() == (value,)


def test_tables_that_the_master_made_before_get_the_owner(databases: Callable[..., Database]) -> None:
    """A product that is taken over, and used one login for everything."""
    database = databases(prepared=False)
    with database.as_(database.master) as master:
        master.execute("create table old (id int)")
        for _ in range(2):
            prepare(master, MigrationLimits(lock_ms=200, statement_ms=20_000))
        for login in (database.owner, database.user):
            set_password(master, login)
    with database.as_(database.owner) as owner:
        owner.execute("alter table old add name text")
    with database.as_(database.user) as user:
        user.execute("insert into old values (1, 'Ada')")


def test_no_other_role_connects(database: Database) -> None:
    with database.server.inside("postgres") as root:
        root.execute("drop role if exists stranger")
        root.execute("create role stranger login password 'x'")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        database.as_(Login("stranger", "x"))


def test_the_password_never_reaches_the_server(database: Database) -> None:
    with database.server.inside("postgres") as root:
        root.execute("alter system set log_statement = 'all'")
        root.execute("select pg_reload_conf()")
    try:
        with database.as_(database.master) as master:
            set_password(master, Login(database.user.username, "a-password-to-look-for"))
            set_password(master, database.user)
    finally:
        with database.server.inside("postgres") as root:
            root.execute("alter system reset log_statement")
            root.execute("select pg_reload_conf()")
    log = database.server.log()
    assert "alter role" in log.lower()
    assert "a-password-to-look-for" not in log


@pytest.fixture
def rotation(database: Database, monkeypatch: pytest.MonkeyPatch) -> tuple[LoginRotation, SecretsManager]:
    for key, value in database.variables(database.master).items():
        monkeypatch.setenv(key, value)
    manager = SecretsManager(_secret(database.user))
    manager.others["master"] = _secret(database.master)
    monkeypatch.setenv("DATABASE", "serving")
    return LoginRotation(manager, master=lambda: "master", secret="user", version="v2"), manager


def _secret(login: Login) -> str:
    return json.dumps({"username": login.username, "password": login.password})


def test_a_rotation_leaves_no_moment_without_a_login(
    database: Database, rotation: tuple[LoginRotation, SecretsManager]
) -> None:
    rotating, manager = rotation
    before = database.user
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        for _ in range(2):
            rotating.step(step)
            # What a task has read at its start, and what it would read now.
            for login in (before, Login.of(manager.get_secret_value("user")["SecretString"])):
                with database.as_(login) as connection:
                    assert connection.execute("select current_user").fetchone() == (login.username,)
    after = Login.of(manager.get_secret_value("user")["SecretString"])
    assert (after.username, after.password) == (f"{USER}_b", "password-1")


def test_a_new_schedule_can_be_tried(database: Database, rotation: tuple[LoginRotation, SecretsManager]) -> None:
    """Secrets Manager runs testSecret alone."""
    rotating, manager = rotation
    for value in (None, _secret(database.user)):
        manager.begin("v2", value)
        rotating.step("testSecret")
    assert manager.stages["AWSCURRENT"] == "first"


def test_a_password_that_does_not_work_does_not_count(
    database: Database, rotation: tuple[LoginRotation, SecretsManager]
) -> None:
    rotating, manager = rotation
    with database.as_(database.master) as master:
        set_password(master, Login(other_login(database.user.username), "not the new one"))
    rotating.step("createSecret")
    with pytest.raises(psycopg.OperationalError):
        rotating.step("testSecret")
    assert manager.stages["AWSCURRENT"] == "first"


def test_a_rotated_secret_holds_the_url_of_its_new_login(
    database: Database, rotation: tuple[LoginRotation, SecretsManager]
) -> None:
    rotating, manager = rotation
    for step in ("createSecret", "setSecret", "testSecret", "finishSecret"):
        rotating.step(step)
    url = json.loads(manager.get_secret_value("user")["SecretString"])["url"]
    assert connected(url, database, "psycopg") == f"{USER}_b"


def connected(url: str, database: Database, driver: str) -> str:
    """The login that PostgreSQL sees; the driver gets what a task has (infra_constructs.container_task)."""
    if driver == "psycopg":
        code = "import psycopg, sys; print(psycopg.connect(sys.argv[1]).execute('select current_user').fetchone()[0])"
        words = [sys.executable, "-c", code, url]
    else:
        words = ["node", "--input-type=module", "-e", DRIVERS[driver], "--", url]
    trusted = {"NODE_EXTRA_CA_CERTS": database.authority, "PGSSLROOTCERT": database.authority}
    done = subprocess.run(
        words, cwd=ROOT, env={"PATH": os.environ["PATH"], **trusted}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


DRIVERS = {
    "pg": """
import pg from 'pg'
const client = new pg.Client({ connectionString: process.argv[1] })
await client.connect()
console.log((await client.query('select current_user as name')).rows[0].name)
await client.end()
""",
    "postgres": """
import postgres from 'postgres'
const sql = postgres(process.argv[1])
console.log((await sql`select current_user as name`)[0].name)
await sql.end()
""",
}


@pytest.mark.parametrize("driver", ["psycopg", *DRIVERS])
def test_drivers_take_the_url_whatever_is_in_the_password(driver: str, database: Database) -> None:
    login = Login(database.user.username, "/?#@: %+é&=")
    with database.as_(database.master) as master:
        set_password(master, login)
    try:
        assert connected(login.url(database.variables(login)), database, driver) == login.username
    finally:
        with database.as_(database.master) as master:
            set_password(master, database.user)


@pytest.mark.parametrize("driver", ["psycopg", *DRIVERS])
def test_drivers_refuse_a_server_whose_authority_they_do_not_know(
    driver: str, database: Database, tmp_path: Path
) -> None:
    stranger = Database(database.server, database.name, str(Authority().write(tmp_path / "stranger.pem")))
    with pytest.raises(AssertionError, match=r"certificate|verify"):
        connected(database.user.url(database.variables(database.user)), stranger, driver)


def test_only_our_logins_are_rotated() -> None:
    for name in ("postgres", f"{USER}_c", "someone_a", USER):
        with pytest.raises(ValueError, match="no login"):
            other_login(name)


def test_the_custom_resource_gives_each_secret_its_login(
    database: Database, rotation: tuple[LoginRotation, SecretsManager]
) -> None:
    _, manager = rotation
    wanted = Login(database.user.username, "as the secret says now")
    manager.others["user"] = _secret(wanted)
    rds = Rds(serving="master")
    declared = {"logins": ["user"], "limits": {"lock_ms": 200, "statement_ms": 20_000}}
    request = Request(kind="Update", properties={"Declared": json.dumps(declared)}, physical_id="x")
    assert logins.converge(request, Secrets(manager), rds).physical_id == "x"
    with database.as_(wanted):
        pass
    completed = manager.others["user"]
    assert Login.of(completed) == wanted
    assert connected(json.loads(completed)["url"], database, "psycopg") == wanted.username
    manager.others["user"] = completed.replace("127.0.0.1", "an-earlier-address")
    logins.converge(request, Secrets(manager), rds)
    assert manager.others["user"] == completed
    logins.converge(Request(kind="Delete", properties=request.properties, physical_id="x"), Secrets(manager), rds)
    with database.as_(wanted):
        pass
