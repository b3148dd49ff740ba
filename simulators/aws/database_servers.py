"""A PostgreSQL server behind each RDS instance, which archives its WAL and can be restored.

Instances are MiniStack's own records. An endpoint belongs to a name: an instance that is renamed moves to another one.
"""

import contextlib
import contextvars
import json
import os
import secrets
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ministack.core.responses import get_account_id, get_region, new_uuid
from ministack.services import eventbridge, rds

from simulators.aws import AUTHORITY, database_tokens
from simulators.aws.resource_type import client
from simulators.ports import own_address
from simulators.postgres.server import Postgres, RestoreFailed
from simulators.redis.authority import Authority

PORT = 5432
# Five minutes at RDS (user guide, "Restoring a DB instance to a specified time").
_LOG_SAVED_EVERY_SECONDS = 1.0
_LOG_EXPORTED_EVERY_SECONDS = 0.3
Instance = dict[str, Any]
_servers: dict[str, Postgres] = {}
"""Servers by resource id, which a new name does not change."""
_addresses: dict[str, str] = {}


def server_of(instance: Instance) -> Postgres | None:
    return _servers.get(instance["DbiResourceId"])


def start(instance: Instance, password: str) -> None:
    """Starts one server: the standby exists only as a record."""
    server = _new(instance, user=instance["MasterUsername"], password=password)
    _begin(instance, server, server.start)
    if server.is_backed_up:
        # RDS makes the first backup when it has created the instance (user guide, "Introduction to backups").
        taken = rds._create_snapshot_internal(f"rds:{instance['DBInstanceIdentifier']}-first", instance)
        taken["SnapshotType"] = "automated"


def start_restored(instance: Instance, source: Postgres, to: datetime) -> None:
    """Raises `RestoreFailed`."""
    # RDS also has the WAL from after `to`.
    source.save_log()
    server = _new(instance, user=source.user, password=source.password)
    _begin(instance, server, lambda: server.restore(source.base, source.archive, to))


def start_green(instance: Instance, blue: Postgres, position: str) -> Postgres:
    """Starts a read-only copy of `blue` at that position of its log."""
    server = _new(instance, user=blue.user, password=blue.password)
    server.is_read_only = True
    _begin(instance, server, lambda: server.restore(blue.base, blue.archive, position))
    return server


def _new(instance: Instance, *, user: str, password: str) -> Postgres:
    address = _move(instance)
    return Postgres(
        user=user,
        password=password,
        database=instance["DBName"],
        address=address,
        port=PORT,
        certificate=_certificate(address),
        parameters=_parameters(instance),
        by_token=database_tokens.method(instance) if instance.get("IAMDatabaseAuthenticationEnabled") else "",
        is_backed_up=int(instance["BackupRetentionPeriod"]) > 0,
    )


def _begin(instance: Instance, server: Postgres, begin: Callable[[], object]) -> None:
    _servers[instance["DbiResourceId"]] = server
    begin()
    for work in (_export_log, _save_log):
        run_in_background(work, instance, server)


def move(instance: Instance) -> None:
    """Moves the server to the endpoint of its new name, by a restart."""
    server = server_of(instance)
    assert server is not None
    server.address = _move(instance)
    server.certificate = _certificate(server.address)
    server.restart()


def restart(instance: Instance) -> None:
    """Restarts the server with the parameters of its group."""
    if (server := server_of(instance)) is not None:
        server.parameters = _parameters(instance)
        server.restart()


def happened(instance: Instance, event: str, message: str) -> None:
    """Something of the category failover: as an event of RDS, and at EventBridge (Amazon RDS user guide, "Amazon RDS
    event categories and event messages")."""
    detail = {
        "EventCategories": ["failover"],
        "SourceType": "DB_INSTANCE",
        "SourceArn": instance["DBInstanceArn"],
        "SourceIdentifier": f"rds:{instance['DBInstanceIdentifier']}",
        "Message": message,
        "EventID": event,
    }
    rds._events[new_uuid()] = {
        **detail,
        "SourceIdentifier": instance["DBInstanceIdentifier"],
        "SourceType": "db-instance",
        "Date": time.time(),
    }
    entry = {
        "Source": "aws.rds",
        "DetailType": "RDS DB Instance Event",
        "Detail": json.dumps(detail),
        "Resources": [instance["DBInstanceArn"]],
    }
    eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)


