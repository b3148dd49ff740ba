"""AWS Backup: continuous backups of RDS by plan, restores from them, and restore testing (AWS Backup developer guide).

Vaults, plans and selections are MiniStack's own records. Its clock runs fast: a night lasts a second, as does the hour
that a validation window is counted in. Testing plans follow the real clock.
"""

import contextlib
import json
import re
import secrets
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import backup, eventbridge, rds

from simulators.aws.authorization import BY_PATH, Need, denial_of
from simulators.aws.conditions import Condition, is_on
from simulators.aws.database_servers import run_in_background
from simulators.aws.resource_type import client
from simulators.aws.service_principals import can_enter

SERVICE = "backup"
# API reference, RestoreTestingPlanForUpdate. Its "?" is in a field where EventBridge allows none.
_DEFAULT_SCHEDULE = "cron(0 5 * * ? *)"
_NIGHT_SECONDS, _HOUR_SECONDS, _EVERY_SECONDS = 1.0, 1.0, 0.2
_COUNTING_SECONDS = 3.0
# "Restore testing inferred metadata": what may be overridden for an RDS instance; case does not matter.
_OVERRIDABLE = {
    "allocatedstorage", "availabilityzones", "dbinstanceclass", "dbname", "dbparametergroupname", "dbsubnetgroupname",
    "domain", "domainiamrolename", "enablecloudwatchlogsexports", "enableiamdatabaseauthentication", "iops",
    "licensemodel", "multiaz", "optiongroupname", "port", "processorfeatures", "publiclyaccessible", "storagetype",
    "vpcsecuritygroupids",
}  # fmt: skip
# Metadata of a restore, and the argument of RDS that each becomes.
_TEXTS = {
    "dbinstanceidentifier": "TargetDBInstanceIdentifier", "dbinstanceclass": "DBInstanceClass",
    "dbparametergroupname": "DBParameterGroupName", "dbsubnetgroupname": "DBSubnetGroupName",
    "storagetype": "StorageType", "restoretime": "RestoreTime",
}  # fmt: skip
_SWITCHES = {
    "multiaz": "MultiAZ", "publiclyaccessible": "PubliclyAccessible", "deletionprotection": "DeletionProtection",
    "uselatestrestorabletime": "UseLatestRestorableTime",
}  # fmt: skip
_LISTS = {"vpcsecuritygroupids": "VpcSecurityGroupIds"}
# "Additionally, AWS Backup accepts the following information-only attributes" (guide, "Restore an RDS database").
_IGNORED = {"engine", "engineversion", "kmskeyid", "encrypted", "vpcid"}
TAG = "awsbackup-restore-test"
Record = dict[str, Any]

points: dict[str, Record] = {}
plans: dict[str, Record] = {}
"""Restore testing plans, by name."""
jobs: dict[str, Record] = {}


class BackupError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


# -- Backups


def keep(selection_id: str) -> None:
    """Carries out the plan of a selection, night after night, until the selection is deleted."""
    run_in_background(_nights, selection_id)


def _nights(selection_id: str) -> None:
    while (selection := backup._selections.get(selection_id)) is not None:
        plan = backup._plans.get(selection["BackupPlanId"], {})
        for rule in plan.get("BackupPlan", plan).get("Rules", []):
            for arn in selection["Resources"]:
                _back_up(arn, rule, selection["IamRoleArn"])
        time.sleep(_NIGHT_SECONDS)


