"""Blue/green deployments of RDS: a second PostgreSQL follows the first one and takes over its name.

The version is only a label, as this machine has one PostgreSQL. The data, what logical replication leaves out, and the
change of names are real. Sources: API reference ("CreateBlueGreenDeployment" and the others), RDS guide ("Limitations
and considerations for blue/green deployments", "Switching a blue/green deployment").
"""

import secrets
import string
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import rds

from simulators.aws import database_servers
from simulators.aws.database_servers import Instance, error, parameter_group_refusal, run_in_background, server_of
from simulators.postgres import replication

# Current minor version of each major version; each can be upgraded to a later one.
VERSIONS = ("16.10", "17.9", "18.3")
_SWITCHOVER_TIMEOUT_SECONDS = range(30, 3601)
_REFUSED_WITH_LOGICAL = "Replication degraded: an unsupported PostgreSQL change was made in the blue environment"


@dataclass
class DatabaseDeployment:
    identity: str
    name: str
    source: Instance
    target: Instance
    made: float = field(default_factory=time.time)
    status: str = "PROVISIONING"
    details: str = ""
    definitions: list[str] = field(default_factory=list)
    tasks: dict[str, str] = field(
        default_factory=lambda: {
            "CREATING_READ_REPLICA_OF_SOURCE": "IN_PROGRESS",
            "DB_ENGINE_VERSION_UPGRADE": "PENDING",
            "CONFIGURE_BACKUPS": "PENDING",
        }
    )

    @property
    def xml(self) -> str:
        tasks = "".join(
            f"<member><Name>{name}</Name><Status>{status}</Status></member>" for name, status in self.tasks.items()
        )
        source, target = self.source["DBInstanceArn"], self.target["DBInstanceArn"]
        return (
            f"<BlueGreenDeploymentIdentifier>{self.identity}</BlueGreenDeploymentIdentifier>"
            f"<BlueGreenDeploymentName>{self.name}</BlueGreenDeploymentName>"
            f"<Source>{source}</Source><Target>{target}</Target>"
            f"<SwitchoverDetails><member><SourceMember>{source}</SourceMember><TargetMember>{target}</TargetMember>"
            f"<Status>{self.status}</Status></member></SwitchoverDetails><Tasks>{tasks}</Tasks>"
            f"<Status>{self.status}</Status><StatusDetails>{self.details}</StatusDetails>"
            f"<CreateTime>{rds._format_time(self.made)}</CreateTime>"
        )


_deployments: dict[str, DatabaseDeployment] = {}


def _create(request: dict[str, Any]) -> Any:
    name, source = rds._p(request, "BlueGreenDeploymentName"), rds._resolve_instance(rds._p(request, "Source"))
    version = rds._p(request, "TargetEngineVersion")
    group = rds._p(request, "TargetDBParameterGroupName")
    if source is None:
        return error("DBInstanceNotFound", f"DBInstance {rds._p(request, 'Source')} not found.")
    if any(each.name == name for each in _deployments.values()):
        return error("BlueGreenDeploymentAlreadyExistsFault", f"A blue/green deployment named {name} already exists.")
    if source["DBInstanceStatus"] != "available":
        return error("InvalidDBInstanceState", f"{source['DBInstanceIdentifier']} is {source['DBInstanceStatus']}")
    for refusal in _refusals(source, version, group):
        return refusal
    made = _green(source, version, group)
    rds._instances[made["DBInstanceIdentifier"]] = made
    rds._tags[made["DBInstanceArn"]] = made["TagList"]
    deployment = DatabaseDeployment(f"bgd-{secrets.token_hex(8)}", name, source, made)
    _deployments[deployment.identity] = deployment
    run_in_background(_provision, deployment)
    return _answer("Create", deployment)


