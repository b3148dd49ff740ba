"""RDS's instances of one environment: the one that serves, those that were restored, and those that were replaced.

Their names and tags are the only record of a restore, so that any command can go on where another one was interrupted.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from botocore.exceptions import ClientError

from config.model import Environment
from infra_runtime.contract.database_names import TAKES_OVER_TAG
from infra_runtime.contract.names import stack_name
from ops.errors import OperatorError
from ops.functions import Clients, ask, find, resources

Described = Mapping[str, Any]
_STAMP = "%Y%m%d%H%M%S"
# Tags. The serving instance keeps none of them: CloudFormation would report them as drift.
_RESTORED_TO_TAG, _REPLACED_FOR_TAG = "infra:restored-to", "infra:replaced-for"
_EVERY_SECONDS = 10.0
# AWS's own waiters end after half an hour; a restore of a large database takes longer.
_LONGEST_SECONDS = 6 * 3600.0
_BETWEEN = {
    "creating", "backing-up", "modifying", "renaming", "rebooting", "resetting-master-credentials", "starting",
    "storage-optimization", "storage-initialization", "configuring-enhanced-monitoring", "configuring-log-exports",
    "configuring-iam-database-auth", "upgrading", "maintenance", "configuring-associated-roles",
}  # fmt: skip
# Those in which an instance serves all the same (RDS guide, "Viewing Amazon RDS DB instance status").
_SERVES = {"available", "storage-optimization", "storage-initialization"}


@dataclass(frozen=True)
class Instances:
    name: str
    """Name of the environment."""
    environment: Environment
    clients: Clients
    sleep: Callable[[float], None] = time.sleep
    """Between two polls of RDS; seconds."""

    @property
    def stack(self) -> str:
        return stack_name(self.environment.product, self.name, "data")

    @cached_property
    def rds(self) -> Any:
        return self.clients.client("rds")

    @cached_property
    def identifier(self) -> str:
        """The name by which everything knows the database, and CloudFormation with it. It never changes."""
        (found,) = resources(self.clients, self.stack, "AWS::RDS::DBInstance")
        return found

    def resources(self, kind: str) -> list[str]:
        """Physical ids of the stack's resources of one type."""
        return resources(self.clients, self.stack, kind)

    @cached_property
    def _function(self) -> str:
        what = "function that reads the database"
        return find(self.clients, self.stack, "database.restore", {}, what=what)

    @cached_property
    def variables(self) -> Mapping[str, str]:
        """Environment variables of that function."""
        found = self.clients.client("lambda").get_function_configuration(FunctionName=self._function)
        return dict(found["Environment"]["Variables"])

    def inside(self, instance: str, do: str, **more: Any) -> dict[str, Any]:
        """What infra_runtime.database.restore answers. Raises `OperatorError` when it fails."""
        event = {"instance": instance, "do": do, **more}
        answer: dict[str, Any] = ask(self.clients, self._function, event, what=f"{instance}: {do}")
        return answer

    def all(self) -> list[Described]:
        pages = self.rds.get_paginator("describe_db_instances").paginate()
        # The last two are RDS's own, of a blue/green deployment (ops/upgrades).
        prefixes = (
            self._prefix("restored-to"),
            self._prefix("replaced-at"),
            f"{self.identifier}-green-",
            f"{self.identifier}-old",
        )
        return [
            each
            for page in pages
            for each in page["DBInstances"]
            if each["DBInstanceIdentifier"] == self.identifier or each["DBInstanceIdentifier"].startswith(prefixes)
        ]

    def called(self, name: str) -> Described | None:
        return next((each for each in self.all() if each["DBInstanceIdentifier"] == name), None)

    def restored(self) -> list[Described]:
        return self._named("restored-to")

    def replaced(self) -> list[Described]:
        """The newest first."""
        return self._named("replaced-at")[::-1]

    def next(self) -> Described | None:
        """The one that was about to take over when a command ended."""
        return next((each for each in self.all() if TAKES_OVER_TAG in _tags(each)), None)

    def restored_name(self, to: datetime) -> str:
        return f"{self._prefix('restored-to')}{to.strftime(_STAMP)}"

    def replaced_name(self, at: datetime) -> str:
        """An unused name: the instance that takes over may have been replaced in the same second."""
        taken = {each["DBInstanceIdentifier"] for each in self.all()}
        while (name := f"{self._prefix('replaced-at')}{at.strftime(_STAMP)}") in taken:
            at += timedelta(seconds=1)
        return name

    def short(self, instance: Described) -> str:
        """The last part of its name, which says how it was created, like restored-to-20261126075959."""
        return str(instance["DBInstanceIdentifier"]).removeprefix(f"{self.stack}-")

    def window(self, instance: Described) -> tuple[datetime, datetime] | None:
        """First and last time to which it can be restored; None where RDS has no backup of it yet."""
        pages = self.rds.get_paginator("describe_db_instance_automated_backups").paginate(
            DbiResourceId=instance["DbiResourceId"]
        )
        for each in (backup for page in pages for backup in page["DBInstanceAutomatedBackups"]):
            if (window := each.get("RestoreWindow", {})).keys() >= {"EarliestTime", "LatestTime"}:
                return window["EarliestTime"], window["LatestTime"]
        return None

    def settled(self, name: str) -> Described:
        """Waits until RDS has nothing more to do with it. Raises `OperatorError`."""
        give_up = time.monotonic() + _LONGEST_SECONDS
        while True:
            found = self.called(name)
            status = "not there" if found is None else found["DBInstanceStatus"]
            if found is not None and status in _SERVES and not _has_pending(found):
                return found
            if status not in _BETWEEN | _SERVES or time.monotonic() > give_up:
                raise OperatorError(f"{name} is {status}; expected it to become available")
            self.sleep(_EVERY_SECONDS)

    def mark_next(self, instance: Described) -> None:
        """`next` finds it until `unmark`."""
        self._tag(instance, TAKES_OVER_TAG, self.identifier)

    def mark_replaced(self, instance: Described, to: datetime) -> None:
        """Marks an instance as replaced by a restore to that time."""
        self._tag(instance, _REPLACED_FOR_TAG, to.isoformat())

    def unmark_next(self, instance: Described) -> None:
        self.rds.remove_tags_from_resource(ResourceName=instance["DBInstanceArn"], TagKeys=[TAKES_OVER_TAG])

    def unmark(self, instance: Described) -> None:
        """Removes our tags."""
        self.rds.remove_tags_from_resource(
            ResourceName=instance["DBInstanceArn"], TagKeys=[TAKES_OVER_TAG, _RESTORED_TO_TAG, _REPLACED_FOR_TAG]
        )

    def _tag(self, instance: Described, key: str, value: str) -> None:
        self.rds.add_tags_to_resource(ResourceName=instance["DBInstanceArn"], Tags=[{"Key": key, "Value": value}])

    def free_the_name(self, serving: Described, name: str) -> None:
        """Renames the one that serves. Raises `OperatorError`."""
        self._rename(serving, name, until=lambda found: found["DBInstanceIdentifier"] != self.identifier)

    def take_the_name(self, target: Described) -> None:
        """Waits until it is available by the name of the one that serves. Raises `OperatorError`."""
        self._rename(
            target,
            self.identifier,
            until=lambda found: (
                found["DBInstanceIdentifier"] == self.identifier and found["DBInstanceStatus"] in _SERVES
            ),
        )

    def _rename(self, instance: Described, name: str, *, until: Callable[[Described], bool]) -> None:
        identity, give_up = instance["DbiResourceId"], time.monotonic() + _LONGEST_SECONDS
        while time.monotonic() < give_up:
            found = next((each for each in self.all() if each["DbiResourceId"] == identity), None)
            if found is not None and until(found):
                return
            if found is not None and found["DBInstanceIdentifier"] != self.identifier == name:
                self._ask_to_rename(found["DBInstanceIdentifier"], name)
            elif found is not None and found["DBInstanceIdentifier"] == self.identifier != name:
                self._ask_to_rename(self.identifier, name)
            self.sleep(_EVERY_SECONDS)
        raise OperatorError(f"{instance['DBInstanceIdentifier']} is not called {name} after six hours")

    def _ask_to_rename(self, old: str, new: str) -> None:
        """Requests the rename. RDS refuses while the instance is busy or the new name is in use; callers repeat it."""
        try:
            self.rds.modify_db_instance(DBInstanceIdentifier=old, NewDBInstanceIdentifier=new, ApplyImmediately=True)
        except ClientError as error:
            if error.response["Error"]["Code"] not in (
                "InvalidDBInstanceState", "DBInstanceAlreadyExists", "DBInstanceNotFound",
            ):  # fmt: skip
                raise

    def _prefix(self, what: str) -> str:
        return f"{self.stack}-{what}-"

    def _named(self, what: str) -> list[Described]:
        found = [each for each in self.all() if each["DBInstanceIdentifier"].startswith(self._prefix(what))]
        return sorted(found, key=lambda each: str(each["DBInstanceIdentifier"]))


