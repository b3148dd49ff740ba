"""Previews in a deployed dev: a pull request runs on a copy of the database, apart from users, and ends."""

import io
import json

import pytest

from config import load
from infra_runtime.database.connection import Connection, Login, connect
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.functions import resources
from ops.previews import commands
from ops.previews.commands import PreviewSlots
from rehearsal.account import Account
from rehearsal.checks.previews import users_of
from rehearsal.checks.releases import SECOND, first_release
from rehearsal.product import FIRST
from rehearsal.push import push
from rehearsal.traffic import traffic


@pytest.fixture(scope="module", autouse=True)
def released(development: Account) -> None:
    """Makes a first release, and rows that its users have written."""
    first_release(development)
    with database(development) as connection:
        connection.execute("insert into visitors (name) values ('Ada'), ('Grace')")


@pytest.fixture(scope="module")
def previews(development: Account) -> PreviewSlots:
    return PreviewSlots("dev", development.environment, development)


def database(account: Account) -> Connection:
    """Connects as the environment's application."""
    container = account.container(account.service("Api"))
    variables = {each["name"]: each["value"] for each in container["environment"]}
    reference = next(each["valueFrom"] for each in container["secrets"] if each["name"] == "PGPASSWORD")
    secret = account.client("secretsmanager").get_secret_value(SecretId=":".join(reference.split(":")[:7]))
    trusted = str(account.cdk.workspace / "authority" / "ca.pem")
    return connect(Login.of(secret["SecretString"]), {**variables, "SSL_CERT_FILE": trusted})


def said(previews: PreviewSlots, name: str, image: str) -> str:
    output = io.StringIO()
    commands.start(previews, name, "api", image, Console(file=output, width=200), as_json=False)
    return output.getvalue()


def end(previews: PreviewSlots, name: str) -> None:
    commands.end(previews, name, Console(file=io.StringIO()), wait=True)


def databases(account: Account) -> set[str]:
    with database(account) as connection:
        found = connection.execute("select datname from pg_database where datname like 'preview%'").fetchall()
    return {row[0] for row in found}


def test_an_environment_without_previews_says_so(development: Account) -> None:
    with pytest.raises(InputError, match=r"table \[previews\]"):
        PreviewSlots("production", load(["production"])["production"], development)


def test_a_pull_request_runs_on_a_copy_with_its_own_migrations(development: Account, previews: PreviewSlots) -> None:
    image = push(development, "api", "pull-request", (FIRST, SECOND))
    output = said(previews, "add-email", image)
    assert "copying: its database is copied" in output
    assert "https://api-dev-preview-1.daadaar.com" in output
    preview, users = users_of(development, 1), traffic(development)
    assert preview.ask("/") == {"version": image, "visitors": 2, "runtime": "node"}
    assert users.ask("/")["version"] != image
    with database(development) as connection:
        columns = "select column_name from information_schema.columns where table_name = 'visitors'"
        assert ("email",) not in connection.execute(columns).fetchall()
    # Keys in Redis are its own.
    assert [preview.ask("/count")["count"], preview.ask("/count")["count"]] == [1, 2]
    assert users.ask("/count")["count"] == 1
    # The next push finds the previous data.
    again = push(development, "api", "pull-request-2", (FIRST, SECOND, "insert into visitors (name) values ('Joan')"))
    said(previews, "add-email", again)
    assert preview.ask("/") == {"version": again, "visitors": 3, "runtime": "node"}
    end(previews, "add-email")
    assert databases(development) == {"preview_template"}
    with pytest.raises((OSError, ValueError)):
        preview.ask("/")
    assert users.ask("/")["visitors"] == 2


def test_two_pull_requests_know_nothing_of_each_other(development: Account, previews: PreviewSlots) -> None:
    for name in ("one", "two"):
        said(previews, name, push(development, "api", f"of-{name}", (FIRST, f"create table only_{name} (id int)")))
    assert databases(development) == {"preview_1", "preview_2", "preview_template"}
    assert users_of(development, 1).ask("/")["version"] != users_of(development, 2).ask("/")["version"]
    with pytest.raises(OperatorError, match=r"all 2 are taken: one until .*, two until"):
        commands.take(previews, "three", Console(file=io.StringIO()), as_json=False)
    for name in ("one", "two"):
        end(previews, name)
    assert previews.all() == []


def test_the_reason_of_a_failed_migration_is_printed_by_the_command_that_started_it(
    development: Account, previews: PreviewSlots
) -> None:
    with pytest.raises(OperatorError) as raised:
        said(previews, "broken", push(development, "api", "broken", (FIRST, "alter table missing add x int")))
    assert "PRE_SCALE_UP" in str(raised.value)
    assert "the command ended with 1" in str(raised.value)
    assert "applying migrations" in str(raised.value), "the last lines of its log"
    assert 'PostgreSQL: relation "missing" does not exist' in str(raised.value)
    end(previews, "broken")


def test_a_preview_ends_when_its_time_is_over(development: Account, previews: PreviewSlots) -> None:
    """The schedule ends it; the test makes the lease older."""
    said(previews, "forgotten", push(development, "api", "forgotten"))
    dynamodb = development.client("dynamodb")
    (table,) = resources(development, "daadaar-dev-registry", "AWS::DynamoDB::Table")
    key = {"service": {"S": "previews"}, "id": {"S": "slot-1"}}
    lease = json.loads(dynamodb.get_item(TableName=table, Key=key)["Item"]["lease"]["S"])
    lease["until"] = "2026-01-01T00:00:00+00:00"
    dynamodb.put_item(TableName=table, Item={**key, "lease": {"S": json.dumps(lease, sort_keys=True)}})
    rules = development.client("events")
    (rule,) = [
        each
        for each in rules.get_paginator("list_rules").paginate().build_full_result()["Rules"]
        if each.get("Description", "").startswith("Ends previews")
    ]
    (target,) = rules.list_targets_by_rule(Rule=rule["Name"])["Targets"]
    assert (rule["State"], rule["ScheduleExpression"]) == ("ENABLED", "rate(15 minutes)")
    for _ in range(20):
        development.client("lambda").invoke(FunctionName=target["Arn"], Payload=b'{"source": "aws.events"}')
        if not previews.all():
            break
        previews.sleep(0.5)
    assert previews.all() == []
    assert databases(development) == {"preview_template"}
    (count,) = [
        each["ParameterValue"]
        for each in development.client("cloudformation").describe_stacks(StackName="daadaar-dev-preview1")["Stacks"][0][
            "Parameters"
        ]
        if each["ParameterKey"] == "Count"
    ]
    assert count == "0"


def test_a_deployment_leaves_a_preview_as_it_is(development: Account, previews: PreviewSlots) -> None:
    image = push(development, "api", "stays")
    said(previews, "stays", image)
    development.cdk.deploy(development.cdk.workspace / "cdk.out", "dev/Preview1", options=["--exclusively", "--force"])
    assert users_of(development, 1).ask("/")["version"] == image
    end(previews, "stays")
