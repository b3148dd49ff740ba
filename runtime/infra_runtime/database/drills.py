"""Restore drills: AWS Backup restores the database to an instance of its own, this verifies the data that is in it.

AWS Backup deletes what its restore testing plan has restored, once the result is put (its guide, "Restore testing").
It deletes nothing that StartRestoreJob has restored: that is done here.
"""

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from infra_runtime.aws import client
from infra_runtime.contract.metrics import DATABASE, DatabaseMetric, emit
from infra_runtime.contract.restore_drills import LAST, STARTED, SUCCEEDED, Drill
from infra_runtime.custom_resource import Request, Result, serve
from infra_runtime.database.connection import Connection, Login, connect
from infra_runtime.database.contents import Rows
from infra_runtime.database.inspection import contents_of, count, first_commit_after
from infra_runtime.database.instance import instance_called, serving
from infra_runtime.database.verification import CLOCK, Inspected, deviations, problems
from infra_runtime.reporting import report, reported
from infra_runtime.state_store import SsmStateStore, StateStore

# Together less than the function's quarter of an hour.
_LOGIN_SECONDS, _COUNTING_SECONDS = 400.0, 100.0
_EVERY_SECONDS = 5.0
_EMPTYING_SECONDS = 300.0
# Names of what AWS Backup restores for a test begin with it, and backup plans leave them alone (its guide).
PREFIX = "awsbackup-restore-test-"
_LONGEST_DRILL = timedelta(hours=12)
# PutRestoreValidationResult documents no limit; an answer that is refused for its length would be a lost one.
_LONGEST_MESSAGE = 1000
# A parameter of Systems Manager takes eight kilobytes.
_LONGEST_PROBLEM, _MOST_PROBLEMS = 300, 10


class NoRecoveryPoint(Exception):
    """AWS Backup has nothing yet that a drill could restore."""


class DrillRuns(Exception):
    """Another one has not ended."""


@dataclass(frozen=True)
class DrillOutcome:
    problems: list[str]
    rpo: float = 0.0
    """Minutes."""
    rto: float = 0.0
    """Minutes."""
    verified: str = ""
    """What was verified, as a sentence."""


@dataclass(frozen=True)
class DrillClients:
    backup: Any
    rds: Any


@reported
def handler(event: Mapping[str, Any], context: object) -> Any:
    """Events of AWS Backup; CloudFormation's, for `Custom::DatabaseDrills`; and what `infra restore drill` asks."""
    store = SsmStateStore(client("ssm"), os.environ["STATE_STORE"])
    clients = DrillClients(client("backup"), client("rds"))
    if "RequestType" in event:
        return serve(event, lambda request: release(request, clients.backup, store))
    match event.get("do") or event["detail-type"]:
        case "start":
            return {"job": start(clients.backup, store, now=datetime.now(UTC))}
        case "tidy":
            return tidy(clients, store, now=datetime.now(UTC))
        case "Restore Job State Change":
            return ended(event["detail"]["restoreJobId"], clients, store, verified)
        case "Backup Job State Change" | "Copy Job State Change":
            return failed_backup(event["detail"])
        case other:
            raise ValueError(f"unknown event {other!r}")


# -- On demand