def _back_up(arn: str, rule: Record, role: str) -> None:
    """AWS Backup takes the instance's automated backups over ("Continuous backups and point-in-time recovery")."""
    instance = rds._instances.get(arn.rpartition(":")[2])
    if instance is None or not rule.get("EnableContinuousBackup") or instance.get("AwsBackupRecoveryPointArn"):
        return
    refusal = _refusal(role, "rds:ModifyDBInstance", [arn])
    if refusal or "LatestRestorableTime" not in instance:
        if refusal:
            _tell("Backup Job State Change", state="FAILED", resourceArn=arn, resourceType="RDS", statusMessage=refusal)
        return
    point = f"{_prefix('backup')}recovery-point:continuous:{instance['DbiResourceId'].lower()}-{secrets.token_hex(4)}"
    days = int(rule.get("Lifecycle", {}).get("DeleteAfterDays", 35))
    points[point] = {
        "RecoveryPointArn": point,
        "BackupVaultName": rule["TargetBackupVaultName"],
        "BackupVaultArn": backup._vault_arn(rule["TargetBackupVaultName"]),
        "ResourceArn": arn,
        "ResourceType": "RDS",
        "CreationDate": time.time(),
        "Status": "COMPLETED",
        "IamRoleArn": role,
        "Lifecycle": {"DeleteAfterDays": days},
        "_instance": instance["DbiResourceId"],
    }
    _count(rule["TargetBackupVaultName"], 1)
    # "AWS Backup will intelligently schedule your backup windows"; which one it takes is not documented.
    instance |= {
        "AwsBackupRecoveryPointArn": point,
        "BackupRetentionPeriod": days,
        "PreferredBackupWindow": "05:18-05:48",
    }


def _refusal(role: str, action: str, resources: list[str]) -> str | None:
    if not can_enter("backup.amazonaws.com", role):
        return "IAM Role cannot be assumed by AWS Backup."
    return denial_of(role, "AWSBackup", *(Need(action, each) for each in resources))


def _prefix(service: str) -> str:
    return f"arn:aws:{service}:{get_region()}:{get_account_id()}:"


# -- Restores


def inferred() -> dict[str, str]:
    return {
        "dbInstanceIdentifier": f"{TAG}-{uuid.uuid4()}",
        "deletionProtection": "false",
        "multiAz": "false",
        "publiclyAccessible": "false",
    }


def start_job(point: str, metadata: dict[str, str], role: str, created_by: str | None = None, hours: int = 0) -> Record:
    """`created_by` is the ARN of a testing plan, `hours` its validation window.

    Raises `BackupError`. What RDS refuses makes the job fail, not this call.
    """
    if point not in points:
        raise BackupError("ResourceNotFoundException", f"Recovery point {point} not found.")
    wanted = {key.lower(): value for key, value in metadata.items()}
    if unknown := wanted.keys() - _TEXTS.keys() - _SWITCHES.keys() - _LISTS.keys() - _IGNORED - _OVERRIDABLE:
        raise BackupError("InvalidParameterValueException", f"Invalid restore metadata: {', '.join(sorted(unknown))}")
    if missing := {"dbinstanceidentifier", "engine"} - wanted.keys():
        raise BackupError("MissingParameterValueException", f"Restore metadata lacks {', '.join(sorted(missing))}")
    job: Record = {
        "RestoreJobId": str(uuid.uuid4()),
        "AccountId": get_account_id(),
        "RecoveryPointArn": point,
        "RecoveryPointCreationDate": points[point]["CreationDate"],
        "SourceResourceArn": points[point]["ResourceArn"],
        "BackupVaultArn": points[point]["BackupVaultArn"],
        "CreationDate": time.time(),
        "Status": "PENDING",
        "IamRoleArn": role,
        "ResourceType": "RDS",
        **({"CreatedBy": {"RestoreTestingPlanArn": created_by}} if created_by else {}),
        "_hours": hours,
    }
    jobs[job["RestoreJobId"]] = job
    run_in_background(_restore, job, wanted)
    return job


def _restore(job: Record, wanted: dict[str, str]) -> None:
    try:
        name = _begin_restore(job, wanted)
        job["Status"] = "RUNNING"
        while (status := rds._instances[name]["DBInstanceStatus"]) in ("creating", "backing-up", "modifying"):
            time.sleep(_EVERY_SECONDS)
        job["CreatedResourceArn"] = f"{_prefix('rds')}db:{name}"
        if status != "available":
            raise BackupError("FAILED", f"DB instance {name} is in the state {status}")
    except Exception as error:  # The job's message is RDS's error.
        job |= {"Status": "FAILED", "StatusMessage": str(error)}
    else:
        job |= {"Status": "COMPLETED", "PercentDone": "100.00%"}
        if "CreatedBy" in job:
            job["ValidationStatus"] = "VALIDATING"
    job["CompletionDate"] = time.time()
    _tell_of(job)
    if "CreatedBy" in job:
        _end_test(job)