def _tags(instance: Described) -> Mapping[str, str]:
    return {each["Key"]: each["Value"] for each in instance.get("TagList", [])}


def _has_pending(instance: Described) -> bool:
    managed = instance.get("MasterUserSecret") or {}
    return bool(instance.get("PendingModifiedValues")) or managed.get("SecretStatus") == "creating"


# -- What a restored instance does not have by itself

# A restore uses RDS's defaults for everything that its call omits (API reference, "RestoreDBInstanceToPointInTime").
_SAME = {
    "DBInstanceClass": "DBInstanceClass",
    "MultiAZ": "MultiAZ",
    "PubliclyAccessible": "PubliclyAccessible",
    "AutoMinorVersionUpgrade": "AutoMinorVersionUpgrade",
    "CopyTagsToSnapshot": "CopyTagsToSnapshot",
    "DeletionProtection": "DeletionProtection",
    "EnableIAMDatabaseAuthentication": "IAMDatabaseAuthenticationEnabled",
    "EnableCloudwatchLogsExports": "EnabledCloudwatchLogsExports",
    "MaxAllocatedStorage": "MaxAllocatedStorage",
    "CACertificateIdentifier": "CACertificateIdentifier",
    "BackupRetentionPeriod": "BackupRetentionPeriod",
    "PreferredBackupWindow": "PreferredBackupWindow",
    "StorageType": "StorageType",
}
# Settings that only a later modification accepts.
_LATER = {
    "MonitoringInterval": "MonitoringInterval",
    "MonitoringRoleArn": "MonitoringRoleArn",
    "EnablePerformanceInsights": "PerformanceInsightsEnabled",
    "PerformanceInsightsKMSKeyId": "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod": "PerformanceInsightsRetentionPeriod",
    "DatabaseInsightsMode": "DatabaseInsightsMode",
    "PreferredMaintenanceWindow": "PreferredMaintenanceWindow",
}
# Below, RDS refuses them even with its own values (cloud-gov/terraform-provision #1556, terraform-aws-rds #457).
_GP3_CHOICE_FROM_GIB = 400


