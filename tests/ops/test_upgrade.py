"""`infra database upgrade` against the emulated RDS, whose instances are real PostgreSQL servers."""

import io
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from botocore.exceptions import ClientError

from infra_runtime.database import instance as lookup
from infra_runtime.database.connection import connect
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.restores import commands as restores
from ops.restores.instances import Instances, differences
from ops.upgrades import commands
from ops.upgrades.deployment import Upgrade
from tests.emulated_database import (
    DATABASE,
    STACK,
    TEMPLATE,
    Interrupted,
    Interrupting,
    Rehearsed,
    as_master,
    deploy,
    emulated,
    login,
    rotate,
    rows,
    write,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsed]:
    with emulated(tmp_path_factory.mktemp("emulator")) as clients:
        yield deploy(clients)


def upgrade(place: Instances, to: int = 18, *, check_only: bool = False) -> str:
    """Runs the upgrade, and starts it again whenever it was interrupted."""
    output = io.StringIO()
    for _ in range(30):
        try:
            commands.upgrade(place, to, Console(file=output, width=500), check_only=check_only)
        except Interrupted:
            continue
        return output.getvalue()
    raise AssertionError(output.getvalue())


def go_back(place: Instances, *, loses_writes: bool = False) -> str:
    output = io.StringIO()
    commands.back(place, Console(file=output, width=500), now=datetime.now(UTC), loses_writes=loses_writes)
    return output.getvalue()


def changed(place: Instances, **properties: object) -> str:
    """Deploys the stack with these properties of the database. Returns its final status."""
    database = {"Type": "AWS::RDS::DBInstance", "Properties": {**DATABASE, **properties}}
    template = {"Resources": {**TEMPLATE["Resources"], "Database": database}}
    cloudformation = place.clients.client("cloudformation")
    cloudformation.update_stack(StackName=STACK, TemplateBody=json.dumps(template))
    while True:
        (stack,) = cloudformation.describe_stacks(StackName=STACK)["Stacks"]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        time.sleep(0.05)
    events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    why = next((each["ResourceStatusReason"] for each in events if "FAILED" in each["ResourceStatus"]), "")
    return f"{stack['StackStatus']} {why}" if "ROLLBACK" in stack["StackStatus"] else stack["StackStatus"]


def serving(place: Instances) -> Any:
    return place.settled(place.identifier)


@contextmanager
def written(place: Rehearsed) -> Iterator[list[int]]:
    """Keys that the database has confirmed to the application, which writes all the time and connects again."""
    found, over = list[int](), threading.Event()

    def work() -> None:
        while not over.is_set():
            try:
                with connect(login(place), lookup.instance_called(place.identifier).variables) as connection:
                    while not over.is_set():
                        answer = connection.execute("insert into visitors (name) values ('w') returning id").fetchone()
                        found.append(answer[0] if answer else 0)
                        time.sleep(0.005)
            except (psycopg.Error, ClientError, KeyError):
                time.sleep(0.02)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def test_a_deployment_does_not_upgrade(place: Rehearsed) -> None:
    """A person first changes the version in the environment's file: RDS refuses, and nothing changes."""
    output = changed(place, EngineVersion="18", DBParameterGroupName={"Ref": "Parameters18"})
    assert "UPDATE_ROLLBACK_COMPLETE The AllowMajorVersionUpgrade flag must be present" in output
    assert serving(place)["EngineVersion"] == "17.9"


def test_rds_copies_no_database_whose_password_it_manages(place: Rehearsed) -> None:
    """This is why the upgrade takes over the password for a while."""
    work = Upgrade(place)
    with pytest.raises(ClientError, match="don't support managing master user passwords"):
        work.begin(serving(place), "18.3", work.group(18))


def test_data_that_cannot_be_copied_is_reported_before_anything_changes(place: Rehearsed) -> None:
    with as_master(place, place.identifier) as connection:
        connection.execute("create table keyless (name text)")
        connection.execute("create unlogged table unlogged (id int primary key)")
        connection.execute("create table typed (id int primary key, called regproc)")
        connection.execute("select lo_create(4711)")
        connection.execute("create publication ours")
    with pytest.raises(OperatorError) as refused:
        upgrade(place)
    for found in (
        "app: public.keyless has no primary key", "app: public.unlogged is unlogged",
        "app: public.typed.called is of a type", "app: 1 large objects", "app: ours is a publication",
    ):  # fmt: skip
        assert found in str(refused.value)
    assert "MasterUserSecret" in serving(place)
    assert Upgrade(place).found() is None
    with as_master(place, place.identifier) as connection:
        connection.execute("drop table keyless, unlogged, typed")
        connection.execute("select lo_unlink(4711)")
        connection.execute("drop publication ours")


@pytest.mark.parametrize(("to", "error", "expected"), [(19, OperatorError, "offers no upgrade from 17.9 to 19"),
                                                   (16, InputError, "is on PostgreSQL 17.9")])  # fmt: skip
def test_only_versions_that_rds_offers_are_accepted(
    to: int, error: type[Exception], expected: str, place: Rehearsed
) -> None:
    with pytest.raises(error, match=expected):
        upgrade(place, to)


