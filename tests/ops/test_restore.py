"""`infra restore` against the emulated RDS, whose instances are real PostgreSQL servers."""

import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import WaiterError
from psycopg import OperationalError

from infra_runtime.contract.restore_drills import Drill
from infra_runtime.custom_resource import Request
from infra_runtime.database import drills as drilling
from infra_runtime.database import instance as lookup
from infra_runtime.database.connection import connect
from infra_runtime.database.verification import CLOCK
from infra_runtime.state_store import SsmStateStore
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.restores import commands, drills, tables
from ops.restores.drills import Drills
from ops.restores.instances import Instances, differences
from tests.continuous_backup import continuous_backup, restore_testing
from tests.emulated_database import (
    STACK,
    Interrupted,
    Interrupting,
    Rehearsed,
    as_master,
    delete,
    deploy,
    emulated,
    login,
    rotate,
    rows,
    write,
)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsed]:
    with emulated(tmp_path_factory.mktemp("emulator")) as clients:
        yield deploy(clients)


@pytest.fixture
def place(deployed: Rehearsed) -> Iterator[Rehearsed]:
    """The serving database, shared by all tests; other instances are deleted after each."""
    yield deployed
    for each in deployed.restored() + deployed.replaced():
        delete(deployed, each["DBInstanceIdentifier"])


def restore(place: Instances, to: datetime | None, *, check_only: bool = False) -> str:
    output = io.StringIO()
    commands.point(place, to, Console(file=output, width=500), now=datetime.now(UTC), check_only=check_only)
    return output.getvalue()


def go_back(place: Instances) -> None:
    commands.back(place, Console(file=io.StringIO()), now=datetime.now(UTC))


def now_and_then(place: Instances, before: str, after: str) -> datetime:
    """A whole second between two rows."""
    write(place, before)
    time.sleep(1 + CLOCK.total_seconds())
    to = datetime.now(UTC).replace(microsecond=0)
    time.sleep(1)
    write(place, after)
    return to


def test_the_restored_one_serves_by_the_same_name_and_address_and_the_old_one_is_kept(place: Rehearsed) -> None:
    to = now_and_then(place, "early", "late")
    before = place.called(place.identifier)
    assert before is not None
    # The restored instance has the password of that time.
    rotate(place, "rotated after the time that is restored")
    output = restore(place, to)
    after = place.called(place.identifier)
    assert after is not None
    assert after["DbiResourceId"] != before["DbiResourceId"]
    assert after["Endpoint"] == before["Endpoint"]
    assert after["MasterUserSecret"]["SecretArn"] != before["MasterUserSecret"]["SecretArn"]
    assert list(differences(before, after)) == []
    assert "early" in rows(place, place.identifier)
    assert "late" not in rows(place, place.identifier)
    write(place, "after the restore")
    (old,) = place.replaced()
    assert old["DeletionProtection"]
    assert {"early", "late"} <= rows(place, old["DBInstanceIdentifier"])
    with pytest.raises(OperationalError, match="not permitted to log in"):
        connect(login(place), lookup.instance_called(old["DBInstanceIdentifier"]).variables)
    assert "infra restore back dev" in output
    assert place.restored() == []
    # Repeating the command does not restore again, which would lose newer rows.
    assert "was restored to that time already" in restore(place, to)
    assert "after the restore" in rows(place, place.identifier)
    # A tag that no template has would be drift.
    assert [each["Key"] for each in after["TagList"]] == ["environment"]