def stop(instance: Instance) -> None:
    """Ends the instance's server, and deletes its automated snapshots."""
    for name, _ in _automated_snapshots(instance):
        del rds._snapshots[name]
    if (server := _servers.pop(instance["DbiResourceId"], None)) is not None:
        server.remove()


def _automated_snapshots(instance: Instance) -> list[tuple[str, dict[str, Any]]]:
    """(name, record). They belong to the instance, also after it is renamed."""
    identity = instance["DbiResourceId"]
    every = list(rds._snapshots.items())
    return [each for each in every if each[1]["SnapshotType"] == "automated" and each[1]["DbiResourceId"] == identity]


def run_in_background(work: Callable[..., None], *arguments: Any) -> None:
    """Runs `work` in another thread, with this one's account and region."""
    threading.Thread(target=contextvars.copy_context().run, args=(work, *arguments), daemon=True).start()


def _move(instance: Instance) -> str:
    name = instance["DBInstanceIdentifier"]
    address = _addresses.setdefault(name, own_address(PORT))
    instance["Endpoint"] = {**instance["Endpoint"], "Address": address, "Port": PORT}
    return address


def _certificate(address: str) -> Any:
    # postgres.js checks this name where it is given an address: it hands TLS nothing but a socket.
    return Authority.load(Path(os.environ[AUTHORITY])).certificate(address, "localhost")


def _parameters(instance: Instance) -> dict[str, str]:
    group = rds._param_groups.get(instance["DBParameterGroups"][0]["DBParameterGroupName"]) or {}
    found = {name: each["ParameterValue"] for name, each in group.get("Parameters", {}).items()}
    if found.get("log_connections", "") not in ("", "0", "1"):
        found["log_connections"] = (
            "1"  # PostgreSQL 18 has a list; our server is older than the version that it simulates.
        )
    return found


def manage_password(instance: Instance) -> str:
    """Makes a secret with the master password, which RDS names, tags, rotates and deletes. Returns its ARN."""
    if (managed := instance.get("MasterUserSecret")) is not None:
        return str(managed["SecretArn"])
    password = secrets.token_urlsafe(24)
    _set_password(instance, password)
    arn = client("secretsmanager").create_secret(
        Name=f"rds!db-{instance['DbiResourceId'].lower()}",
        SecretString=json.dumps({"username": instance["MasterUsername"], "password": password}),
        Tags=[
            {"Key": "aws:secretsmanager:owningService", "Value": "rds"},
            {"Key": "aws:rds:primaryDBInstanceArn", "Value": instance["DBInstanceArn"]},
        ],
    )["ARN"]
    instance["MasterUserSecret"] = {"SecretArn": arn, "SecretStatus": "active"}
    return str(arn)


def _set_password(instance: Instance, password: str) -> None:
    if (server := server_of(instance)) is not None:
        with server.inside("postgres") as connection:
            connection.execute(f"alter role {instance['MasterUsername']} password '{password}'")
        server.password = password


def refusal_of_retention(instance: Instance, wanted: dict[str, Any]) -> str | None:
    """What RDS says against another retention once AWS Backup has the instance's backups (crossplane-contrib/
    provider-aws #1356).
    """
    point, now = instance.get("AwsBackupRecoveryPointArn"), instance.get("BackupRetentionPeriod")
    if not point or now is None or int(wanted.get("BackupRetentionPeriod") or now) == int(now):
        return None
    name = instance["DBInstanceIdentifier"]
    return (
        f"Your RDS instance {name} is associated with an AWS Backup resource with id {point}. You can leave"
        f" BackupRetentionPeriod blank, or you can specify it only with the current value {now}. For more details, see"
        " the AWS Backup documentation."
    )


def forget_password(instance: Instance) -> None:
    if (managed := instance.get("MasterUserSecret")) is not None:
        client("secretsmanager").delete_secret(SecretId=managed["SecretArn"], ForceDeleteWithoutRecovery=True)