def _begin_restore(job: Record, wanted: dict[str, str]) -> str:
    kept = points[job["RecoveryPointArn"]]["_instance"]
    source = next((each for each in rds._instances.values() if each["DbiResourceId"] == kept), None)
    if source is None:
        raise BackupError("FAILED", f"DBInstanceAutomatedBackup {kept} not found.")
    resources = [source["DBInstanceArn"], f"{_prefix('rds')}db:{wanted['dbinstanceidentifier']}"]
    if refusal := _refusal(job["IamRoleArn"], "rds:RestoreDBInstanceToPointInTime", resources):
        raise BackupError("FAILED", refusal)
    arguments: Record = {_TEXTS[key]: value for key, value in wanted.items() if key in _TEXTS}
    arguments |= {_SWITCHES[key]: value.lower() == "true" for key, value in wanted.items() if key in _SWITCHES}
    arguments |= {_LISTS[key]: json.loads(value) for key, value in wanted.items() if key in _LISTS}
    if "CreatedBy" in job:
        arguments["Tags"] = [{"Key": TAG, "Value": job["CreatedBy"]["RestoreTestingPlanArn"]}]
    made = client("rds").restore_db_instance_to_point_in_time(
        SourceDBInstanceIdentifier=source["DBInstanceIdentifier"], **arguments
    )
    return str(made["DBInstance"]["DBInstanceIdentifier"])


def _tell_of(job: Record) -> None:
    """Fields as the guide's examples have them ("Monitoring AWS Backup events using Amazon EventBridge")."""
    names = {
        "restoreJobId": "RestoreJobId", "resourceType": "ResourceType", "status": "Status",
        "createdResourceArn": "CreatedResourceArn", "recoveryPointArn": "RecoveryPointArn",
        "sourceResourceArn": "SourceResourceArn", "backupVaultArn": "BackupVaultArn", "iamRoleArn": "IamRoleArn",
        "statusMessage": "StatusMessage",
    }  # fmt: skip
    detail = {name: job[key] for name, key in names.items() if key in job}
    detail |= {
        name: _iso(job[key]) for name, key in (("creationDate", "CreationDate"), ("completionDate", "CompletionDate"))
    }
    if "CreatedBy" in job:
        detail["restoreTestingPlanArn"] = job["CreatedBy"]["RestoreTestingPlanArn"]
    _tell("Restore Job State Change", **detail)


def _tell(kind: str, **detail: Any) -> None:
    entry = {"Source": "aws.backup", "DetailType": kind, "Detail": json.dumps(detail), "Resources": []}
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


# -- Restore testing


def follow_schedule(name: str) -> None:
    """Runs a testing plan, which is in UTC here, whenever its schedule says, as long as it has this schedule."""
    run_in_background(_follow_schedule, name, plans[name].get("ScheduleExpression", _DEFAULT_SCHEDULE))


def _follow_schedule(name: str, schedule: str) -> None:
    fields = eventbridge._parse_cron_fields(schedule)
    following = eventbridge._cron_next_fire(fields, datetime.now(UTC))
    while following is not None and plans.get(name, {}).get("ScheduleExpression", _DEFAULT_SCHEDULE) == schedule:
        if datetime.now(UTC) >= following:
            run_test(name)
            following = eventbridge._cron_next_fire(fields, following)
        time.sleep(_EVERY_SECONDS)


def _update(name: str, changes: Record) -> Record:
    if name not in plans:
        raise BackupError("ResourceNotFoundException", f"Restore testing plan {name} not found.")
    schedule = changes.get("ScheduleExpression")
    if schedule is not None and eventbridge._parse_cron_fields(schedule) is None:
        raise BackupError("InvalidParameterValueException", f"Invalid schedule expression: {schedule}")
    is_new = schedule not in (None, plans[name].get("ScheduleExpression"))
    plans[name] |= changes
    if is_new:
        follow_schedule(name)
    values = {"RestoreTestingPlanName": name, "RestoreTestingPlanArn": plans[name]["RestoreTestingPlanArn"]}
    return {**values, "CreationTime": time.time(), "UpdateTime": time.time()}


