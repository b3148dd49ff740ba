"""Subnets whose addresses overlap those of an existing subnet: EC2 refuses them."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

from ops.effects.changes import Difference, Replacement, ResourceChange
from ops.effects.effect import Effect, Impact, effect_of
from ops.effects.template import plain, resources

_SUBNET = "AWS::EC2::Subnet"


def effects(change: ResourceChange, difference: Difference) -> Iterator[Effect]:
    """CloudFormation creates subnets before it deletes any, also the one that a new one replaces."""
    is_made = change.old is None or change.replacement is Replacement.YES
    if change.type != _SUBNET or change.new is None or not is_made or "VpcId" in change.properties:
        return
    wanted, vpc = change.is_("CidrBlock"), plain(change.is_("VpcId"), {})
    for name, each in resources(difference.before.get(change.stack, {})).items():
        properties = each.get("Properties", {})
        is_beside = each["Type"] == _SUBNET and plain(properties.get("VpcId"), {}) == vpc
        if is_beside and _overlap(wanted, properties.get("CidrBlock")):
            yield effect_of(
                change, Impact.IMPOSSIBLE, "exists", f"would get {wanted}, which {name} still has then",
                f'EC2 refuses ("The CIDR \'{wanted}\' conflicts with another subnet"), and the stack is rolled back.',
                procedure="use addresses that no subnet of this VPC has had",
            )  # fmt: skip
            return


def _overlap(one: Any, other: Any) -> bool:
    """False for values that only a deployment knows."""
    try:
        return ip_network(one).overlaps(ip_network(other))
    except (TypeError, ValueError):
        return False