def _export_log(instance: Instance, server: Postgres) -> None:
    """Exports the log as RDS does, to a log group that RDS makes, by the instance's name. Ends with the server."""
    logs, size, named = client("logs"), 0, None
    while server_of(instance) is server:
        name = instance["DBInstanceIdentifier"]
        where = {"logGroupName": f"/aws/rds/instance/{name}/postgresql", "logStreamName": f"{name}.0"}
        if name != named:
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                logs.create_log_group(logGroupName=where["logGroupName"])
            with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
                logs.create_log_stream(**where)
            named = name
        whole, _, _ = server.log(size).rpartition("\n")
        if whole:
            size += len(whole.encode()) + 1
            now = int(time.time() * 1000)
            logs.put_log_events(**where, logEvents=[{"timestamp": now, "message": line} for line in whole.split("\n")])
        time.sleep(_LOG_EXPORTED_EVERY_SECONDS)


def _save_log(instance: Instance, server: Postgres) -> None:
    written = ""
    while server_of(instance) is server and server.is_backed_up:
        # While the server restarts, its log cannot be saved.
        with contextlib.suppress(Exception):
            now = datetime.now(UTC)
            if server.written() != written:
                now = server.save_log()
                written = server.written()
            instance["LatestRestorableTime"] = rds._format_time(now.timestamp())
        time.sleep(_LOG_SAVED_EVERY_SECONDS)


# -- RDS's API


def error(code: str, message: str) -> Any:
    return rds._error(code, message, 404 if code.endswith(("NotFound", "NotFoundFault")) else 400)


def parameter_group_refusal(name: str, version: str) -> str | None:
    """RDS's error (remind101/stacker_blueprints #69) if the group is of another major version; else None."""
    family, wanted = rds._param_groups[name]["DBParameterGroupFamily"], f"postgres{version.split('.', maxsplit=1)[0]}"
    if family == wanted:
        return None
    return (
        f"The Parameter Group {name} with DBParameterGroupFamily {family} cannot be used for this instance."
        f" Please use a Parameter Group with DBParameterGroupFamily {wanted}"
    )


def _restore(request: dict[str, Any]) -> Any:
    """RestoreDBInstanceToPointInTime. Everything that is not given is RDS's default, not the source's."""
    name, found = rds._p(request, "TargetDBInstanceIdentifier"), rds._p(request, "SourceDBInstanceIdentifier")
    if (source := rds._resolve_instance(found)) is None:
        return error("DBInstanceNotFound", f"DBInstance {found} not found.")
    if name in rds._instances:
        return error("DBInstanceAlreadyExists", "DB instance already exists")
    if rds._p(request, "ManageMasterUserPassword"):
        return error("InvalidParameterCombination", "ManageMasterUserPassword applies to RDS for Oracle only.")
    if not (server := server_of(source)) or server.backed_up_at is None:
        return error("PointInTimeRestoreNotEnabled", f"Backups of {found} are not enabled")
    to = datetime.fromisoformat(
        (rds._p(request, "RestoreTime") or source["LatestRestorableTime"]).replace("Z", "+00:00")
    )
    latest = datetime.fromisoformat(source["LatestRestorableTime"].replace("Z", "+00:00"))
    if not server.backed_up_at.replace(microsecond=0) <= to <= latest:
        return error(
            "InvalidParameterValue",
            f"The specified instance cannot be restored to {to}: earliest {server.backed_up_at}, latest {latest}.",
        )
    made = _restored_record(name, source, request)
    rds._instances[name] = made
    rds._tags[made["DBInstanceArn"]] = made["TagList"] = rds._parse_tags(request)
    run_in_background(_carry_out_restore, made, server, to)
    return rds._single_instance_response(
        "RestoreDBInstanceToPointInTimeResponse", "RestoreDBInstanceToPointInTimeResult", made
    )