def _refusals(source: Instance, version: str, group: str) -> Iterator[Any]:
    code = "SourceDatabaseNotSupportedFault"
    if source.get("MasterUserSecret"):
        yield error(code, "Blue/green deployments don't support managing master user passwords with Secrets Manager.")
    if int(source["BackupRetentionPeriod"]) == 0:
        yield error(code, "Automated backups must be enabled on the source database.")
    server = server_of(source)
    assert server is not None
    with server.inside("postgres") as connection:
        is_logical = connection.execute("show wal_level").fetchone() == ("logical",)
    if not is_logical:
        yield error(code, "Logical replication must be enabled: rds.logical_replication, followed by a reboot.")
    if version not in VERSIONS or _number(version) < _number(source["EngineVersion"]):
        yield error("InvalidParameterCombination", f"Cannot upgrade from {source['EngineVersion']} to {version}")
    if group not in rds._param_groups:
        yield error("DBParameterGroupNotFound", f"DBParameterGroup not found: {group}")
    elif refused := parameter_group_refusal(group, version):
        yield error("InvalidParameterCombination", refused)


def _green(source: Instance, version: str, group: str) -> Instance:
    suffix = "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(6))
    name = f"{source['DBInstanceIdentifier']}-green-{suffix}"
    return {
        **source,
        "DBInstanceIdentifier": name,
        "DBInstanceArn": f"arn:aws:rds:{get_region()}:{get_account_id()}:db:{name}",
        "DbiResourceId": f"db-{secrets.token_hex(13).upper()}",
        "InstanceCreateTime": rds._format_time(time.time()),
        "DBInstanceStatus": "creating",
        "EngineVersion": version,
        "Endpoint": {},
        "DBParameterGroups": [{"DBParameterGroupName": group, "ParameterApplyStatus": "in-sync"}],
        "OptionGroupMemberships": [{"OptionGroupName": f"default:postgres-{_number(version)[0]}", "Status": "in-sync"}],
        "TagList": list(source["TagList"]),
        "ReadReplicaDBInstanceIdentifiers": [],
    }


def _provision(deployment: DatabaseDeployment) -> None:
    blue = server_of(deployment.source)
    assert blue is not None
    deployment.definitions = replication.definitions(blue)
    position = replication.publish(blue)
    green = database_servers.start_green(deployment.target, blue, position)
    deployment.tasks |= dict.fromkeys(deployment.tasks, "COMPLETED")
    replication.follow(green, blue, position)
    deployment.target["DBInstanceStatus"] = "available"
    deployment.status = "AVAILABLE"


def _describe(request: dict[str, Any]) -> Any:
    identity = rds._p(request, "BlueGreenDeploymentIdentifier")
    if identity and identity not in _deployments:
        return error("BlueGreenDeploymentNotFoundFault", f"BlueGreenDeployment {identity} not found.")
    found = [each for each in _deployments.values() if identity in ("", each.identity)]
    members = "".join(f"<member>{each.xml}</member>" for each in found)
    return rds._xml(
        200,
        "DescribeBlueGreenDeploymentsResponse",
        f"<DescribeBlueGreenDeploymentsResult><BlueGreenDeployments>{members}</BlueGreenDeployments>"
        "</DescribeBlueGreenDeploymentsResult>",
    )


