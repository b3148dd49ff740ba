"""AWS::ElasticLoadBalancingV2::LoadBalancer: MiniStack deletes what is protected from deletion."""

from typing import Any

from rehearsal.emulator.resource_type import Refused, client, extend


def install() -> None:
    def delete(physical_id: str, properties: dict[str, Any]) -> None:
        attributes = client("elbv2").describe_load_balancer_attributes(LoadBalancerArn=physical_id)["Attributes"]
        if {"Key": "deletion_protection.enabled", "Value": "true"} in attributes:
            raise Refused(f"Load balancer '{physical_id}' cannot be deleted because deletion protection is enabled")
        own["delete"](physical_id, properties)

    own = extend("AWS::ElasticLoadBalancingV2::LoadBalancer", delete=delete)