def _restored_record(name: str, source: Instance, request: dict[str, Any]) -> Instance:
    def given(key: str, default: str) -> str:
        return str(rds._p(request, key) or default)

    def is_given(key: str, *, default: bool = False) -> bool:
        return given(key, str(default).lower()) == "true"

    major = source["EngineVersion"].split(".")[0]
    kept = ("Engine", "EngineVersion", "LicenseModel", "DBName", "MasterUsername", "StorageEncrypted", "KmsKeyId",
            "AllocatedStorage", "DBSecurityGroups", "OptionGroupMemberships", "PromotionTier")  # fmt: skip
    groups = rds._parse_member_list(request, "VpcSecurityGroupIds") or ["sg-default"]
    return {
        **{key: source[key] for key in kept if key in source},
        "DBInstanceIdentifier": name,
        "DBInstanceStatus": "creating",
        "DBInstanceArn": f"arn:aws:rds:{get_region()}:{get_account_id()}:db:{name}",
        "DbiResourceId": f"db-{secrets.token_hex(13).upper()}",
        "InstanceCreateTime": rds._format_time(time.time()),
        "Endpoint": {},
        "PendingModifiedValues": {},
        "ReadReplicaDBInstanceIdentifiers": [],
        "DBInstanceClass": given("DBInstanceClass", source["DBInstanceClass"]),
        "DBSubnetGroup": rds._subnet_groups.get(given("DBSubnetGroupName", "default"), {}),
        "VpcSecurityGroups": [{"VpcSecurityGroupId": each, "Status": "active"} for each in groups],
        "DBParameterGroups": [
            {
                "DBParameterGroupName": given("DBParameterGroupName", f"default.postgres{major}"),
                "ParameterApplyStatus": "in-sync",
            }
        ],
        "AvailabilityZone": f"{get_region()}a",
        "MultiAZ": is_given("MultiAZ"),
        "PubliclyAccessible": is_given("PubliclyAccessible"),
        "AutoMinorVersionUpgrade": is_given("AutoMinorVersionUpgrade", default=True),
        "StorageType": given("StorageType", source["StorageType"]),
        "MaxAllocatedStorage": int(given("MaxAllocatedStorage", "0")) or None,
        "BackupRetentionPeriod": int(given("BackupRetentionPeriod", str(source["BackupRetentionPeriod"]))),
        "PreferredBackupWindow": given("PreferredBackupWindow", "03:00-04:00"),
        "PreferredMaintenanceWindow": "sun:05:00-sun:06:00",
        "CopyTagsToSnapshot": is_given("CopyTagsToSnapshot"),
        "DeletionProtection": is_given("DeletionProtection"),
        "IAMDatabaseAuthenticationEnabled": is_given("EnableIAMDatabaseAuthentication"),
        "CACertificateIdentifier": given("CACertificateIdentifier", "rds-ca-rsa2048-g1"),
        "EnabledCloudwatchLogsExports": rds._parse_member_list(request, "EnableCloudwatchLogsExports"),
        "MonitoringInterval": 0,
        "MonitoringRoleArn": "",
        "PerformanceInsightsEnabled": False,
        "DatabaseInsightsMode": "standard",
    }


def _carry_out_restore(made: Instance, source: Postgres, to: datetime) -> None:
    try:
        start_restored(made, source, to)
    except RestoreFailed:
        made["DBInstanceStatus"] = "incompatible-restore"
    else:
        made["DBInstanceStatus"] = "available"


def _automated_backups(request: dict[str, Any]) -> Any:
    """DescribeDBInstanceAutomatedBackups, of instances that are there."""
    wanted = rds._p(request, "DbiResourceId"), rds._p(request, "DBInstanceIdentifier")
    text = ""
    for each in list(rds._instances.values()):
        server = server_of(each)
        if server is None or server.backed_up_at is None or "LatestRestorableTime" not in each:
            continue
        if (wanted[0] or each["DbiResourceId"]) != each["DbiResourceId"]:
            continue
        if (wanted[1] or each["DBInstanceIdentifier"]) != each["DBInstanceIdentifier"]:
            continue
        earliest = rds._format_time(server.backed_up_at.timestamp())
        text += (
            f"<DBInstanceAutomatedBackup><DBInstanceIdentifier>{each['DBInstanceIdentifier']}</DBInstanceIdentifier>"
            f"<DbiResourceId>{each['DbiResourceId']}</DbiResourceId><Status>active</Status>"
            f"<RestoreWindow><EarliestTime>{earliest}</EarliestTime>"
            f"<LatestTime>{each['LatestRestorableTime']}</LatestTime></RestoreWindow></DBInstanceAutomatedBackup>"
        )
    return rds._xml(
        200,
        "DescribeDBInstanceAutomatedBackupsResponse",
        "<DescribeDBInstanceAutomatedBackupsResult><DBInstanceAutomatedBackups>"
        f"{text}</DBInstanceAutomatedBackups></DescribeDBInstanceAutomatedBackupsResult>",
    )


