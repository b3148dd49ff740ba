"""AWS::EC2::SecurityGroupIngress and AWS::EC2::SecurityGroupEgress."""

from typing import Any
from uuid import uuid4

from ministack.services import ec2 as ec2_service
from ministack.services.cloudformation import provisioners

from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, changed, client, register


class _Rule:
    def __init__(self, name: str, *, is_egress: bool) -> None:
        self.name = name
        self._is_egress = is_egress

    def create(self, properties: Properties) -> Provisioned:
        groups = {group["GroupId"] for group in client("ec2").describe_security_groups()["SecurityGroups"]}
        peer = self._peer_group(properties)
        for group in (properties["GroupId"], *([peer] if peer else [])):
            if group not in groups:
                raise ResourceRefused(f"The security group '{group}' does not exist")
        # Not through the API: MiniStack's drops the prefix list of a rule that it is given.
        self._rules(properties["GroupId"]).extend(provisioners._ec2_sg_permissions([properties]))
        identity = f"sgr-{uuid4().hex[:17]}"
        return Provisioned(identity, {"Id": identity})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return self.create(new) if changed(old, new) else Provisioned(physical_id, {"Id": physical_id})

    def delete(self, physical_id: str, properties: Properties) -> None:
        if properties["GroupId"] in ec2_service._security_groups:
            rules = self._rules(properties["GroupId"])
            for permission in provisioners._ec2_sg_permissions([properties]):
                if permission in rules:
                    rules.remove(permission)

    def _rules(self, group: str) -> list[dict[str, Any]]:
        key = "IpPermissionsEgress" if self._is_egress else "IpPermissions"
        rules: list[dict[str, Any]] = ec2_service._security_groups[group][key]
        return rules

    def _peer_group(self, properties: Properties) -> str | None:
        return properties.get("DestinationSecurityGroupId" if self._is_egress else "SourceSecurityGroupId")


def install() -> None:
    register(_Rule("AWS::EC2::SecurityGroupIngress", is_egress=False))
    register(_Rule("AWS::EC2::SecurityGroupEgress", is_egress=True))