def test_the_way_back_is_the_same_with_what_was_written_meanwhile_kept(place: Rehearsed) -> None:
    to = now_and_then(place, "before the mistake", "no mistake at all")
    restore(place, to)
    write(place, "meanwhile")
    go_back(place)
    assert {"before the mistake", "no mistake at all"} <= rows(place, place.identifier)
    write(place, "as before")
    # Also the logins that are not in use: the next rotation uses them.
    with as_master(place, place.identifier) as connection:
        shut_out = "select rolname from pg_roles where rolname ~ '^app_(owner|user)_' and not rolcanlogin"
        assert connection.execute(shut_out).fetchall() == []
    (other,) = place.replaced()
    assert "meanwhile" in rows(place, other["DBInstanceIdentifier"])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_each_step_may_be_interrupted_and_the_same_command_goes_on(after: bool, place: Rehearsed) -> None:
    to = now_and_then(place, f"kept {after}", f"lost {after}")
    before = place.called(place.identifier)
    assert before is not None
    interrupting = Interrupting("dev", place.environment, place.clients, sleep=place.sleep, after=after)
    for _ in range(50):
        try:
            restore(interrupting, to)
        except Interrupted:
            continue
        break
    assert len(interrupting.done) >= 9, interrupting.done
    assert f"kept {after}" in rows(place, place.identifier)
    assert f"lost {after}" not in rows(place, place.identifier)
    assert [each["DbiResourceId"] for each in place.replaced()] == [before["DbiResourceId"]]
    assert place.restored() == []
    assert place.next() is None
    write(place, "served again")


def test_an_interrupted_one_is_not_mistaken_for_another_and_can_be_undone(place: Rehearsed) -> None:
    to = now_and_then(place, "e", "f")
    restore(place, to, check_only=True)
    (restored,) = place.restored()
    # As if the command had ended right before the renaming.
    place.mark_next(restored)
    place.inside(place.identifier, "close")
    for other, check_only in ((to - timedelta(seconds=1), False), (to, True)):
        with pytest.raises(OperatorError, match="was about to take over"):
            restore(place, other, check_only=check_only)
    go_back(place)
    write(place, "served again")
    assert "f" in rows(place, place.identifier)
    assert place.next() is None
    assert len(place.restored()) == 1


def test_a_restore_with_rds_defaults_does_not_take_over(place: Rehearsed) -> None:
    """A restore by hand that sets only the time has the default parameter group."""
    to = now_and_then(place, "a", "b")
    before = place.called(place.identifier)
    assert before is not None
    name = place.restored_name(to)
    while (window := place.window(before)) is None or window[1] < to:
        time.sleep(0.1)
    place.rds.restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier=place.identifier, TargetDBInstanceIdentifier=name, RestoreTime=to,
        Tags=[{"Key": "infra:restored-to", "Value": to.isoformat()}],
    )  # fmt: skip
    made = place.settled(name)
    assert (made["MultiAZ"], made["DeletionProtection"]) == (False, False)
    assert made["DBParameterGroups"][0]["DBParameterGroupName"] == "default.postgres17"
    assert "MasterUserSecret" not in made
    with pytest.raises(OperatorError) as raised:
        restore(place, to)
    for fault in ("another parameter group is in effect: track_commit_timestamp is off, declared 1", "MultiAZ is False",
                  "DBParameterGroups are default.postgres17", "VpcSecurityGroups are sg-default"):  # fmt: skip
        assert fault in str(raised.value)
    after = place.called(place.identifier)
    assert after is not None
    assert after["DbiResourceId"] == before["DbiResourceId"]
    write(place, "served all the time")


def test_check_only_changes_nothing_and_cannot_be_continued_with_another_time(place: Rehearsed) -> None:
    to = now_and_then(place, "c", "d")
    output = restore(place, to, check_only=True)
    assert "public.visitors" in output
    assert "d" in rows(place, place.identifier)
    (restored,) = place.restored()
    with pytest.raises(OperatorError, match="was begun before and does not serve yet"):
        restore(place, to - timedelta(seconds=1))
    restore(place, None)
    after = place.called(place.identifier)
    assert after is not None
    assert after["DbiResourceId"] == restored["DbiResourceId"]


def copy_table(place: Instances, table: str, instance: str) -> str:
    output = io.StringIO()
    tables.copy(place, table, "public", instance, Console(file=output, width=500))
    return output.getvalue()