def _modify(own: Callable[[dict[str, Any]], Any], refusal: Callable[[dict[str, Any]], str | None]) -> Any:
    """ModifyDBInstance, with the parameters that MiniStack lacks."""

    def modify(request: dict[str, Any]) -> Any:
        instance = rds._resolve_instance(rds._p(request, "DBInstanceIdentifier"))
        if instance is None or server_of(instance) is None:
            return own(request)
        if instance["DBInstanceStatus"] != "available":
            return error(
                "InvalidDBInstanceState",
                f"Instance {instance['DBInstanceIdentifier']} is in {instance['DBInstanceStatus']} state",
            )
        renamed = rds._p(request, "NewDBInstanceIdentifier").lower()
        if renamed and renamed in rds._instances:
            return error("DBInstanceAlreadyExists", "DB instance already exists")
        given = {
            key: rds._p(request, key) for key in ("MonitoringRoleArn", "MonitoringInterval", "BackupRetentionPeriod")
        }
        wanted = {"MonitoringInterval": 0, **{key: value for key, value in given.items() if value}}
        if refused := refusal(wanted) or refusal_of_retention(instance, wanted):
            return error("InvalidParameterValue", refused)
        answer = own(request)
        if answer[0] != 200:
            return answer
        if enabled := rds._p(request, "EnablePerformanceInsights"):
            instance["PerformanceInsightsEnabled"] = enabled == "true"
        for key in ("PerformanceInsightsKMSKeyId", "DatabaseInsightsMode"):
            instance[key] = rds._p(request, key) or instance.get(key)
        if days := rds._p(request, "PerformanceInsightsRetentionPeriod"):
            instance["PerformanceInsightsRetentionPeriod"] = int(days)
        managed, password = rds._p(request, "ManageMasterUserPassword"), rds._p(request, "MasterUserPassword")
        if managed == "false" and instance.get("MasterUserSecret"):
            if not password:
                return error("InvalidParameterCombination", "MasterUserPassword is required")
            forget_password(instance)
            del instance["MasterUserSecret"]
        if (managed == "true" and not instance.get("MasterUserSecret")) or password:
            instance["DBInstanceStatus"] = "resetting-master-credentials"
        if renamed:
            instance["DBInstanceStatus"] = "renaming"
        run_in_background(_carry_out, instance, renamed, managed == "true", password)
        return rds._single_instance_response("ModifyDBInstanceResponse", "ModifyDBInstanceResult", instance)

    return modify


def _carry_out(instance: Instance, renamed: str, is_managed: bool, password: str) -> None:
    if is_managed:
        manage_password(instance)
    if password:
        _set_password(instance, password)
    if renamed:
        rename(instance, renamed)
    instance["DBInstanceStatus"] = "available"


def rename(instance: Instance, name: str) -> None:
    old = instance["DBInstanceArn"]
    rds._instances.pop(instance["DBInstanceIdentifier"], None)
    instance["DBInstanceIdentifier"] = name
    instance["DBInstanceArn"] = f"{old.rpartition(':')[0]}:{name}"
    rds._tags[instance["DBInstanceArn"]] = rds._tags.pop(old, [])
    for _, each in _automated_snapshots(instance):
        each["DBInstanceIdentifier"] = name
    instance["DBInstanceStatus"] = "rebooting"
    rds._instances[name] = instance
    move(instance)


def _delete(own: Callable[[dict[str, Any]], Any]) -> Any:
    def delete(request: dict[str, Any]) -> Any:
        instance = rds._resolve_instance(rds._p(request, "DBInstanceIdentifier"))
        answer = own(request)
        if instance is not None and answer[0] == 200:
            stop(instance)
            run_in_background(forget_password, instance)
        return answer

    return delete


def _reboot(own: Callable[[dict[str, Any]], Any]) -> Any:
    def reboot(request: dict[str, Any]) -> Any:
        instance = rds._resolve_instance(rds._p(request, "DBInstanceIdentifier"))
        if instance is not None and instance["DBInstanceStatus"] == "available":
            restart(instance)
        return own(request)

    return reboot


def install(refusal: Callable[[dict[str, Any]], str | None]) -> None:
    """`refusal` is what RDS says against a role for enhanced monitoring."""
    actions = rds._ACTION_MAP
    actions["RestoreDBInstanceToPointInTime"] = _restore
    actions["DescribeDBInstanceAutomatedBackups"] = _automated_backups
    actions["ModifyDBInstance"] = _modify(actions["ModifyDBInstance"], refusal)
    actions["DeleteDBInstance"] = _delete(actions["DeleteDBInstance"])
    actions["RebootDBInstance"] = _reboot(actions["RebootDBInstance"])
