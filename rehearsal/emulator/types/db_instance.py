"""AWS::RDS::DBInstance: MiniStack makes no managed password, and deletes what is protected from deletion."""

import json
import secrets
from typing import Any

from ministack.services import rds

from rehearsal.emulator.resource_type import Refused, client, extend


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


def install() -> None:
    def with_secret(physical_id: str, attributes: dict[str, Any], properties: dict[str, Any]) -> dict[str, Any]:
        if str(properties.get("ManageMasterUserPassword", "")).lower() != "true":
            return attributes
        return {**attributes, "MasterUserSecret.SecretArn": _manage_password(physical_id, properties)}

    def create(logical_id: str, properties: dict[str, Any], stack_name: str) -> tuple[str, dict[str, Any]]:
        physical_id, attributes = own["create"](logical_id, properties, stack_name)
        return physical_id, with_secret(physical_id, attributes, properties)

    def update(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], stack_name: str, logical_id: str | None = None
    ) -> tuple[str, dict[str, Any]]:
        physical_id, attributes = own["update"](physical_id, old, new, stack_name, logical_id)
        return physical_id, with_secret(physical_id, attributes, new)

    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        instance = rds._instances.get(physical_id) or {}
        if instance.get("DeletionProtection"):
            raise Refused("Cannot delete protected DB Instance, please disable deletion protection and try again.")
        secret = (instance.get("MasterUserSecret") or {}).get("SecretArn")
        own["delete"](physical_id, properties)
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

    own_description = rds._instance_xml
    rds._instance_xml = described
    own = extend("AWS::RDS::DBInstance", create=create, update=update, delete=delete)