def run_test(name: str) -> list[Record]:
    """Runs a testing plan: starts one restore for each resource with an eligible recovery point."""
    plan, started = plans[name], []
    chosen = plan["RecoveryPointSelection"]
    oldest = time.time() - int(chosen.get("SelectionWindowDays", 30)) * 86_400
    for selection in plan["_selections"].values():
        for arn in selection["ProtectedResourceArns"]:
            eligible = [
                each
                for each in points.values()
                if each["ResourceArn"] == arn
                and each["BackupVaultArn"] in chosen["IncludeVaults"]
                # A continuous recovery point reaches up to now.
                and "CONTINUOUS" in chosen["RecoveryPointTypes"]
                and each["CreationDate"] >= oldest
            ]
            if eligible:
                point = max(eligible, key=lambda each: float(each["CreationDate"]))
                metadata = {
                    **{key.lower(): value for key, value in inferred().items()},
                    **{key.lower(): value for key, value in selection.get("RestoreMetadataOverrides", {}).items()},
                    "engine": "postgres",
                    "uselatestrestorabletime": "true",
                }
                started.append(
                    start_job(
                        point["RecoveryPointArn"],
                        metadata,
                        selection["IamRoleArn"],
                        plan["RestoreTestingPlanArn"],
                        int(selection.get("ValidationWindowHours", 0)),
                    )
                )
    return started


def _end_test(job: Record) -> None:
    """Deletes the restored database when it is validated or its window is over, even if no API call asks for it."""
    over = time.monotonic() + job["_hours"] * _HOUR_SECONDS
    while job.get("ValidationStatus") == "VALIDATING" and time.monotonic() < over:
        time.sleep(_EVERY_SECONDS)
    if job.get("ValidationStatus") == "VALIDATING":
        job["ValidationStatus"] = "TIMED_OUT"
    if "CreatedResourceArn" not in job:
        return
    name = job["CreatedResourceArn"].rpartition(":")[2]
    if name in rds._instances and not any(each["Key"] == TAG for each in rds._instances[name]["TagList"]):
        job |= {"DeletionStatus": "FAILED", "DeletionStatusMessage": f"{name} has no tag {TAG}"}
        return
    job["DeletionStatus"] = "DELETING"
    with contextlib.suppress(Exception):
        client("rds").delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    job["DeletionStatus"] = "SUCCESSFUL" if name not in rds._instances else "FAILED"


def check_overrides(overrides: dict[str, str]) -> None:
    """Raises `BackupError`. Lists are JSON in a string."""
    if unknown := [key for key in overrides if key.lower() not in _OVERRIDABLE]:
        raise BackupError("InvalidParameterValueException", f"Invalid restore metadata override: {', '.join(unknown)}")
    for key, value in overrides.items():
        if key.lower() in _LISTS:
            with contextlib.suppress(ValueError):
                if isinstance(json.loads(value), list):
                    continue
            raise BackupError("InvalidParameterValueException", f"{key} has to be a JSON array in a string")


# -- Operations that MiniStack lacks


def _job(job_id: str) -> Record:
    if job_id not in jobs:
        raise BackupError("ResourceNotFoundException", f"Restore job {job_id} not found.")
    return jobs[job_id]


def _public(record: Record) -> Record:
    return {key: value for key, value in record.items() if not key.startswith("_")}


def _list_points(vault: str, query: dict[str, str]) -> Record:
    arn = query.get("resourceArn")
    found = [
        each for each in points.values() if each["BackupVaultName"] == vault and arn in (None, each["ResourceArn"])
    ]
    return {"RecoveryPoints": [_public(each) for each in found]}


def _disassociate(vault: str, arn: str) -> Record:
    point = points.pop(arn, None)
    if point is None or point["BackupVaultName"] != vault:
        raise BackupError("ResourceNotFoundException", f"Recovery point {arn} not found.")
    for each in rds._instances.values():
        if each.get("AwsBackupRecoveryPointArn") == arn:
            del each["AwsBackupRecoveryPointArn"]
    if is_on(Condition.EVENTUAL_CONSISTENCY):
        run_in_background(_count_later, vault, -1)
    else:
        _count(vault, -1)
    return {}


def _count(vault: str, change: int) -> None:
    """MiniStack has the vault's count of recovery points."""
    if vault in backup._vaults:
        backup._vaults[vault]["NumberOfRecoveryPoints"] += change