def test_a_restored_table_is_copied_next_to_the_existing_one(place: Rehearsed) -> None:
    to = now_and_then(place, "g", "h")
    restore(place, to, check_only=True)
    (restored,) = place.restored()
    with as_master(place, place.identifier) as connection:
        connection.execute("alter table visitors rename to spoiled")
    try:
        output = copy_table(place, "visitors", restored["DBInstanceIdentifier"])
        new = f"visitors_restored_to_{to:%Y%m%d%H%M%S}"
        assert f"public.{new}: " in output
        assert "with the same digest as public.visitors" in output
        with as_master(place, place.identifier) as connection:
            found = {name for (_, name) in connection.execute(f"table {new}").fetchall()}
            assert "g" in found
            assert "h" not in found
            # Repeating the command does not copy again, and a changed copy is reported.
            assert copy_table(place, "visitors", restored["DBInstanceIdentifier"]) == output
            connection.execute(f"truncate {new}")
        with pytest.raises(
            OperatorError, match=r"has 0 rows with digest 0, public\.visitors in .* Is an application writing"
        ):
            copy_table(place, "visitors", restored["DBInstanceIdentifier"])
    finally:
        with as_master(place, place.identifier) as connection:
            connection.execute(f"drop table if exists {new}")
            connection.execute("alter table spoiled rename to visitors")