def _known(work: Callable[[DatabaseDeployment, dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def handle(request: dict[str, Any]) -> Any:
        identity = rds._p(request, "BlueGreenDeploymentIdentifier")
        if (found := _deployments.get(identity)) is None:
            return error("BlueGreenDeploymentNotFoundFault", f"BlueGreenDeployment {identity} not found.")
        return work(found, request)

    return handle


def _switch(deployment: DatabaseDeployment, request: dict[str, Any]) -> Any:
    seconds = int(rds._p(request, "SwitchoverTimeout") or 300)
    if seconds not in _SWITCHOVER_TIMEOUT_SECONDS:
        return error("InvalidParameterValue", f"SwitchoverTimeout must be 30 to 3600, not {seconds}")
    if deployment.status not in ("AVAILABLE", "SWITCHOVER_FAILED"):
        return error("InvalidBlueGreenDeploymentStateFault", f"{deployment.identity} is {deployment.status}")
    blue = server_of(deployment.source)
    assert blue is not None
    if replication.definitions(blue) != deployment.definitions:
        return error("InvalidBlueGreenDeploymentStateFault", _REFUSED_WITH_LOGICAL)
    deployment.status = "SWITCHOVER_IN_PROGRESS"
    run_in_background(_carry_out_switch, deployment, seconds)
    return _answer("Switchover", deployment)


def _carry_out_switch(deployment: DatabaseDeployment, seconds: int) -> None:
    source, target = deployment.source, deployment.target
    blue, green = server_of(source), server_of(target)
    assert blue is not None
    assert green is not None
    try:
        replication.hand_over(blue, green, seconds=seconds)
    except TimeoutError as timeout:
        deployment.status, deployment.details = "SWITCHOVER_FAILED", str(timeout)
        return
    name = source["DBInstanceIdentifier"]
    number = next(each for each in range(1, 99) if f"{name}-old{each}" not in rds._instances)
    for each, new in ((source, f"{name}-old{number}"), (target, name)):
        database_servers.rename(each, new)
        each["DBInstanceStatus"] = "available"
    # The old blue instance stays read-only until it is rebooted (RDS guide, for MySQL; medium.com/vouchercodes-tech,
    # "Rolling back after an Amazon RDS blue/green deployment").
    blue.is_read_only = False
    deployment.status = "SWITCHOVER_COMPLETED"


def _delete(deployment: DatabaseDeployment, request: dict[str, Any]) -> Any:
    deletes_target = rds._p(request, "DeleteTarget") == "true"
    if deployment.status == "SWITCHOVER_COMPLETED":
        if deletes_target:
            return error("InvalidBlueGreenDeploymentStateFault", "DeleteTarget cannot be specified after a switchover")
    elif deployment.status in ("PROVISIONING", "SWITCHOVER_IN_PROGRESS"):
        return error("InvalidBlueGreenDeploymentStateFault", f"{deployment.identity} is {deployment.status}")
    elif deletes_target and deployment.target.get("DeletionProtection"):
        return error("InvalidParameterCombination", "Cannot delete protected DB Instance")
    if deployment.status != "SWITCHOVER_COMPLETED":
        blue, green = server_of(deployment.source), server_of(deployment.target)
        assert blue is not None
        assert green is not None
        replication.end(blue, green)
        if deletes_target:
            rds._instances.pop(deployment.target["DBInstanceIdentifier"])
            database_servers.stop(deployment.target)
    del _deployments[deployment.identity]
    deployment.status = "DELETING"
    return _answer("Delete", deployment)


def _answer(what: str, deployment: DatabaseDeployment) -> Any:
    action = f"{what}BlueGreenDeployment"
    return rds._xml(
        200,
        f"{action}Response",
        f"<{action}Result><BlueGreenDeployment>{deployment.xml}</BlueGreenDeployment></{action}Result>",
    )


def _describe_versions(own: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """DescribeDBEngineVersions of one version of PostgreSQL, with the versions it can be upgraded to."""

    def describe(request: dict[str, Any]) -> Any:
        version = rds._p(request, "EngineVersion")
        if rds._p(request, "Engine") != "postgres" or version not in VERSIONS:
            return own(request)
        targets = "".join(
            f"<UpgradeTarget><Engine>postgres</Engine><EngineVersion>{each}</EngineVersion>"
            f"<IsMajorVersionUpgrade>{str(_number(each)[0] > _number(version)[0]).lower()}</IsMajorVersionUpgrade>"
            "</UpgradeTarget>"
            for each in VERSIONS
            if _number(each) > _number(version)
        )
        return rds._xml(
            200,
            "DescribeDBEngineVersionsResponse",
            "<DescribeDBEngineVersionsResult><DBEngineVersions><DBEngineVersion><Engine>postgres</Engine>"
            f"<EngineVersion>{version}</EngineVersion>"
            f"<DBParameterGroupFamily>postgres{_number(version)[0]}</DBParameterGroupFamily>"
            f"<ValidUpgradeTarget>{targets}</ValidUpgradeTarget></DBEngineVersion></DBEngineVersions>"
            "</DescribeDBEngineVersionsResult>",
        )

    return describe


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def install() -> None:
    actions = rds._ACTION_MAP
    actions["CreateBlueGreenDeployment"] = _create
    actions["DescribeBlueGreenDeployments"] = _describe
    actions["SwitchoverBlueGreenDeployment"] = _known(_switch)
    actions["DeleteBlueGreenDeployment"] = _known(_delete)
    actions["DescribeDBEngineVersions"] = _describe_versions(actions["DescribeDBEngineVersions"])
