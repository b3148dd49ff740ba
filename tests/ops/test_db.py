"""`infra db`, as a person uses it: a login of one's own, through a task, to the database of a deployed account."""

import io
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest

from infra_runtime.contract.database_names import OWNER
from infra_runtime.database.connection import Connection, connect
from ops.console import Console
from ops.db import commands
from ops.db.commands import DatabasePlace
from ops.errors import InputError, OperatorError
from rehearsal.account import Account
from rehearsal.checks.data import api_secret, instance_of, login_of
from simulators.aws import session_manager

ROWS = 3000
QUIET = Console(quiet=True)


@pytest.fixture
def place(production: Account, tmp_path: Path) -> Iterator[DatabasePlace]:
    """A database with a table of many rows, and a simulated AWS CLI."""
    session_manager.install(tmp_path / "bin")
    cdk = production.cdk
    variables = {
        **os.environ, **cdk.credentials, "AWS_ENDPOINT_URL": cdk.endpoint or "",
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PGSSLROOTCERT": str(cdk.workspace / "authority" / "ca.pem"),
    }  # fmt: skip
    with master(production) as connection:
        connection.execute(f"set role {OWNER}")
        connection.execute("drop table if exists souvenirs")
        connection.execute(f"create table souvenirs as select generate_series(1, {ROWS}) as id")
    yield DatabasePlace(
        name=production.name, environment=production.environment, clients=production, variables=variables
    )
    with master(production) as connection:
        connection.execute("drop table souvenirs")


def master(account: Account) -> Connection:
    _, variables = api_secret(account)
    return connect(login_of(account, instance_of(account)["MasterUserSecret"]["SecretArn"]), variables)


def tasks(account: Account) -> list[str]:
    """Running tasks that people started."""
    ecs, (cluster,) = account.client("ecs"), account.resources("Platform", "AWS::ECS::Cluster")
    found: list[str] = ecs.list_tasks(cluster=cluster, startedBy="infra")["taskArns"]
    return found


def test_a_person_reads_by_a_token_and_changes_nothing(place: DatabasePlace, capfd: Any) -> None:
    asked = "select current_user, count(*) from souvenirs"
    assert commands.shell(place, "read", "how many souvenirs", asked, QUIET) == 0
    printed = capfd.readouterr().out
    assert "person_operator_" in printed
    assert str(ROWS) in printed
    assert commands.shell(place, "read", "a try", "delete from souvenirs", QUIET) == 1
    assert "read-only transaction" in capfd.readouterr().err
    assert commands.shell(place, "write", "two too many", "delete from souvenirs where id > 2998", QUIET) == 0
    assert "DELETE 2" in capfd.readouterr().out


def test_who_when_which_mode_and_why_is_in_the_log_and_in_the_databases_own(
    place: DatabasePlace, production: Account
) -> None:
    with place.opened("write", "an order of the wrong customer", QUIET) as (found, variables):
        psycopg.connect(**as_parameters(place, variables, found.token(production))).close()
    lines = logged(production, "DatabaseAccess")
    assert any(
        found.user in line and "an order of the wrong customer" in line and "user/operator" in line and "write" in line
        for line in lines
    ), lines
    assert tasks(production) == [], "the task ends with the session"


def as_parameters(place: DatabasePlace, variables: dict[str, str], token: str) -> dict[str, Any]:
    return {
        "host": variables["PGHOST"], "hostaddr": variables["PGHOSTADDR"], "port": variables["PGPORT"],
        "user": variables["PGUSER"], "dbname": variables["PGDATABASE"], "password": token,
        "sslmode": variables["PGSSLMODE"], "sslrootcert": variables["PGSSLROOTCERT"],
    }  # fmt: skip


def logged(account: Account, part: str) -> list[str]:
    logs = account.client("logs")
    (group,) = [each for each in account.resources("Data", "AWS::Logs::LogGroup") if part in each]
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
    return [each["message"] for page in pages for each in page["events"]]


