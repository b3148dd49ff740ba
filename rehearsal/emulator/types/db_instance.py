"""AWS::RDS::DBInstance: MiniStack's has no PostgreSQL in it, makes no managed password, and goes although protected."""

import contextlib
import json
import os
import secrets
import threading
import time
from pathlib import Path
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import rds
from ministack.services.cloudformation import drift

from rehearsal.emulator import AUTHORITY
from rehearsal.emulator.authorization import Need, denial_of
from rehearsal.emulator.resource_type import Refused, client, extend
from rehearsal.emulator.service_principals import can_enter
from rehearsal.ports import own_address
from rehearsal.postgres import Postgres
from rehearsal.redis.authority import Authority

_PORT = 5432
# What RDS makes of a major version alone: its default minor version of the day.
_NEWEST_MINOR = {"17": "17.9"}
_LOGIN = "MasterUserSecret.SecretArn"
_COMPARED = frozenset(
    {
        "AllocatedStorage",
        "BackupRetentionPeriod",
        "DBInstanceClass",
        "DeletionProtection",
        "EngineVersion",
        "MaxAllocatedStorage",
        "MultiAZ",
    }
)
_servers: dict[str, Postgres] = {}


def _start(physical_id: str, properties: dict[str, Any], secret: str) -> dict[str, Any]:
    """One server: the standby is a record only. What it is, in the words of `Fn::GetAtt`."""
    login = json.loads(client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"])
    address = own_address(_PORT)
    server = Postgres(
        user=login["username"],
        password=login["password"],
        database=properties["DBName"],
        address=address,
        port=_PORT,
        # postgres.js checks this name where it is given an address: it hands TLS nothing but a socket.
        certificate=Authority.load(Path(os.environ[AUTHORITY])).certificate(address, "localhost"),
    )
    _servers[physical_id] = server
    server.start()
    group = f"/aws/rds/instance/{physical_id}/postgresql"
    threading.Thread(target=_export_log, args=(physical_id, group, client("logs")), daemon=True).start()
    rds._instances[physical_id]["Endpoint"] |= {"Address": address, "Port": _PORT}
    return {"Endpoint.Address": address, "Endpoint.Port": str(_PORT)}


def _export_log(physical_id: str, group: str, logs: Any) -> None:
    """As RDS does: to a log group that it makes itself. Ends with the server."""
    with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
        logs.create_log_group(logGroupName=group)
    where, told = {"logGroupName": group, "logStreamName": f"{physical_id}.0"}, 0
    logs.create_log_stream(**where)
    while (server := _servers.get(physical_id)) is not None:
        whole, _, _ = server.log(told).rpartition("\n")
        if whole:
            told += len(whole.encode()) + 1
            now = int(time.time() * 1000)
            logs.put_log_events(**where, logEvents=[{"timestamp": now, "message": line} for line in whole.split("\n")])
        time.sleep(0.3)


def _manage_password(physical_id: str, properties: dict[str, Any]) -> str:
    """As RDS does: a secret of its own, named by RDS, rotated by RDS, deleted with the instance."""
    instance = rds._instances[physical_id]
    if arn := (instance.get("MasterUserSecret") or {}).get("SecretArn"):
        return str(arn)
    arn = client("secretsmanager").create_secret(
        Name=f"rds!db-{instance['DbiResourceId'].lower()}",
        SecretString=json.dumps({"username": properties["MasterUsername"], "password": secrets.token_urlsafe(24)}),
    )["ARN"]
    instance["MasterUserSecret"] = {"SecretArn": arn, "SecretStatus": "active"}
    return str(arn)


def _check_monitoring(properties: dict[str, Any]) -> None:
    """Enhanced Monitoring writes as its role into a log group of its own (RDS guide, "Setting up Enhanced Monitoring").

    In RDS's words (pulumi #5628), which it says of a role that it cannot enter, too.
    """
    role = properties.get("MonitoringRoleArn")
    if not role or not int(properties.get("MonitoringInterval", 0)):
        return
    group = f"arn:aws:logs:{get_region()}:{get_account_id()}:log-group:RDSOSMetrics"
    needs = [Need(f"logs:{each}", group) for each in ("CreateLogGroup", "PutRetentionPolicy")]
    needs += [Need(f"logs:{each}", f"{group}:log-stream:db") for each in ("CreateLogStream", "PutLogEvents")]
    if not can_enter("monitoring.rds.amazonaws.com", role) or denial_of(role, "RDSEnhancedMonitoring", *needs):
        raise Refused(
            "IAM role ARN value is invalid or does not include the required permissions for: ENHANCED_MONITORING"
        )


def _full(version: str) -> str:
    return _NEWEST_MINOR.get(version, version)


def _names(declared: str, actual: str) -> bool:
    """A major version alone names whichever minor version runs."""
    return f"{actual}.".startswith(f"{declared}.")


def _is_downgrade(current: str, wanted: str) -> bool:
    numbers = [[int(part) for part in version.split(".")] for version in (wanted, current)]
    return not _names(wanted, current) and numbers[0] < numbers[1]


def _read(physical_id: str, properties: dict[str, Any]) -> dict[str, Any] | None:
    """What drift detection compares. The version in a template is a prefix of the actual one
    (aws-cloudformation-resource-providers-rds #390); storage that has grown by itself differs (#598 there).
    """
    instance = rds._instances.get(physical_id)
    if instance is None:
        return None
    declared, actual = str(properties.get("EngineVersion", "")), instance["EngineVersion"]
    return {**instance, "EngineVersion": declared if _names(declared, actual) else actual}


def install() -> None:
    def with_secret(physical_id: str, attributes: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
        if str(properties.get("ManageMasterUserPassword", "")).lower() != "true":
            return attributes
        return {**attributes, _LOGIN: _manage_password(physical_id, properties)}

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        _check_monitoring(properties)
        physical_id, attributes = own["create"](logical_id, properties, stack_name)
        rds._instances[physical_id]["EngineVersion"] = _full(rds._instances[physical_id]["EngineVersion"])
        attributes = with_secret(physical_id, attributes, properties)
        return physical_id, {**attributes, **_start(physical_id, properties, attributes[_LOGIN])}

    def update(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, logical_id: str | None = None
    ) -> tuple[str, dict[str, Any]]:
        instance = rds._instances[physical_id]
        current, wanted = instance["EngineVersion"], str(new.get("EngineVersion", ""))
        if old.get("EngineVersion") != new.get("EngineVersion") and _is_downgrade(current, wanted):
            # RDS's own words, as CloudFormation passes them on (cloud-gov/aws-broker #566).
            raise Refused(f"Cannot find upgrade path from {current} to {wanted}.")
        physical_id, attributes = own["update"](physical_id, old, new, stack_name, logical_id)
        rds._instances[physical_id]["EngineVersion"] = current if _names(wanted, current) else _full(wanted)
        return physical_id, with_secret(physical_id, attributes, new)

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        instance = rds._instances.get(physical_id) or {}
        if instance.get("DeletionProtection"):
            raise Refused("Cannot delete protected DB Instance, please disable deletion protection and try again.")
        secret = (instance.get("MasterUserSecret") or {}).get("SecretArn")
        own["delete"](physical_id, properties)
        if (server := _servers.pop(physical_id, None)) is not None:
            server.remove()
        if secret:
            client("secretsmanager").delete_secret(SecretId=secret, ForceDeleteWithoutRecovery=True)

    def described(instance: dict[str, Any]) -> str:
        secret = instance.get("MasterUserSecret")
        return str(own_description(instance)) + (
            f"<MasterUserSecret><SecretArn>{secret['SecretArn']}</SecretArn>"
            f"<SecretStatus>{secret['SecretStatus']}</SecretStatus></MasterUserSecret>"
            if secret
            else ""
        )

    drift._DRIFT_READERS["AWS::RDS::DBInstance"] = (_read, _COMPARED)
    own_description = rds._instance_xml
    rds._instance_xml = described
    own = extend("AWS::RDS::DBInstance", create=create, update=update, delete=delete)