def start(backup: Any, store: StateStore, *, now: datetime) -> str:
    """Restores as the plan would, at once: restore testing plans run by their schedule only. The id of the job.

    Raises `NoRecoveryPoint` and `DrillRuns`.
    """
    if (running := store.get(STARTED)) is not None:
        raise DrillRuns(f"{running['job']} of {running['began'][:19]} UTC has not ended; infra restore list shows it")
    vault = os.environ["VAULT"]
    pages = backup.get_paginator("list_recovery_points_by_backup_vault").paginate(
        BackupVaultName=vault, ByResourceArn=os.environ["DATABASE_ARN"]
    )
    points = [each for page in pages for each in page["RecoveryPoints"] if each["Status"] in ("COMPLETED", "AVAILABLE")]
    if not points:
        raise NoRecoveryPoint("AWS Backup has not backed the database up yet; it does each night at half past midnight")
    point = max(points, key=lambda each: each["CreationDate"])["RecoveryPointArn"]
    selection = backup.get_restore_testing_selection(
        RestoreTestingPlanName=os.environ["PLAN_NAME"], RestoreTestingSelectionName=os.environ["SELECTION"]
    )["RestoreTestingSelection"]
    inferred = backup.get_restore_testing_inferred_metadata(BackupVaultName=vault, RecoveryPointArn=point)
    # "Key values are not case sensitive" (AWS Backup guide, "Restore testing inferred metadata").
    metadata = {key.lower(): value for key, value in inferred["InferredMetadata"].items()}
    metadata |= {key.lower(): value for key, value in selection["RestoreMetadataOverrides"].items()}
    # What the guide has required for a continuous recovery point ("Metadata parameters for RDS PITR restore").
    metadata |= {"engine": "postgres", "uselatestrestorabletime": "true"}
    instance = metadata["dbinstanceidentifier"] = f"{PREFIX}{secrets.token_hex(8)}"
    job = backup.start_restore_job(
        RecoveryPointArn=point,
        Metadata=metadata,
        IamRoleArn=selection["IamRoleArn"],
        ResourceType="RDS",
        IdempotencyToken=instance,
    )["RestoreJobId"]
    store.put(STARTED, {"job": job, "began": now.isoformat(), "instance": instance})
    return str(job)


def tidy(clients: DrillClients, store: StateStore, *, now: datetime) -> dict[str, Any]:
    """Ends a drill whose end was never reported: AWS Backup's events are best effort."""
    if (running := store.get(STARTED)) is None:
        return {}
    job = clients.backup.describe_restore_job(RestoreJobId=running["job"])
    if job["Status"] in ("COMPLETED", "FAILED", "ABORTED"):
        return ended(running["job"], clients, store, verified)
    if _is_concluded(running["job"], store):
        _delete_on_demand(running["job"], clients.rds, store)
    elif now - datetime.fromisoformat(running["began"]) > _LONGEST_DRILL:
        return _conclude(job, DrillOutcome(["it has not ended after twelve hours"]), clients, store)
    return {}


# -- Events of AWS Backup

Verify = Callable[[Mapping[str, Any], DrillClients], DrillOutcome]


def ended(job_id: str, clients: DrillClients, store: StateStore, verify: Verify) -> dict[str, Any]:
    """Concludes a drill once, however often AWS Backup reports its end. Ignores restores that are not our drills."""
    job = clients.backup.describe_restore_job(RestoreJobId=job_id)
    if not _is_ours(job, store):
        return {}
    if _is_concluded(job_id, store):
        _delete_on_demand(job_id, clients.rds, store)
        return {}
    if job["Status"] != "COMPLETED":
        found = [f"the restore has {job['Status'].lower()}: {job.get('StatusMessage', 'AWS Backup does not say why')}"]
        return _conclude(job, DrillOutcome(found), clients, store)
    began = time.monotonic()
    try:
        outcome = verify(job, clients)
    except Exception as error:  # A drill that could not be verified has failed, and what it restored has to go.
        report(error)
        outcome = DrillOutcome([f"it could not be verified: {type(error).__name__}: {error}"])
    seconds = (job["CompletionDate"] - job["CreationDate"]).total_seconds() + time.monotonic() - began
    return _conclude(job, replace(outcome, rto=seconds / 60), clients, store)


