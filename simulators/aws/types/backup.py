"""AWS::Backup::*: types that MiniStack lacks, and a vault that cannot be deleted while it contains recovery points."""

import json
import re
import uuid
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import backup as own_backup

from simulators.aws import backup
from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, extend, register

_NAME = re.compile(r"[A-Za-z0-9_]{1,50}")


class BackupSelection:
    name = "AWS::Backup::BackupSelection"

    def create(self, properties: Properties) -> Provisioned:
        body = {"BackupSelection": dict(properties["BackupSelection"])}
        _, _, answer = own_backup._create_selection(properties["BackupPlanId"], body)
        made = json.loads(answer)
        if "SelectionId" not in made:
            raise ResourceRefused(made["Message"] if "Message" in made else str(made))
        backup.keep(made["SelectionId"])
        return Provisioned(
            made["SelectionId"], {"SelectionId": made["SelectionId"], "BackupPlanId": properties["BackupPlanId"]}
        )

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        """A change of any property replaces the resource (its resource reference)."""
        return self.create(new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        own_backup._selections.pop(physical_id, None)


class RestoreTestingPlan:
    name = "AWS::Backup::RestoreTestingPlan"

    def create(self, properties: Properties) -> Provisioned:
        name = properties["RestoreTestingPlanName"]
        if not _NAME.fullmatch(name):
            raise ResourceRefused(f"{name}: only alphanumeric characters and underscores, 50 at most")
        if name in backup.plans:
            raise ResourceRefused(f"Restore testing plan {name} already exists")
        arn = f"arn:aws:backup:{get_region()}:{get_account_id()}:restore-testing-plan:{name}-{uuid.uuid4()}"
        backup.plans[name] = {**properties, "RestoreTestingPlanArn": arn, "_selections": {}}
        backup.follow_schedule(name)
        return Provisioned(name, {"RestoreTestingPlanArn": arn})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        if new["RestoreTestingPlanName"] != physical_id:
            return self.create(new)
        backup.plans[physical_id] |= new
        if new.get("ScheduleExpression") != old.get("ScheduleExpression"):
            backup.follow_schedule(physical_id)
        return Provisioned(physical_id, {"RestoreTestingPlanArn": backup.plans[physical_id]["RestoreTestingPlanArn"]})

    def delete(self, physical_id: str, properties: Properties) -> None:
        if backup.plans.get(physical_id, {}).get("_selections"):
            raise ResourceRefused(
                "All testing selections associated with a testing plan need to be deleted before the plan."
            )
        backup.plans.pop(physical_id, None)


class RestoreTestingSelection:
    name = "AWS::Backup::RestoreTestingSelection"

    def create(self, properties: Properties) -> Provisioned:
        plan, name = properties["RestoreTestingPlanName"], properties["RestoreTestingSelectionName"]
        if plan not in backup.plans:
            raise ResourceRefused(f"Restore testing plan {plan} not found")
        try:
            backup.check_overrides(properties.get("RestoreMetadataOverrides", {}))
        except backup.BackupError as error:
            raise ResourceRefused(str(error)) from None
        backup.plans[plan]["_selections"][name] = dict(properties)
        return Provisioned(f"{plan}|{name}")

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new)

    def delete(self, physical_id: str, properties: Properties) -> None:
        plan, _, name = physical_id.partition("|")
        backup.plans.get(plan, {}).get("_selections", {}).pop(name, None)


def install() -> None:
    for each in (BackupSelection(), RestoreTestingPlan(), RestoreTestingSelection()):
        register(each)

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        if own_backup._vaults.get(physical_id, {}).get("NumberOfRecoveryPoints"):
            # API reference, "DeleteBackupVault": only an empty one.
            raise ResourceRefused("Backup vault cannot be deleted because it contains recovery points.")
        own["delete"](physical_id, properties)

    own = extend("AWS::Backup::BackupVault", delete=delete)
    backup.install()