def test_a_dump_is_whole_and_for_its_owner_alone(place: DatabasePlace, tmp_path: Path) -> None:
    into = tmp_path / "production.dump"
    commands.dump(place, into, "a copy for a test", QUIET)
    words = ["pg_restore", "--data-only", "--table=souvenirs", "--file=-", str(into)]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    assert sum(line.isdigit() for line in listed.splitlines()) == ROWS
    assert into.stat().st_mode & 0o077 == 0
    with pytest.raises(InputError, match="no file of that name"):
        commands.dump(place, into, "again", QUIET)


def test_a_dump_that_fails_leaves_nothing(place: DatabasePlace, tmp_path: Path) -> None:
    failing = tmp_path / "bin" / "pg_dump"
    failing.write_text('#!/bin/sh\nfor each; do last=$each; done\nhead -c 100000 /dev/zero > "$last"\nexit 1\n')
    failing.chmod(0o755)
    (folder := tmp_path / "dumps").mkdir()
    with pytest.raises(OperatorError, match="pg_dump ended with 1; nothing is left"):
        commands.dump(place, folder / "production.dump", "a copy", QUIET)
    assert list(folder.iterdir()) == []


def test_a_tunnel_leads_there_until_it_is_closed(place: DatabasePlace, production: Account) -> None:
    out = io.StringIO()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def use_it() -> None:
        found = dict(line.split("=", 1) for line in out.getvalue().splitlines() if line.startswith("PG"))
        assert found["PGPORT"] == str(port)
        hostname = out.getvalue().partition("--hostname ")[2].split()[0]
        token = production.client("rds").generate_db_auth_token(
            DBHostname=hostname, Port=5432, DBUsername=found["PGUSER"]
        )
        with psycopg.connect(**as_parameters(place, found, token)) as connection:
            assert connection.execute("select count(*) from souvenirs").fetchone() == (ROWS,)
        raise KeyboardInterrupt

    commands.tunnel(place, "read", "a look", port, Console(file=out, width=400), wait=use_it)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert tasks(production) == []


def test_rds_refuses_another_token_and_a_password(place: DatabasePlace, production: Account) -> None:
    iam = production.client("iam")
    iam.create_user(UserName="stranger")
    key = iam.create_access_key(UserName="stranger")["AccessKey"]
    stranger = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="eu-central-1")
    with place.opened("read", "a test", QUIET) as (found, variables):
        tokens = {
            "for another user": replace(found, user="postgres").token(production),
            "for another port": replace(found, port="5433").token(production),
            "changed": found.token(production)[:-4] + "zzzz",
            "of somebody whom IAM does not allow": found.token(stranger),
            "no token": "a password",
        }
        for name, token in tokens.items():
            with pytest.raises(psycopg.OperationalError, match="authentication failed"):
                psycopg.connect(**as_parameters(place, variables, token)).close()
                pytest.fail(f"let in by a token {name}")
        without_tls = {**as_parameters(place, variables, found.token(production)), "sslmode": "disable"}
        with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
            psycopg.connect(**without_tls).close()


def test_wrong_input_is_refused_before_anything_starts(place: DatabasePlace, production: Account) -> None:
    nothing = replace(place, variables={"PATH": "/nowhere"})
    with pytest.raises(OperatorError, match="missing on this machine: psql"):
        commands.shell(nothing, "read", "a look", None, QUIET)
    with pytest.raises(OperatorError, match="missing on this machine: aws, session-manager-plugin"):
        commands.tunnel(nothing, "read", "a look", 0, QUIET)
    with pytest.raises(InputError, match="--reason is empty"):
        commands.shell(place, "read", " ", None, QUIET)
    with pytest.raises(InputError, match="expected a name in a folder that exists"):
        commands.dump(place, Path("/nowhere/production.dump"), "a copy", QUIET)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}: expected a free port"):
            commands.tunnel(place, "read", "a look", port, QUIET)
    assert tasks(production) == []