def restored_to(instance: Described) -> datetime | None:
    """None for one that was not restored, or serves."""
    return _time(instance, _RESTORED_TO_TAG)


def replaced_for(instance: Described) -> datetime | None:
    """The time that was restored when it was replaced."""
    return _time(instance, _REPLACED_FOR_TAG)


def _time(instance: Described, tag: str) -> datetime | None:
    time = _tags(instance).get(tag)
    return None if time is None else datetime.fromisoformat(time)


def wanted_at_restore(old: Described, to: datetime) -> dict[str, Any]:
    """Arguments of RestoreDBInstanceToPointInTime that make the new one like the old one."""
    found = {argument: old[key] for argument, key in _SAME.items() if old.get(key) is not None}
    if old["StorageType"] != "gp3" or old["AllocatedStorage"] >= _GP3_CHOICE_FROM_GIB:
        found |= {key: old[key] for key in ("Iops", "StorageThroughput") if old.get(key)}
    for options in old["OptionGroupMemberships"][:1]:
        found["OptionGroupName"] = options["OptionGroupName"]
    return {
        **found,
        "DBParameterGroupName": old["DBParameterGroups"][0]["DBParameterGroupName"],
        "DBSubnetGroupName": old["DBSubnetGroup"]["DBSubnetGroupName"],
        "VpcSecurityGroupIds": [each["VpcSecurityGroupId"] for each in old["VpcSecurityGroups"]],
        # Only CloudFormation may set its own tags.
        "Tags": [
            *(each for each in old.get("TagList", []) if not each["Key"].startswith(("aws:", "infra:"))),
            {"Key": _RESTORED_TO_TAG, "Value": to.isoformat()},
        ],
    }


def lacking(old: Described, new: Described) -> dict[str, Any]:
    """Arguments of ModifyDBInstance for what it still lacks."""
    found = {argument: old[key] for argument, key in _LATER.items() if old.get(key) and old.get(key) != new.get(key)}
    if found.keys() & {"MonitoringInterval", "MonitoringRoleArn"}:
        found |= {key: old[key] for key in ("MonitoringInterval", "MonitoringRoleArn")}
    if found.keys() & {"EnablePerformanceInsights", "DatabaseInsightsMode", "PerformanceInsightsRetentionPeriod"}:
        found |= {argument: old[key] for argument, key in _LATER.items() if "Insights" in key and old.get(key)}
    # A restore takes this for Oracle only (API reference).
    if old.get("MasterUserSecret") and not new.get("MasterUserSecret"):
        found["ManageMasterUserPassword"] = True
    return found


def differences(old: Described, new: Described) -> Iterator[str]:
    """Settings of the new one that still differ, as RDS describes it."""
    for key in {*_SAME.values(), *_LATER.values()}:
        if old.get(key) and old.get(key) != new.get(key):
            yield f"{key} is {new.get(key)}, {old.get(key)} before"
    for key, inner in (("DBParameterGroups", "DBParameterGroupName"), ("VpcSecurityGroups", "VpcSecurityGroupId")):
        before, after = ({each[inner] for each in one[key]} for one in (old, new))
        if before != after:
            yield f"{key} are {', '.join(sorted(after))}, {', '.join(sorted(before))} before"
    for group in new["DBParameterGroups"]:
        if group["ParameterApplyStatus"] not in ("in-sync", "applying"):
            yield f"parameter group {group['DBParameterGroupName']} is {group['ParameterApplyStatus']}"
