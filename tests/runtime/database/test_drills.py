"""How a restore drill ends: once, with everything deleted that it has made, whatever fails."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from infra_runtime.contract.restore_drills import LAST, STARTED, SUCCEEDED
from infra_runtime.custom_resource import Request
from infra_runtime.database import drills
from infra_runtime.database.backups import since_drill
from infra_runtime.database.drills import DrillClients, DrillOutcome, DrillRuns, NoRecoveryPoint, ended, start, tidy

NOW = datetime(2026, 11, 26, 4, tzinfo=UTC)
PLAN = "arn:aws:backup:eu-central-1:111122223333:restore-testing-plan:product_dev_data-5f0e"
DATABASE = "arn:aws:rds:eu-central-1:111122223333:db:database"
RESTORED = "arn:aws:rds:eu-central-1:111122223333:db:awsbackup-restore-test-1"


class Remembered(dict[str, Any]):
    def put(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))
        if not value:
            del self[key]


class Backup:
    """Jobs by id, and one continuous recovery point, which its vault may lack."""

    def __init__(self, **job: Any) -> None:
        self.job: dict[str, Any] = {
            "RestoreJobId": "job-1",
            "Status": "COMPLETED",
            "CreationDate": NOW,
            "CompletionDate": NOW + timedelta(minutes=20),
            "CreatedResourceArn": RESTORED,
            **job,
        }
        self.points: list[dict[str, Any]] = [
            {"RecoveryPointArn": "old", "Status": "COMPLETED", "CreationDate": NOW - timedelta(days=9)},
            {"RecoveryPointArn": "new", "Status": "COMPLETED", "CreationDate": NOW - timedelta(days=2)},
        ]
        self.counts = [0]
        """What the vault says, call after call; the last one stays."""
        self.validated: list[tuple[str, str]] = []
        self.started: list[dict[str, Any]] = []

    def describe_restore_job(self, *, RestoreJobId: str) -> dict[str, Any]:  # noqa: N803
        assert RestoreJobId == self.job["RestoreJobId"]
        return self.job

    def put_restore_validation_result(self, **result: str) -> None:
        self.validated.append((result["ValidationStatus"], result["ValidationStatusMessage"]))

    def get_paginator(self, name: str) -> Any:
        assert name == "list_recovery_points_by_backup_vault"
        return self

    def paginate(self, **_: str) -> Any:
        yield from ({"RecoveryPoints": [each]} for each in list(self.points))

    def get_restore_testing_selection(self, **_: str) -> dict[str, Any]:
        overrides = {"multiAz": "false", "vpcSecurityGroupIds": '["sg-drills"]'}
        return {"RestoreTestingSelection": {"IamRoleArn": "role", "RestoreMetadataOverrides": overrides}}

    def get_restore_testing_inferred_metadata(self, **_: str) -> dict[str, Any]:
        return {
            "InferredMetadata": {"dbInstanceIdentifier": "theirs", "multiAz": "true", "deletionProtection": "false"}
        }

    def start_restore_job(self, **given: Any) -> dict[str, str]:
        self.started.append(given)
        return {"RestoreJobId": "job-1"}

    def disassociate_recovery_point(self, *, BackupVaultName: str, RecoveryPointArn: str) -> None:  # noqa: N803
        self.points = [each for each in self.points if each["RecoveryPointArn"] != RecoveryPointArn]

    def describe_backup_vault(self, *, BackupVaultName: str) -> dict[str, int]:  # noqa: N803
        return {"NumberOfRecoveryPoints": self.counts.pop(0) if len(self.counts) > 1 else self.counts[0]}


class Rds:
    class exceptions:  # noqa: N801
        class DBInstanceNotFoundFault(Exception): ...

    def __init__(self, *instances: str, refuses: bool = False) -> None:
        self.instances, self.refuses = set(instances), refuses

    def delete_db_instance(self, *, DBInstanceIdentifier: str, **how: bool) -> None:  # noqa: N803
        assert how == {"SkipFinalSnapshot": True, "DeleteAutomatedBackups": True}
        if self.refuses:
            raise ClientError({"Error": {"Code": "InvalidDBInstanceState"}}, "DeleteDBInstance")
        if DBInstanceIdentifier not in self.instances:
            raise self.exceptions.DBInstanceNotFoundFault
        self.instances.remove(DBInstanceIdentifier)

    def describe_db_instances(self, **_: str) -> dict[str, Any]:
        return {"DBInstances": [{"InstanceCreateTime": NOW - timedelta(days=40)}]}


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"PLAN": PLAN, "PLAN_NAME": "product_dev_data", "SELECTION": "database", "VAULT": "vault"}
    for name, value in {**names, "DATABASE_ARN": DATABASE, "ENVIRONMENT": "dev"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def store() -> Remembered:
    return Remembered()


def by_plan(**job: Any) -> Backup:
    return Backup(CreatedBy={"RestoreTestingPlanArn": PLAN}, **job)


def good(job: Mapping[str, Any], clients: DrillClients) -> DrillOutcome:
    return DrillOutcome([], 4.0, verified="12 rows of 3 of 3 tables counted")


def bad(job: Mapping[str, Any], clients: DrillClients) -> DrillOutcome:
    return DrillOutcome(["orders has 3 rows; 5 were there"])


def broken(job: Mapping[str, Any], clients: DrillClients) -> DrillOutcome:
    raise TimeoutError("it lets nobody in")


def published(capsys: pytest.CaptureFixture[str]) -> list[dict[str, float]]:
    """Published metrics, one mapping for each publication."""
    found = []
    for line in capsys.readouterr().out.splitlines():
        document = json.loads(line)
        names = [each["Name"] for each in document["_aws"]["CloudWatchMetrics"][0]["Metrics"]]
        found.append({name: document[name] for name in names})
    return found


def test_a_successful_drill_is_reported_to_aws_backup_and_measured(
    store: Remembered, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = by_plan()
    found = ended("job-1", DrillClients(backup, Rds()), store, good)
    assert backup.validated == [("SUCCESSFUL", "12 rows of 3 of 3 tables counted")]
    (metrics,) = published(capsys)
    assert metrics == {
        "RestoreDrillFailed": 0,
        "RestoreDrillRpoMinutes": 4,
        "RestoreDrillRtoMinutes": pytest.approx(20, abs=0.1),
    }
    assert store[LAST] == store[SUCCEEDED] == found
    assert 0 <= since_drill(Rds(), "database", store, now=datetime.now(UTC))["RestoreDrillDays"] < 0.01


@pytest.mark.parametrize(
    ("backup", "verify", "expected"),
    [
        (by_plan(), bad, "orders has 3 rows"),
        (by_plan(), broken, "could not be verified: TimeoutError: it lets nobody in"),
        (by_plan(Status="FAILED", StatusMessage="Access denied to KMS key."), good, "failed: Access denied to KMS key"),
        (by_plan(Status="ABORTED"), good, "aborted: AWS Backup does not say why"),
    ],
    ids=["wrong data", "cannot be read", "restore failed", "restore aborted"],
)
def test_each_failure_is_reported_once(
    backup: Backup, verify: drills.Verify, expected: str, store: Remembered, capsys: pytest.CaptureFixture[str]
) -> None:
    before = store[SUCCEEDED] = {"ended": (NOW - timedelta(days=30)).isoformat()}
    clients = DrillClients(backup, Rds())
    for _ in range(3):  # EventBridge delivers at least once.
        ended("job-1", clients, store, verify)
    assert published(capsys) == [{"RestoreDrillFailed": 1}]
    assert expected in store[LAST]["problems"][0]
    assert store[SUCCEEDED] == before
    # There is nothing to validate where nothing was restored.
    assert [status for status, _ in backup.validated] == ["FAILED"] * (backup.job["Status"] == "COMPLETED")


@pytest.mark.parametrize("verify", [good, bad, broken])
def test_an_on_demand_drill_is_deleted_whatever_its_result(verify: drills.Verify, store: Remembered) -> None:
    backup, rds = Backup(), Rds("database")
    assert start(backup, store, now=NOW) == "job-1"
    (given,) = backup.started
    assert given["RecoveryPointArn"] == "new"
    assert given["IamRoleArn"] == "role"
    name = given["Metadata"]["dbinstanceidentifier"]
    assert name.startswith("awsbackup-restore-test-")
    assert given["Metadata"] == {
        "dbinstanceidentifier": name,
        "multiaz": "false",
        "vpcsecuritygroupids": '["sg-drills"]',
        "deletionprotection": "false",
        "engine": "postgres",
        "uselatestrestorabletime": "true",
    }
    rds.instances.add(name)
    ended("job-1", DrillClients(backup, rds), store, verify)
    assert rds.instances == {"database"}
    assert backup.validated == []
    assert STARTED not in store


def test_a_failed_restore_leaves_no_instance_either(store: Remembered) -> None:
    """AWS Backup may not name it then."""
    backup = Backup(Status="FAILED")
    start(backup, store, now=NOW)
    del backup.job["CreatedResourceArn"]
    rds = Rds(store[STARTED]["instance"])
    ended("job-1", DrillClients(backup, rds), store, good)
    assert rds.instances == set()


def test_a_refused_deletion_is_repeated_at_the_next_run(store: Remembered, capsys: pytest.CaptureFixture[str]) -> None:
    backup = Backup()
    start(backup, store, now=NOW)
    rds = Rds(store[STARTED]["instance"], refuses=True)
    with pytest.raises(ClientError):
        ended("job-1", DrillClients(backup, rds), store, good)
    rds.refuses = False
    tidy(DrillClients(backup, rds), store, now=NOW)
    assert rds.instances == set()
    assert len(published(capsys)) == 1


def test_an_end_without_an_event_is_found(store: Remembered, capsys: pytest.CaptureFixture[str]) -> None:
    backup = Backup(Status="RUNNING")
    start(backup, store, now=NOW)
    clients = DrillClients(backup, Rds(store[STARTED]["instance"]))
    assert tidy(clients, store, now=NOW + timedelta(hours=11)) == {}
    tidy(clients, store, now=NOW + timedelta(hours=13))
    assert store[LAST]["problems"] == ["it has not ended after twelve hours"]
    assert published(capsys) == [{"RestoreDrillFailed": 1}]
    assert clients.rds.instances == set()


def test_a_restore_that_hangs_is_reported_once_though_rds_refuses_to_delete_it(
    store: Remembered, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = Backup(Status="RUNNING")
    start(backup, store, now=NOW)
    rds = Rds(store[STARTED]["instance"], refuses=True)
    for hours in (13, 14):
        with pytest.raises(ClientError):
            tidy(DrillClients(backup, rds), store, now=NOW + timedelta(hours=hours))
    rds.refuses = False
    tidy(DrillClients(backup, rds), store, now=NOW + timedelta(hours=15))
    assert rds.instances == set()
    assert published(capsys) == [{"RestoreDrillFailed": 1}]


def test_other_restores_are_left_alone(store: Remembered, capsys: pytest.CaptureFixture[str]) -> None:
    """A person restores the same database in AWS Backup's console."""
    rds = Rds("awsbackup-restore-test-1")
    assert ended("job-1", DrillClients(Backup(), rds), store, bad) == {}
    assert ended("job-1", DrillClients(Backup(CreatedBy={"RestoreTestingPlanArn": "another"}), rds), store, bad) == {}
    assert (store, published(capsys), rds.instances) == ({}, [], {"awsbackup-restore-test-1"})


