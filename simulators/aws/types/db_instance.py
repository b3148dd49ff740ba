"""AWS::RDS::DBInstance: MiniStack's has no PostgreSQL and no managed password, and is deleted although protected."""

import json
from collections.abc import Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import rds
from ministack.services.cloudformation import drift

from simulators.aws import account_plan, blue_green_databases, database_servers
from simulators.aws.authorization import Need, denial_of
from simulators.aws.resource_type import ResourceRefused, client, extend
from simulators.aws.service_principals import can_enter

# RDS's current default minor version of each major version.
_NEWEST_MINOR = {version.partition(".")[0]: version for version in blue_green_databases.VERSIONS}
_LOGIN = "MasterUserSecret.SecretArn"
# Properties that MiniStack does not store.
_TOLD = ("DatabaseInsightsMode", "PerformanceInsightsKMSKeyId")
# Users are without the database meanwhile (RDS guide, "Settings for DB instances"). So they are, where it has no
# standby, when CloudFormation changes the group of parameters (template reference of the type, DBParameterGroupName).
_RESTARTING = ("DBInstanceClass", "DBParameterGroupName")
_COMPARED = frozenset(
    {
        "AllocatedStorage",
        "BackupRetentionPeriod",
        "DBInstanceClass",
        "DeletionProtection",
        "EngineVersion",
        "MaxAllocatedStorage",
        "MultiAZ",
        "PreferredBackupWindow",
    }
)


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
        raise ResourceRefused(
            "IAM role ARN value is invalid or does not include the required permissions for: ENHANCED_MONITORING"
        )


def _check(properties: dict[str, Any]) -> None:
    if refused := account_plan.refused_database(properties):
        raise ResourceRefused(refused)
    _check_monitoring(properties)


def _full(version: str) -> str:
    return _NEWEST_MINOR.get(version, version)


def _names(declared: str, actual: str) -> bool:
    """Whether the running version matches; a major version alone matches any of its minor versions."""
    return f"{actual}.".startswith(f"{declared}.")


def _is_downgrade(current: str, wanted: str) -> bool:
    numbers = [[int(part) for part in version.split(".")] for version in (wanted, current)]
    return not _names(wanted, current) and numbers[0] < numbers[1]


def refused_change(current: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Why RDS does not modify an instance of the `current` version, in its own words.

    Versions: cloud-gov/aws-broker #566, terraform-provider-aws #13389. Storage, which CloudFormation sends when the
    template's value changes: aws-cloudformation-resource-providers-rds #598.
    """
    wanted, version = str(new.get("EngineVersion", "")), old.get("EngineVersion") != new.get("EngineVersion")
    if version and _is_downgrade(current, wanted):
        return f"Cannot find upgrade path from {current} to {wanted}."
    is_major = wanted.partition(".")[0] != current.partition(".")[0]
    if version and is_major and str(new.get("AllowMajorVersionUpgrade")).lower() != "true":
        return "The AllowMajorVersionUpgrade flag must be present when upgrading to a new major version."
    if int(new.get("AllocatedStorage", 0)) < int(old.get("AllocatedStorage", 0)):
        name, kind = new.get("Engine"), new.get("StorageType", "gp2")
        return f"Invalid storage size for engine name {name} and storage type {kind}: {new.get('AllocatedStorage')}"
    return None


def _run(instance: dict[str, Any], wanted: str, current: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """The version that is wanted, or the `current` one if it is named so. Restarts the server where RDS does.

    It is the same server: users miss it for as long as it takes to start.
    """
    instance["EngineVersion"] = current if _names(wanted, current) else _full(wanted)
    if instance["EngineVersion"] != current or any(old.get(key) != new.get(key) for key in _RESTARTING):
        database_servers.restart(instance)


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
        return {**attributes, _LOGIN: database_servers.manage_password(rds._instances[physical_id])}

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        _check(properties)
        physical_id, attributes = own["create"](logical_id, properties, stack_name)
        instance = rds._instances[physical_id]
        instance["EngineVersion"] = _full(instance["EngineVersion"])
        instance |= {key: properties[key] for key in _TOLD if key in properties}
        instance["PerformanceInsightsRetentionPeriod"] = int(properties.get("PerformanceInsightsRetentionPeriod", 7))
        instance["EnabledCloudwatchLogsExports"] = properties.get("EnableCloudwatchLogsExports", [])
        # Otherwise a tag that is added through the API would be the only one.
        rds._tags[instance["DBInstanceArn"]] = list(instance["TagList"])
        attributes = with_secret(physical_id, attributes, properties)
        value = client("secretsmanager").get_secret_value(SecretId=attributes[_LOGIN])["SecretString"]
        database_servers.start(instance, json.loads(value)["password"])
        endpoint = instance["Endpoint"]
        return physical_id, {
            **attributes,
            "Endpoint.Address": endpoint["Address"],
            "Endpoint.Port": str(endpoint["Port"]),
        }

    def update(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, logical_id: str | None = None
    ) -> tuple[str, dict[str, Any]]:
        instance = rds._instances[physical_id]
        current, wanted = instance["EngineVersion"], str(new.get("EngineVersion", ""))
        # The provider sends what differs from the previous template, not from RDS: aws-cloudformation/
        # aws-cloudformation-resource-providers-rds, Translator.modifyDbInstanceRequest.
        is_changed = old.get("EngineVersion") != new.get("EngineVersion")
        group = str(new.get("DBParameterGroupName", ""))
        is_other = group and group != old.get("DBParameterGroupName")
        if refusal := refused_change(current, old, new) or database_servers.refusal_of_retention(instance, new):
            raise ResourceRefused(refusal)
        if is_other and (refusal := database_servers.parameter_group_refusal(group, wanted if is_changed else current)):
            raise ResourceRefused(refusal)
        physical_id, attributes = own["update"](physical_id, old, new, stack_name, logical_id)
        _run(rds._instances[physical_id], wanted if is_changed else current, current, old, new)
        return physical_id, with_secret(physical_id, attributes, new)

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        instance = rds._instances.get(physical_id) or {}
        if instance.get("DeletionProtection"):
            raise ResourceRefused(
                "Cannot delete protected DB Instance, please disable deletion protection and try again."
            )
        own["delete"](physical_id, properties)
        if instance:
            database_servers.stop(instance)
            database_servers.forget_password(instance)

    def described(instance: dict[str, Any]) -> str:
        exports = "".join(f"<member>{each}</member>" for each in instance.get("EnabledCloudwatchLogsExports", []))
        description = str(own_description(instance)).replace(
            "<EnabledCloudwatchLogsExports/>",
            f"<EnabledCloudwatchLogsExports>{exports}</EnabledCloudwatchLogsExports>",
        )
        description += "".join(f"<{key}>{instance[key]}</{key}>" for key in _TOLD if instance.get(key))
        secret = instance.get("MasterUserSecret")
        return description + (
            f"<MasterUserSecret><SecretArn>{secret['SecretArn']}</SecretArn>"
            f"<SecretStatus>{secret['SecretStatus']}</SecretStatus></MasterUserSecret>"
            if secret
            else ""
        )

    def refusal(properties: dict[str, Any]) -> str | None:
        try:
            _check_monitoring(properties)
        except ResourceRefused as refused:
            return str(refused)
        return None

    database_servers.install(refusal)
    blue_green_databases.install()
    drift._DRIFT_READERS["AWS::RDS::DBInstance"] = (_read, _COMPARED)
    own_description = rds._instance_xml
    rds._instance_xml = described
    own = extend("AWS::RDS::DBInstance", create=create, update=update, delete=delete)