def test_a_table_is_copied_only_from_a_restored_or_replaced_instance_and_not_amid_a_switch(place: Rehearsed) -> None:
    for other in ("elsewhere", place.identifier):
        with pytest.raises(InputError, match=f"--from '{other}': expected a restored or replaced instance"):
            copy_table(place, "visitors", other)
    restore(place, now_and_then(place, "i", "j"), check_only=True)
    (restored,) = place.restored()
    place.mark_next(restored)
    with pytest.raises(OperatorError, match="another instance is about to serve"):
        copy_table(place, "visitors", restored["DBInstanceIdentifier"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("yesterday", "expected latest or a time with its zone"),
        ("2026-11-26T07:59:59", "the zone is missing"),
        ("2026-11-26T07:59:59.5Z", "a whole second"),
        ("2026-11-26T09:00:01Z", "in the future"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        commands.when(text, now=datetime(2026, 11, 26, 9, tzinfo=UTC))


def test_times_of_any_zone_are_read() -> None:
    found = commands.when("2026-11-26T11:29:59+03:30", now=datetime(2026, 11, 26, 9, tzinfo=UTC))
    assert found == datetime(2026, 11, 26, 7, 59, 59, tzinfo=UTC)
    assert commands.when("latest", now=datetime(2026, 11, 26, 9, tzinfo=UTC)) is None


def test_a_time_before_the_first_backup_is_refused_with_what_can_be_restored(place: Rehearsed) -> None:
    with pytest.raises(OperatorError, match=rf"cannot be restored to .* What can be: {place.identifier}: 20"):
        restore(place, datetime(2020, 1, 1, tzinfo=UTC))
    assert place.restored() == []


@dataclass(frozen=True)
class Deploying(Rehearsed):
    """A stack that changes after a number of reads from CloudFormation."""

    status: str = "UPDATE_IN_PROGRESS"
    reads_before: int = 0
    reads: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        object.__setattr__(self, "clients", _Deploying(self.clients, self))


class _Deploying:
    def __init__(self, own: Any, place: Deploying) -> None:
        self._own, self._place = own, place

    def client(self, service: str) -> Any:
        return self if service == "cloudformation" else self._own.client(service)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own.client("cloudformation"), name)

    def get_paginator(self, operation: str) -> Any:
        if operation != "describe_stacks":
            return self._own.client("cloudformation").get_paginator(operation)
        return self

    def paginate(self) -> list[dict[str, Any]]:
        self._place.reads.append("")
        status = self._place.status if len(self._place.reads) > self._place.reads_before else "UPDATE_COMPLETE"
        return [{"Stacks": [{"StackName": "daadaar-dev-api", "StackStatus": status}]}]


def deploying(place: Rehearsed, **more: Any) -> Deploying:
    return Deploying("dev", place.environment, place.clients, sleep=place.sleep, **more)


def test_nothing_is_restored_while_a_stack_changes(place: Rehearsed) -> None:
    with pytest.raises(OperatorError, match="daadaar-dev-api is UPDATE_IN_PROGRESS"):
        restore(deploying(place), None)
    with pytest.raises(OperatorError, match="daadaar-dev-api is UPDATE_IN_PROGRESS"):
        go_back(deploying(place))
    assert place.restored() == []


def test_a_release_that_begins_during_a_restore_is_waited_for_and_goes_on_undisturbed(place: Rehearsed) -> None:
    """Its migration may be in the database that serves; the restored one has none of it."""
    to = now_and_then(place, "k", "l")
    with pytest.raises(OperatorError, match="daadaar-dev-api is UPDATE_IN_PROGRESS"):
        restore(deploying(place, reads_before=1), to)
    write(place, "served all the time")
    assert place.next() is None
    assert len(place.restored()) == 1
    # Once it is over, the same command goes on.
    restore(place, to)
    assert "l" not in rows(place, place.identifier)


def test_a_switch_that_was_begun_is_ended_whatever_stacks_do(place: Rehearsed) -> None:
    """A deployment may hang because no database serves."""
    to = now_and_then(place, "m", "n")
    restore(place, to, check_only=True)
    (restored,) = place.restored()
    place.mark_next(restored)
    place.inside(place.identifier, "close")
    restore(deploying(place), to)
    write(place, "served again")
    replaced = place.replaced()[0]
    place.mark_next(replaced)
    # In the second in which it was replaced: its name is not free yet.
    at = datetime.strptime(replaced["DBInstanceIdentifier"][-14:], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    commands.back(deploying(place), Console(file=io.StringIO()), now=at)
    assert "n" in rows(place, place.identifier)


def test_a_stack_that_was_only_looked_at_is_no_deployment(place: Rehearsed) -> None:
    """`cdk diff` of a new stack may leave it so (CloudFormation, "Stack status codes")."""
    restore(deploying(place, status="REVIEW_IN_PROGRESS"), now_and_then(place, "o", "p"), check_only=True)
    assert len(place.restored()) == 1


# -- Drills

PLAN, VAULT = "daadaar_dev_data", "daadaar-dev-data"
BACKED_UP = {
    "Resources": {
        **continuous_backup({"Ref": "DatabaseArn"}, vault=VAULT, plan=VAULT),
        **restore_testing({"Ref": "DatabaseArn"}, name=PLAN, dbParameterGroupName={"Ref": "Group"}),
    },
    "Parameters": {"DatabaseArn": {"Type": "String"}, "Group": {"Type": "String"}},
    "Outputs": {"Plan": {"Value": {"Fn::GetAtt": ["Plan", "RestoreTestingPlanArn"]}}},
}


@dataclass(frozen=True)
class RehearsedDrills(Drills):
    """The function runs in this process, and finds the end when it checks."""

    def start(self) -> str:
        return str(drilling.handler({"do": "start"}, None)["job"])

    def result(self, job: str) -> Drill:
        backup = self.clients.client("backup")
        while backup.describe_restore_job(RestoreJobId=job)["Status"] not in ("COMPLETED", "FAILED"):
            time.sleep(0.1)
        drilling.handler({"detail-type": "Restore Job State Change", "detail": {"restoreJobId": job}}, None)
        return super().result(job)


@pytest.fixture
def backed_up(place: Rehearsed, monkeypatch: pytest.MonkeyPatch) -> Iterator[RehearsedDrills]:
    serving = place.called(place.identifier)
    assert serving is not None
    group = serving["DBParameterGroups"][0]["DBParameterGroupName"]
    given = {"DatabaseArn": serving["DBInstanceArn"], "Group": group}
    cloudformation, name = place.clients.client("cloudformation"), f"{STACK}-drills"
    cloudformation.create_stack(
        StackName=name,
        TemplateBody=json.dumps(BACKED_UP),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
    monkeypatch.setattr(drilling, "client", place.clients.client)
    monkeypatch.setattr(drilling, "_EVERY_SECONDS", 0.1)
    for key, value in {
        "ENVIRONMENT": "dev",
        "STATE_STORE": "/daadaar/dev/restore",
        "DATABASE": place.identifier,
        "DATABASE_ARN": serving["DBInstanceArn"],
        "PARAMETER_GROUP": group,
        "VAULT": VAULT,
        "PLAN": stack["Outputs"][0]["OutputValue"],
        "PLAN_NAME": PLAN,
        "SELECTION": "database",
    }.items():
        monkeypatch.setenv(key, value)
    environment = place.environment.model_copy(
        update={
            "database": place.environment.database.model_copy(
                update={"restore_drills": True, "rpo_minutes": 15, "rto_minutes": 240}
            )
        }
    )
    while not points(place):
        time.sleep(0.1)
    yield RehearsedDrills("dev", environment, place.clients, sleep=lambda _: time.sleep(0.05))
    gone = cloudformation.get_waiter("stack_delete_complete")
    # The first time, the vault has backups in it and stays; without the plan, no night brings new ones.
    cloudformation.delete_stack(StackName=name)
    with pytest.raises(WaiterError):
        gone.wait(StackName=name, WaiterConfig={"Delay": 1})
    store = SsmStateStore(place.clients.client("ssm"), "/daadaar/dev/restore")
    drilling.release(Request("Delete", {"Vault": VAULT}, "drills"), place.clients.client("backup"), store)
    cloudformation.delete_stack(StackName=name)
    gone.wait(StackName=name, WaiterConfig={"Delay": 1})


def points(place: Instances) -> list[Any]:
    pages = place.clients.client("backup").get_paginator("list_recovery_points_by_backup_vault")
    return [each for page in pages.paginate(BackupVaultName=VAULT) for each in page["RecoveryPoints"]]


def instances(place: Instances) -> set[str]:
    pages = place.rds.get_paginator("describe_db_instances").paginate()
    return {each["DBInstanceIdentifier"] for page in pages for each in page["DBInstances"]}


def drill(place: Drills) -> str:
    output = io.StringIO()
    drills.drill(place, Console(file=output, width=500))
    return output.getvalue()


def test_a_drill_restores_verifies_measures_and_deletes(backed_up: RehearsedDrills, place: Rehearsed) -> None:
    write(place, "before the drill")
    time.sleep(2 * CLOCK.total_seconds())
    before = instances(place)
    # RDS rotates it: the password in the backup opens nothing that anybody still knows.
    output = drill(backed_up)
    assert "verified" in output
    (result,) = backed_up.results()
    assert (result.problems, instances(place)) == ([], before)
    assert result.rpo is not None and result.rpo < 1
    assert result.rto is not None and result.rto < 5
    shown = io.StringIO()
    drills.show(backed_up, drills.drill_status(backed_up), Console(file=shown, width=500))
    assert "verified" in shown.getvalue()
    # While AWS Backup has the backups, RDS takes no other retention.
    with pytest.raises(place.rds.exceptions.ClientError, match="only with the current value 7"):
        place.rds.modify_db_instance(DBInstanceIdentifier=place.identifier, BackupRetentionPeriod=8)


def test_a_drill_that_finds_something_fails_and_deletes_all_the_same(
    backed_up: RehearsedDrills, place: Rehearsed, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = instances(place)
    monkeypatch.setenv("PARAMETER_GROUP", "the-one-of-the-stack")
    with pytest.raises(OperatorError, match=r"parameter group \S+, expected the-one-of-the-stack"):
        drill(backed_up)
    assert instances(place) == before


def test_an_environment_without_drills_says_how_to_have_them(place: Rehearsed) -> None:
    with pytest.raises(OperatorError, match=r"database\.restore_drills = true"):
        Drills("dev", place.environment, place.clients).start()