def test_only_one_on_demand_runs_at_a_time_and_none_before_the_first_backup(store: Remembered) -> None:
    backup = Backup()
    backup.points = []
    with pytest.raises(NoRecoveryPoint, match="half past midnight"):
        start(backup, store, now=NOW)
    start(Backup(), store, now=NOW)
    with pytest.raises(DrillRuns, match="job-1"):
        start(Backup(), store, now=NOW)


def test_days_without_a_drill_are_counted_from_the_instances_beginning(store: Remembered) -> None:
    assert since_drill(Rds(), "database", store, now=NOW) == {"RestoreDrillDays": 40}


@pytest.mark.parametrize("kind", ["Backup Job State Change", "Copy Job State Change"])
def test_a_failed_backup_or_copy_of_the_database_is_counted(
    kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_STORE", "/product/dev/restore")
    monkeypatch.setattr(drills, "client", lambda _: None)
    event = {"detail-type": kind, "detail": {"resourceArn": DATABASE, "state": "FAILED", "statusMessage": "no role"}}
    assert drills.handler(event, None) == {"failed": "no role"}
    assert published(capsys) == [{"BackupJobFailed": 1}]


def test_rds_gets_its_backups_back_when_drills_end(store: Remembered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drills, "_EVERY_SECONDS", 0)
    store[LAST] = {"job": "job-1"}
    backup = Backup()
    backup.counts = [2, 1, 0]
    for kind in ("Create", "Update"):
        drills.release(Request(kind, {"Vault": "vault"}, None), backup, store)
    assert len(backup.points) == 2
    drills.release(Request("Delete", {"Vault": "vault"}, "drills:vault"), backup, store)
    assert (backup.points, store) == ([], {})
    assert backup.counts == [0], "a vault that counts recovery points cannot be deleted"


def test_a_count_that_stays_does_not_keep_the_vault(store: Remembered, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS Backup calls it an approximation; CloudFormation says whether the vault can be deleted."""
    monkeypatch.setattr(drills, "_EMPTYING_SECONDS", 0)
    backup = Backup()
    backup.counts = [1]
    drills.release(Request("Delete", {"Vault": "vault"}, "drills:vault"), backup, store)
    assert backup.points == []