def failed_backup(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Records a failed backup of the database, or a failed copy of it. The rule forwards nothing else."""
    emit(DATABASE, _dimensions(), {DatabaseMetric.BACKUP_JOB_FAILED.value: 1}, why=detail.get("statusMessage", ""))
    return {"failed": detail.get("statusMessage", "")}


def _is_ours(job: Mapping[str, Any], store: StateStore) -> bool:
    return _is_by_plan(job) or (store.get(STARTED) or {}).get("job") == job["RestoreJobId"]


def _is_concluded(job_id: str, store: StateStore) -> bool:
    return bool((store.get(LAST) or {}).get("job") == job_id)


def _is_by_plan(job: Mapping[str, Any]) -> bool:
    return bool(job.get("CreatedBy", {}).get("RestoreTestingPlanArn") == os.environ["PLAN"])


def _conclude(
    job: Mapping[str, Any], outcome: DrillOutcome, clients: DrillClients, store: StateStore
) -> dict[str, Any]:
    """Remembers the result first: what fails afterwards must not conclude it a second time."""
    found = outcome.problems
    drill = asdict(
        Drill(
            job=job["RestoreJobId"],
            began=job["CreationDate"].astimezone(UTC).isoformat(),
            ended=datetime.now(UTC).isoformat(),
            problems=[each[:_LONGEST_PROBLEM] for each in found[:_MOST_PROBLEMS]],
            rpo=None if found else outcome.rpo,
            rto=None if found else outcome.rto,
            told=outcome.verified,
        )
    )
    store.put(LAST, drill)
    values: dict[str, float] = {DatabaseMetric.DRILL_FAILED.value: 1 if found else 0}
    if not found:
        store.put(SUCCEEDED, drill)
        values |= {DatabaseMetric.DRILL_RPO.value: outcome.rpo, DatabaseMetric.DRILL_RTO.value: outcome.rto}
    emit(DATABASE, _dimensions(), values, drill=drill)
    _delete_on_demand(job["RestoreJobId"], clients.rds, store)
    if job["Status"] == "COMPLETED" and _is_by_plan(job):
        # AWS Backup deletes what it has restored when it has this, and otherwise at the end of the validation window.
        clients.backup.put_restore_validation_result(
            RestoreJobId=job["RestoreJobId"],
            ValidationStatus="FAILED" if found else "SUCCESSFUL",
            ValidationStatusMessage="; ".join(found or [outcome.verified])[:_LONGEST_MESSAGE],
        )
    return drill


def _delete_on_demand(job_id: str, rds: Any, store: StateStore) -> None:
    """If RDS refuses, as it does while it modifies the instance, the next run deletes it (`tidy`)."""
    running = store.get(STARTED)
    if running is None or running["job"] != job_id:
        return
    with contextlib.suppress(rds.exceptions.DBInstanceNotFoundFault):
        rds.delete_db_instance(
            DBInstanceIdentifier=running["instance"], SkipFinalSnapshot=True, DeleteAutomatedBackups=True
        )
    store.put(STARTED, None)


def _restored_name(job: Mapping[str, Any]) -> str:
    return str(job.get("CreatedResourceArn", "")).rpartition(":")[2]


def _dimensions() -> dict[str, str]:
    return {"Environment": os.environ["ENVIRONMENT"]}


# -- Verifying the data


def verified(job: Mapping[str, Any], clients: DrillClients) -> DrillOutcome:
    """The outcome without the RTO. Raises every error that prevents the verification."""
    name = _restored_name(job)
    parameters = json.loads(os.environ["PARAMETERS"])
    with _entered(name, clients.rds) as connection:
        contents = contents_of(connection, parameters)
        names = [each.name for each in contents.tables]
        restored = Inspected(contents, _counted(connection, names, job["CreationDate"]))
    found = list(_other_settings(name, clients.rds))
    newest = restored.newest
    if newest is None:
        return DrillOutcome(
            [*found, *problems(restored, job["CreationDate"], None), "no row tells when it was committed"]
        )
    with instance_called(serving()).connect() as connection:
        contents = contents_of(connection, parameters)
        names = [each.name for each in contents.tables]
        beside = Inspected(contents, _counted(connection, names, newest - CLOCK))
        lost = first_commit_after(connection, names, newest, seconds=_COUNTING_SECONDS)
    found += [*problems(restored, newest, beside), *deviations(restored, beside, newest - CLOCK)]
    rpo = max(0.0, (job["CreationDate"] - lost).total_seconds() / 60) if lost else 0.0
    rows = [each.count for each in restored.rows.values() if each.count is not None]
    text = (
        f"{sum(rows)} rows of {len(rows)} of {len(restored.contents.tables)} tables counted, up to"
        f" {newest:%Y-%m-%d %H:%M:%S} UTC; schema {restored.contents.schema}"
    )
    return DrillOutcome(found, rpo, verified=text)


def _counted(connection: Connection, names: list[str], until: datetime) -> dict[str, Rows]:
    """The smallest tables first; a large one may not be counted in time."""
    return count(connection, names, until, seconds=_COUNTING_SECONDS) if names else {}


def _entered(name: str, rds: Any) -> Connection:
    """Connects with a new master password that is not stored anywhere.

    The one it was restored with is that of the backup's time, which RDS has rotated since; RDS manages none for an
    instance that was restored. Raises `TimeoutError`.
    """
    password, is_set, give_up = secrets.token_urlsafe(30), False, time.monotonic() + _LOGIN_SECONDS
    while True:
        try:
            if not is_set:
                rds.modify_db_instance(DBInstanceIdentifier=name, MasterUserPassword=password, ApplyImmediately=True)
                is_set = True
            (instance,) = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
            endpoint = {"PGHOST": instance["Endpoint"]["Address"], "PGPORT": str(instance["Endpoint"]["Port"])}
            return connect(Login(instance["MasterUsername"], password), {**os.environ, **endpoint})
        # It is being backed up for the first time, or the password has not been set yet.
        except (rds.exceptions.InvalidDBInstanceStateFault, psycopg.OperationalError) as error:
            if time.monotonic() > give_up:
                raise TimeoutError(f"{name} accepts no connection: {error}") from None
            time.sleep(_EVERY_SECONDS)


def _other_settings(name: str, rds: Any) -> list[str]:
    """What RDS itself says of the instance."""
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    groups = {each["DBParameterGroupName"] for each in instance["DBParameterGroups"]}
    found = []
    if groups != {os.environ["PARAMETER_GROUP"]}:
        found.append(f"parameter group {', '.join(groups)}, expected {os.environ['PARAMETER_GROUP']}")
    if instance.get("PubliclyAccessible"):
        found.append("it is publicly accessible")
    return found


# -- Without drills


def release(request: Request, backup: Any, store: StateStore) -> Result:
    """On Delete, forgets the drills and gives continuous backup back to RDS, which goes on with the same retention.

    When AWS Backup deletes such a recovery point itself, at the end of its retention, RDS restarts the instance and may
    be left without backups (AWS Backup guide, "Stopping or deleting continuous backups").
    """
    vault = request.properties["Vault"]
    if request.kind == "Delete":
        pages = backup.get_paginator("list_recovery_points_by_backup_vault").paginate(BackupVaultName=vault)
        for point in [each["RecoveryPointArn"] for page in pages for each in page["RecoveryPoints"]]:
            backup.disassociate_recovery_point(BackupVaultName=vault, RecoveryPointArn=point)
        _await_empty(vault, backup)
        for key in (STARTED, LAST, SUCCEEDED):
            store.put(key, None)
    return Result(physical_id=f"drills:{vault}")


def _await_empty(vault: str, backup: Any) -> None:
    """CloudFormation deletes the vault next. AWS Backup refuses that for some seconds, although no recovery point is
    listed any more (terraform-provider-aws #37774, delstack #370).

    The count "can be an approximation" (API reference, DescribeBackupVault), so one that stays fails nothing here.
    """
    give_up = time.monotonic() + _EMPTYING_SECONDS
    while backup.describe_backup_vault(BackupVaultName=vault)["NumberOfRecoveryPoints"] and time.monotonic() < give_up:
        time.sleep(_EVERY_SECONDS)
