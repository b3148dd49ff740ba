"""RDS's blue/green deployment of one environment's database. Its name and status are the only record of an upgrade."""

import json
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from infra_runtime.contract.database_names import MASTER_DURING_UPGRADES
from ops.console import Console
from ops.errors import OperatorError
from ops.restores.instances import Described, Instances

_EVERY_SECONDS = 15.0
# A copy is a restore followed by an upgrade.
_LONGEST_SECONDS = 24 * 3600.0
# RDS's own default. If the copy has not caught up by then, RDS cancels the switchover.
SWITCHOVER_SECONDS = 300
AVAILABLE, SWITCHED = "AVAILABLE", "SWITCHOVER_COMPLETED"
_UNDER_WAY = ("PROVISIONING", "SWITCHOVER_IN_PROGRESS", "DELETING")


@dataclass(frozen=True)
class Upgrade:
    place: Instances

    @cached_property
    def rds(self) -> Any:
        return self.place.rds

    @property
    def _prefix(self) -> str:
        return f"{self.place.stack}-to-"

    def found(self) -> Mapping[str, Any] | None:
        """The current deployment, if any; RDS allows one for each instance."""
        pages = self.rds.get_paginator("describe_blue_green_deployments").paginate()
        return next(
            (
                each
                for page in pages
                for each in page["BlueGreenDeployments"]
                if each["BlueGreenDeploymentName"].startswith(self._prefix)
            ),
            None,
        )

    def begin(self, serving: Described, version: str, group: str) -> None:
        self.rds.create_blue_green_deployment(
            BlueGreenDeploymentName=f"{self._prefix}{version.split('.', maxsplit=1)[0]}",
            Source=serving["DBInstanceArn"],
            TargetEngineVersion=version,
            TargetDBParameterGroupName=group,
        )

    def settled(self, console: Console) -> Mapping[str, Any]:
        """Waits until RDS is not working on it. Raises `OperatorError`."""
        give_up, printed = time.monotonic() + _LONGEST_SECONDS, ""
        while (found := self.found()) is not None:
            if (progress := _progress(found)) != printed:
                console.print(progress, highlight=False)
                printed = progress
            if found["Status"] not in _UNDER_WAY:
                return found
            if time.monotonic() > give_up:
                raise OperatorError(f"{found['BlueGreenDeploymentName']} is {found['Status']} after a day")
            self.place.sleep(_EVERY_SECONDS)
        raise OperatorError("the blue/green deployment is gone")

    def green(self, deployment: Mapping[str, Any]) -> Described:
        name = deployment["Target"].rpartition(":")[2]
        if (found := self.place.called(name)) is None:
            raise OperatorError(f"{name} is not there")
        return found

    def switch(self, deployment: Mapping[str, Any]) -> None:
        self.rds.switchover_blue_green_deployment(
            BlueGreenDeploymentIdentifier=deployment["BlueGreenDeploymentIdentifier"],
            SwitchoverTimeout=SWITCHOVER_SECONDS,
        )

    def end(self, deployment: Mapping[str, Any], *, with_green: bool) -> None:
        more = {"DeleteTarget": True} if with_green else {}
        identity = deployment["BlueGreenDeploymentIdentifier"]
        self.rds.delete_blue_green_deployment(BlueGreenDeploymentIdentifier=identity, **more)
        while (found := self.found()) is not None and found["BlueGreenDeploymentIdentifier"] == identity:
            self.place.sleep(_EVERY_SECONDS)

    def upgraded(self) -> list[Described]:
        """Instances that an upgrade has replaced, the newest first."""
        pattern = re.compile(rf"{re.escape(self.place.identifier)}-old(\d+)")
        found = [(int(match[1]), each) for each in self.place.all()
                 if (match := pattern.fullmatch(each["DBInstanceIdentifier"]))]  # fmt: skip
        return [each for _, each in sorted(found, key=lambda one: one[0], reverse=True)]

    def group(self, major: int) -> str:
        """The stack's parameter group for that version. Raises `OperatorError`."""
        ours = self.place.resources("AWS::RDS::DBParameterGroup")
        for page in self.rds.get_paginator("describe_db_parameter_groups").paginate():
            for each in page["DBParameterGroups"]:
                if each["DBParameterGroupName"] in ours and each["DBParameterGroupFamily"] == f"postgres{major}":
                    return str(each["DBParameterGroupName"])
        raise OperatorError(f"{self.place.stack} has no parameter group for PostgreSQL {major}; deploy it first")

    # -- The master login

    @cached_property
    def master(self) -> str:
        """ARN of the secret that holds it while RDS does not manage it."""
        return self.place.variables[MASTER_DURING_UPGRADES]

    def take_over_password(self, serving: Described) -> None:
        """Sets a new master password. It goes into our secret first, so that it cannot get lost."""
        password = secrets.token_urlsafe(30)
        value = json.dumps({"username": serving["MasterUsername"], "password": password})
        self.place.clients.client("secretsmanager").put_secret_value(SecretId=self.master, SecretString=value)
        self.rds.modify_db_instance(
            DBInstanceIdentifier=serving["DBInstanceIdentifier"],
            ManageMasterUserPassword=False,
            MasterUserPassword=password,
            ApplyImmediately=True,
        )

    def give_back_password(self, name: str) -> Described:
        found = self.place.settled(name)
        if not found.get("MasterUserSecret"):
            self.rds.modify_db_instance(DBInstanceIdentifier=name, ManageMasterUserPassword=True, ApplyImmediately=True)
            self.place.sleep(_EVERY_SECONDS)
            found = self.place.settled(name)
        return found


def _progress(deployment: Mapping[str, Any]) -> str:
    tasks = ", ".join(f"{each['Name'].lower()} {each['Status'].lower()}" for each in deployment.get("Tasks", []))
    details = f"; {deployment['StatusDetails']}" if deployment.get("StatusDetails") else ""
    return f"{deployment['BlueGreenDeploymentName']}: {deployment['Status']}{details} ({tasks})"
