"""AWS Backup takes an instance's backups over, restores them, and ends what it has restored for a test."""

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from simulators.aws import backup
from simulators.aws.conditions import WITHOUT, Condition
from simulators.aws.process import Emulator, emulator
from simulators.redis.authority import Authority
from tests.continuous_backup import continuous_backup, restore_testing

KEYS = {"region_name": "eu-central-1", "aws_access_key_id": "111122223333", "aws_secret_access_key": "test"}
PREFIX = "arn:aws:rds:eu-central-1:111122223333:db:"
TEMPLATE = {
    "Resources": {
        "Database": {
            "Type": "AWS::RDS::DBInstance",
            "Properties": {
                "Engine": "postgres",
                "EngineVersion": "17",
                "DBInstanceClass": "db.t4g.small",
                "DBName": "app",
                "AllocatedStorage": "20",
                "StorageType": "gp3",
                "MasterUsername": "postgres",
                "ManageMasterUserPassword": True,
                "BackupRetentionPeriod": 7,
            },
        },
        **continuous_backup({"Fn::Sub": PREFIX + "${Database}"}, vault="vault", plan="plan"),
        **restore_testing({"Fn::Sub": PREFIX + "${Database}"}, name="monthly"),
    }
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    nowhere, folder = "http://127.0.0.1:9", tmp_path_factory.mktemp("emulator")
    without = [Condition.FREE_PLAN]
    with emulator(folder, cloudflare=nowhere, upstash=nowhere, authority=Authority(), without=without) as found:
        yield found


def client(running: Emulator, service: str) -> Any:
    return boto3.client(service, endpoint_url=running.url, **KEYS)


def points(running: Emulator) -> list[dict[str, Any]]:
    return list(
        client(running, "backup").list_recovery_points_by_backup_vault(BackupVaultName="vault")["RecoveryPoints"]
    )


def counted(running: Emulator) -> int:
    return int(client(running, "backup").describe_backup_vault(BackupVaultName="vault")["NumberOfRecoveryPoints"])


def test_it_takes_backups_over_restores_from_them_and_gives_them_back(running: Emulator) -> None:
    cloudformation, rds, own = (client(running, each) for each in ("cloudformation", "rds", "backup"))

    def deploy(template: dict[str, Any], how: str) -> None:
        getattr(cloudformation, f"{how}_stack")(
            StackName="data", TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_NAMED_IAM"]
        )
        cloudformation.get_waiter(f"stack_{how}_complete").wait(StackName="data", WaiterConfig={"Delay": 1})

    deploy(TEMPLATE, "create")
    give_up = time.monotonic() + 30
    while not points(running):
        assert time.monotonic() < give_up, "nothing was backed up"
        time.sleep(0.1)
    ((point,), (instance,)) = points(running), rds.describe_db_instances()["DBInstances"]
    assert point["RecoveryPointArn"].startswith(
        "arn:aws:backup:eu-central-1:111122223333:recovery-point:continuous:db-"
    )
    name = {"DBInstanceIdentifier": instance["DBInstanceIdentifier"]}
    with pytest.raises(ClientError, match="only with the current value 7"):
        rds.modify_db_instance(**name, BackupRetentionPeriod=8)

    inferred = own.get_restore_testing_inferred_metadata(
        BackupVaultName="vault", RecoveryPointArn=point["RecoveryPointArn"]
    )["InferredMetadata"]
    selection = own.get_restore_testing_selection(
        RestoreTestingPlanName="monthly", RestoreTestingSelectionName="database"
    )["RestoreTestingSelection"]
    given = {
        **inferred,
        **selection["RestoreMetadataOverrides"],
        "Engine": "postgres",
        "UseLatestRestorableTime": "true",
    }
    request = {"RecoveryPointArn": point["RecoveryPointArn"], "IamRoleArn": selection["IamRoleArn"]}
    with pytest.raises(ClientError, match="lacks engine"):
        own.start_restore_job(**request, Metadata=inferred)
    with pytest.raises(ClientError, match="Invalid restore metadata: backupretentionperiod"):
        own.start_restore_job(**request, Metadata={**given, "BackupRetentionPeriod": "0"})
    job = own.start_restore_job(**request, Metadata=given)["RestoreJobId"]
    while (found := own.describe_restore_job(RestoreJobId=job))["Status"] not in ("COMPLETED", "FAILED"):
        time.sleep(0.1)
    assert found["CreatedResourceArn"] == PREFIX + inferred["dbInstanceIdentifier"], found.get("StatusMessage")
    restored = {"DBInstanceIdentifier": inferred["dbInstanceIdentifier"]}
    (made,) = rds.describe_db_instances(**restored)["DBInstances"]
    assert [each["VpcSecurityGroupId"] for each in made["VpcSecurityGroups"]] == ["sg-drills"]
    # Not a restore test: the instance stays, and there is nothing to validate.
    with pytest.raises(ClientError, match="is not being validated"):
        own.put_restore_validation_result(RestoreJobId=job, ValidationStatus="SUCCESSFUL")
    rds.delete_db_instance(**restored, SkipFinalSnapshot=True)

    own.disassociate_recovery_point(BackupVaultName="vault", RecoveryPointArn=point["RecoveryPointArn"])
    # It would be backed up again the next night.
    kept = {name: each for name, each in TEMPLATE["Resources"].items() if name in ("Database", "Vault", "Role")}
    deploy({"Resources": kept}, "update")
    for each in points(running):
        own.disassociate_recovery_point(BackupVaultName="vault", RecoveryPointArn=each["RecoveryPointArn"])
    rds.modify_db_instance(**name, BackupRetentionPeriod=8)

    assert points(running) == []
    assert counted(running) > 0
    give_up = time.monotonic() + 30
    while counted(running):
        assert time.monotonic() < give_up, "the vault still counts what has gone"
        time.sleep(0.1)


class Rds:
    """Instances that are restored at once, or never."""

    def __init__(self, instances: dict[str, Any], ends: str) -> None:
        self.instances, self.ends = instances, ends

    def restore_db_instance_to_point_in_time(self, **given: Any) -> dict[str, Any]:
        name = given["TargetDBInstanceIdentifier"]
        self.instances[name] = {
            "DBInstanceIdentifier": name,
            "DbiResourceId": "db-NEW",
            "DBInstanceStatus": self.ends,
            "TagList": given["Tags"],
        }
        return {"DBInstance": self.instances[name]}

    def delete_db_instance(self, *, DBInstanceIdentifier: str, SkipFinalSnapshot: bool) -> None:  # noqa: N803
        del self.instances[DBInstanceIdentifier]


@pytest.fixture
def tested(monkeypatch: pytest.MonkeyPatch) -> Iterator[Rds]:
    """A plan with a database and its recovery point, beside RDS in memory."""
    monkeypatch.setenv(WITHOUT, Condition.IAM)
    serving = {"DBInstanceIdentifier": "one", "DBInstanceArn": f"{PREFIX}one", "DbiResourceId": "db-ONE"}
    rds = Rds({"one": {**serving, "DBInstanceStatus": "available", "TagList": []}}, "available")
    messages: list[dict[str, Any]] = []
    monkeypatch.setattr("ministack.services.rds._instances", rds.instances)
    monkeypatch.setattr(backup, "client", lambda _: rds)
    monkeypatch.setattr(backup, "_tell", lambda kind, **detail: messages.append(detail))
    monkeypatch.setattr(backup, "_HOUR_SECONDS", 0.1)
    monkeypatch.setattr(backup, "_EVERY_SECONDS", 0.01)
    point = {
        "RecoveryPointArn": "point",
        "BackupVaultArn": "vault",
        "ResourceArn": f"{PREFIX}one",
        "_instance": "db-ONE",
    }
    monkeypatch.setattr(backup, "points", {"point": {**point, "CreationDate": time.time()}})
    selection = {
        "ProtectedResourceArns": [f"{PREFIX}one"],
        "IamRoleArn": "role",
        "ValidationWindowHours": 8,
        "RestoreMetadataOverrides": {"vpcSecurityGroupIds": '["sg-drills"]'},
    }
    plan = {
        "RestoreTestingPlanArn": "plan-arn",
        "RecoveryPointSelection": {"IncludeVaults": ["vault"], "RecoveryPointTypes": ["CONTINUOUS"]},
        "_selections": {"database": selection},
    }
    monkeypatch.setattr(backup, "plans", {"monthly": plan})
    yield rds
    assert [each["status"] for each in messages] == ["COMPLETED" if rds.ends == "available" else "FAILED"]
    assert messages[0]["restoreTestingPlanArn"] == "plan-arn"
    assert rds.instances.keys() == {"one"}, "what was restored has to go, whatever came of it"


def wait(job: dict[str, Any], key: str, *values: str) -> None:
    give_up = time.monotonic() + 10
    while job.get(key) not in values:
        assert time.monotonic() < give_up, str(job)
        time.sleep(0.01)


def ended(job: dict[str, Any]) -> dict[str, Any]:
    wait(job, "DeletionStatus", "SUCCESSFUL", "FAILED")
    return job


def test_a_restored_instance_is_deleted_once_it_is_validated(tested: Rds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backup, "_HOUR_SECONDS", 10)
    (job,) = backup.run_test("monthly")
    wait(job, "ValidationStatus", "VALIDATING")
    assert job["CreatedBy"] == {"RestoreTestingPlanArn": "plan-arn"}
    assert len(tested.instances) == 2
    backup._validate(job["RestoreJobId"], {"ValidationStatus": "FAILED", "ValidationStatusMessage": "two rows missing"})
    assert ended(job)["ValidationStatus"] == "FAILED"


def test_a_restore_that_is_not_validated_is_deleted_when_its_window_is_over(tested: Rds) -> None:
    (job,) = backup.run_test("monthly")
    assert ended(job)["ValidationStatus"] == "TIMED_OUT"
    with pytest.raises(backup.BackupError, match="is not being validated"):
        backup._validate(job["RestoreJobId"], {"ValidationStatus": "SUCCESSFUL"})


def test_a_failed_restore_is_reported_and_leaves_nothing(tested: Rds) -> None:
    tested.ends = "incompatible-restore"
    (job,) = backup.run_test("monthly")
    assert ended(job)["Status"] == "FAILED"
    assert "incompatible-restore" in job["StatusMessage"]
    assert "ValidationStatus" not in job