def test_a_password_that_was_taken_over_in_vain_is_given_back(place: Rehearsed) -> None:
    """RDS refuses the copy for an unforeseen reason after the password was taken over."""
    work = Upgrade(place)
    work.take_over_password(serving(place))
    assert "MasterUserSecret" not in serving(place)
    rotate(place, "functions know it")
    assert "serves as before" in go_back(place)
    assert "MasterUserSecret" in serving(place)
    with pytest.raises(OperatorError, match="no database was replaced"):
        go_back(place)


def test_a_migration_during_the_copy_is_found_and_the_copy_is_given_up(place: Rehearsed) -> None:
    before = serving(place)
    output = upgrade(place, check_only=True)
    assert "follows the one that serves and is verified" in output
    assert "MasterUserSecret" not in serving(place)
    # Functions know the login all the same: rotation and previews go on.
    rotate(place, "rotated during the copy")
    with as_master(place, place.identifier) as connection:
        connection.execute("alter table visitors add column born date")
    with pytest.raises(OperatorError, match="its schema is another"):
        upgrade(place)
    with pytest.raises(OperatorError, match="was begun before"):
        upgrade(place, 17)
    assert "deleted; users notice nothing" in go_back(place)
    after = serving(place)
    assert (after["DbiResourceId"], after["EngineVersion"]) == (before["DbiResourceId"], "17.9")
    assert "MasterUserSecret" in after
    assert len(place.all()) == 1
    with as_master(place, place.identifier) as connection:
        connection.execute("alter table visitors drop column born")


def test_it_takes_over_by_its_name_with_every_row_and_may_be_interrupted_anywhere(place: Rehearsed) -> None:
    before = serving(place)
    interrupting = Interrupting("dev", place.environment, place.clients, sleep=place.sleep)
    with written(place) as keys:
        upgrade(interrupting, check_only=True)
        rotate(place, "rotated while it was copied")
        output = upgrade(interrupting)
        count = len(keys)
        while len(keys) < count + 3:
            time.sleep(0.01)
    assert len(interrupting.done) >= 9, interrupting.done
    after = serving(place)
    assert (after["EngineVersion"], after["Endpoint"]) == ("18.3", before["Endpoint"])
    assert after["DbiResourceId"] != before["DbiResourceId"]
    assert "MasterUserSecret" in after
    assert [each for each in differences(before, after) if not each.startswith("DBParameterGroups are")] == []
    with as_master(place, place.identifier) as connection:
        there = {key for (key,) in connection.execute("select id from visitors").fetchall()}
    assert set(keys) <= there, "what was confirmed is there, and no key was given twice"
    assert len(keys) == len(set(keys))
    (old,) = Upgrade(place).upgraded()
    assert old["DBInstanceIdentifier"] == f"{place.identifier}-old1"
    assert restores.contents_of(place, old["DBInstanceIdentifier"]).read_only
    assert Upgrade(place).found() is None
    assert "set version = 18 under [database] in environments/dev.toml" in output
    assert "infra database upgrade dev --back" in output
    # Repeating the command changes nothing.
    upgrade(place)
    assert serving(place)["DbiResourceId"] == after["DbiResourceId"]


def test_cloudformation_goes_on_managing_it(place: Rehearsed) -> None:
    """The next deployment may have the old or the new version in the environment's file."""
    upgraded = serving(place)
    assert upgraded["EngineVersion"] == "18.3", "the test before has upgraded it"
    assert changed(place, MaxAllocatedStorage="200") == "UPDATE_COMPLETE"
    new = {"EngineVersion": "18", "DBParameterGroupName": {"Ref": "Parameters18"}, "MaxAllocatedStorage": "200"}
    assert changed(place, **new) == "UPDATE_COMPLETE"
    after = serving(place)
    assert (after["EngineVersion"], after["MaxAllocatedStorage"]) == ("18.3", 200)
    assert (after["DbiResourceId"], after["DBParameterGroups"]) == (
        upgraded["DbiResourceId"],
        upgraded["DBParameterGroups"],
    )
    output = changed(place, MaxAllocatedStorage="200")
    assert "Cannot find upgrade path from 18.3 to 17" in output


def test_the_way_back_says_what_is_lost(place: Rehearsed) -> None:
    assert serving(place)["EngineVersion"] == "18.3", "a test before has upgraded it"
    for each in ("written since", "and this"):
        write(place, each)
    output = io.StringIO()
    with pytest.raises(OperatorError, match="--back --lose-writes"):
        commands.back(place, Console(file=output, width=500), now=datetime.now(UTC), loses_writes=False)
    # Two of this test; the tests before have gone on writing after the switch.
    assert int(re.findall(r"UTC: (\d+) rows", output.getvalue())[0]) >= 2, output.getvalue()
    assert "written since" in rows(place, place.identifier)
    as_the_file_says = replace(
        place, environment=place.environment.model_copy(
            update={"database": place.environment.database.model_copy(update={"version": 18})}
        )
    )  # fmt: skip
    said = go_back(as_the_file_says, loses_writes=True)
    after = serving(place)
    assert after["EngineVersion"] == "17.9"
    assert "MasterUserSecret" in after
    assert "written since" not in rows(place, place.identifier)
    write(place, "served again")
    assert "set version = 17 under [database]" in said
    (other,) = place.replaced()
    assert "written since" in rows(place, other["DBInstanceIdentifier"])
    assert changed(place, BackupRetentionPeriod=8) == "UPDATE_COMPLETE"
    assert serving(place)["EngineVersion"] == "17.9"