def _count_later(vault: str, change: int) -> None:
    time.sleep(_COUNTING_SECONDS)
    _count(vault, change)


def _validate(job_id: str, body: Record) -> Record:
    job = _job(job_id)
    if job.get("ValidationStatus") != "VALIDATING":
        raise BackupError("InvalidRequestException", f"Restore job {job_id} is not being validated.")
    job |= {key: body[key] for key in ("ValidationStatus", "ValidationStatusMessage") if key in body}
    return {}


def _selection(plan: str, name: str) -> Record:
    found = plans.get(plan, {}).get("_selections", {}).get(name)
    if found is None:
        raise BackupError("ResourceNotFoundException", f"Restore testing selection {name} not found.")
    return {"RestoreTestingSelection": found}


def _answer(method: str, parts: list[str], query: dict[str, str], body: Record) -> Record | None:
    """The answer; None for operations of MiniStack."""
    match method, parts:
        case "PUT", ["restore-jobs"]:
            job = start_job(body["RecoveryPointArn"], body["Metadata"], body["IamRoleArn"])
            return {"RestoreJobId": job["RestoreJobId"]}
        case "GET", ["restore-jobs"]:
            return {"RestoreJobs": [_public(each) for each in jobs.values()]}
        case "GET", ["restore-jobs", job_id]:
            return _public(_job(job_id))
        case "PUT", ["restore-jobs", job_id, "validations"]:
            return _validate(job_id, body)
        case "GET", ["restore-testing", "inferred-metadata"]:
            return {"InferredMetadata": inferred()}
        case "GET", ["restore-testing", "plans", plan]:
            if plan not in plans:
                raise BackupError("ResourceNotFoundException", f"Restore testing plan {plan} not found.")
            return {"RestoreTestingPlan": _public(plans[plan])}
        case "PUT", ["restore-testing", "plans", plan]:
            return _update(plan, body["RestoreTestingPlan"])
        case "GET", ["restore-testing", "plans", plan, "selections", name]:
            return _selection(plan, name)
        case "GET", ["backup-vaults", vault, "recovery-points"]:
            return _list_points(vault, query)
        case "POST", ["backup-vaults", vault, "recovery-points", arn, "disassociate"]:
            return _disassociate(vault, arn)
    return None


def needs(action: str, path: str, body: bytes) -> Iterator[tuple[Any, ...]]:
    """(action, resource, and what conditions may ask) of a call, as the Service Authorization Reference has them."""
    parts = _parts(path)
    match action.partition(":")[2]:
        case "StartRestoreJob":
            request = json.loads(body)
            yield action, request["RecoveryPointArn"]
            yield "iam:PassRole", request["IamRoleArn"], (("iam:PassedToService", "backup.amazonaws.com"),)
        case "DisassociateRecoveryPoint":
            yield action, parts[3]
        case "ListRecoveryPointsByBackupVault" | "DescribeBackupVault":
            yield action, backup._vault_arn(parts[1])
        case "GetRestoreTestingSelection" | "GetRestoreTestingPlan" | "UpdateRestoreTestingPlan":
            yield action, plans.get(parts[2], {}).get("RestoreTestingPlanArn", "*")
        case _:
            yield action, "*"


def _parts(path: str) -> list[str]:
    return [urllib.parse.unquote(each) for each in re.split("/+", path.strip("/"))]


def install() -> None:
    from ministack import app
    from ministack.core.concurrency import run_reentrant

    BY_PATH[SERVICE] = needs
    own = app.SERVICE_HANDLERS[SERVICE]

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        content = {"Content-Type": "application/json"}
        plain = {key: value[0] if isinstance(value, list) else value for key, value in query.items()}
        try:
            found = await run_reentrant(lambda: _answer(method, _parts(path), plain, json.loads(body or b"{}")))
        except BackupError as error:
            status = 404 if error.code == "ResourceNotFoundException" else 400
            document = json.dumps({"Code": error.code, "Message": str(error)}).encode()
            return status, {**content, "x-amzn-ErrorType": error.code}, document
        if found is None:
            return await own(method, path, headers, body, query)
        return 200, content, json.dumps(found).encode()

    app.SERVICE_HANDLERS[SERVICE] = handle
