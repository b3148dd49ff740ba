"""A resource that CloudFormation cannot change: it creates another one, and deletes the old one at the end."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ops.effects import schemas
from ops.effects.changes import Replacement, ResourceChange
from ops.effects.effect import Effect, Impact, effect_of
from ops.effects.template import plain

DATA: Mapping[str, str] = {
    "AWS::DynamoDB::Table": "table",
    "AWS::ECR::Repository": "image repository",
    "AWS::EFS::FileSystem": "file system",
    "AWS::ElastiCache::ReplicationGroup": "Redis",
    "AWS::KMS::Key": "key",
    "AWS::RDS::DBInstance": "database",
    "AWS::S3::Bucket": "bucket",
    "AWS::SQS::Queue": "queue",
    "AWS::SecretsManager::Secret": "secret",
}
"""Types with data that no deployment restores."""
_NOT_SERVED = "Users get errors until the new one is in use everywhere."
_SERVES: Mapping[str, str] = {
    "AWS::EC2::EIP": "Outgoing requests come from another address; systems that allow only the old one refuse them.",
    "AWS::EC2::Instance": "Open connections through it break, for minutes.",
    "AWS::EC2::NatGateway": "Open outgoing connections break.",
    "AWS::EC2::SecurityGroup": "Members of only the old group cannot be reached until they join the new one.",
    "AWS::EC2::Subnet": _NOT_SERVED,
    "AWS::EC2::VPC": _NOT_SERVED,
    "AWS::ECS::Cluster": _NOT_SERVED,
    "AWS::ECS::Service": "A second service starts beside the first and takes no traffic from a blue/green deployment.",
    "AWS::ElasticLoadBalancingV2::Listener": _NOT_SERVED,
    "AWS::ElasticLoadBalancingV2::LoadBalancer": _NOT_SERVED,
    "AWS::ElasticLoadBalancingV2::TargetGroup": "The new group has no tasks yet: users get 503.",
}
# Each has neither data nor an address, and CloudFormation creates the new one before it deletes the old one.
_UNNOTICED = frozenset(
    {
        "AWS::ApplicationAutoScaling::ScalingPolicy",
        "AWS::CloudWatch::Alarm",
        "AWS::EC2::LaunchTemplate",
        "AWS::EC2::SecurityGroupEgress",
        "AWS::EC2::SecurityGroupIngress",
        "AWS::ECS::TaskDefinition",
        "AWS::Events::Rule",
        "AWS::IAM::InstanceProfile",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
        "AWS::Lambda::LayerVersion",
        "AWS::Lambda::Permission",
        "AWS::Lambda::Version",
        "Custom::ValidatedCertificate",
    }
)
# Update fails rather than replace a key that data is encrypted with (template reference of the type).
_REFUSED = {"AWS::KMS::Key": ("KeySpec", "KeyUsage", "MultiRegion", "Origin")}
ANOTHER_REDIS = "add another instance, switch `serves` to it, then remove this one: docs/runbooks/redis-migrate.md"
KEPT = ("Retain", "RetainExceptOnCreate", "Snapshot")


def effects(change: ResourceChange) -> Iterator[Effect]:
    if change.old is None or change.new is None:
        return
    if change.old["Type"] != change.type:
        yield effect_of(
            change, Impact.IMPOSSIBLE, "type", f"was {change.old['Type']}",
            'CloudFormation refuses the whole stack: "Update of resource type is not permitted".',
            procedure="give the new resource another logical id", properties=("Type",),
        )  # fmt: skip
        return
    if refused := tuple(name for name in _REFUSED.get(change.type, ()) if name in change.properties):
        yield effect_of(
            change, Impact.IMPOSSIBLE, "refused", f"would change ({', '.join(refused)})",
            "The service refuses this for an existing resource, and the stack is rolled back.",
            procedure="add a new one under another logical id, and move the data", properties=refused,
        )  # fmt: skip
        return
    if change.replacement is Replacement.YES:
        yield from _named(change)
        yield _replaced(change)
    elif change.replacement is Replacement.CONDITIONAL:
        # The schemas do not state the condition.
        asked = "`aws cloudformation create-change-set` shows whether it is, as Replacement"
        if change.type in _UNNOTICED:
            severity, procedure = Impact.SAFE, ""
        elif change.type in DATA or change.type in _SERVES:
            is_redis = change.type == "AWS::ElastiCache::ReplicationGroup"
            severity, procedure = Impact.DANGEROUS, ANOTHER_REDIS if is_redis else asked
        else:
            severity, procedure = Impact.LOOK, asked
        yield effect_of(
            change,
            severity,
            "may-be-replaced",
            f"may be replaced ({_reason(change, change.may_replace)})",
            _consequence(change),
            procedure=procedure,
            properties=change.may_replace,
        )


def _replaced(change: ResourceChange) -> Effect:
    what = f"is replaced ({_reason(change, change.replaced_by)})"
    if change.type == "AWS::ElasticLoadBalancingV2::TargetGroup" and change.replaced_by == ("Port",):
        severity = Impact.DANGEROUS
        procedure = (
            f"`target_group_port = {change.was('Port')}` beside `port`: tasks are registered with their own port"
        )
    elif change.type == "AWS::ElastiCache::ReplicationGroup":
        severity, procedure = Impact.DANGEROUS, ANOTHER_REDIS
    elif change.type in DATA:
        severity, procedure = Impact.DANGEROUS, "create the new one beside it, move the data, then remove the old one"
    elif change.type in _SERVES:
        severity, procedure = Impact.DANGEROUS, "create the new one under another name, move the traffic, then remove"
    else:
        severity, procedure = Impact.SAFE if change.type in _UNNOTICED else Impact.LOOK, ""
    return effect_of(
        change, severity, "replaced", what, _consequence(change), procedure=procedure, properties=change.replaced_by
    )


def _consequence(change: ResourceChange) -> str:
    if change.type in _UNNOTICED:
        return "None: it holds nothing."
    if change.type in DATA:
        kept = (change.new or {}).get("UpdateReplacePolicy", "Delete")
        left = {
            "Snapshot": "a snapshot of the old one stays",
            "Retain": "the old one stays, outside every stack, and is billed",
        }.get(kept, "the old one is deleted with all its data")
        return f"The new {DATA[change.type]} is empty; {left}."
    return _SERVES.get(
        change.type, "The new one has another id. Anything outside these stacks that uses the old id breaks."
    )


def _reason(change: ResourceChange, properties: tuple[str, ...]) -> str:
    causes = f", as {' and '.join(change.causes[:2])} changes" if change.causes else ""
    return ", ".join(properties) + causes


def _named(change: ResourceChange) -> Iterator[Effect]:
    if schemas.is_described(change.type) and schemas.schema(change.type).is_deleted_first:
        return
    for name, value in identity(change.type, change.new).items():
        if identity(change.type, change.old).get(name) == value:
            yield effect_of(
                change, Impact.IMPOSSIBLE, "exists",
                f"would have to be replaced ({_reason(change, change.replaced_by)}) and keeps its name, {value}",
                'CloudFormation refuses: "cannot update a stack when a custom-named resource requires replacing".',
                procedure="change the name, too, or leave the property as it is", properties=change.replaced_by,
            )  # fmt: skip
            return


# What the service allows once, besides names. For a second one it answers RouteAlreadyExists,
# InvalidPermission.Duplicate, Resource.AlreadyAssociated or PriorityInUse.
_PORTS = ("GroupId", "IpProtocol", "FromPort", "ToPort", "CidrIp")
_ONCE: Mapping[str, tuple[str, ...]] = {
    "AWS::EC2::Route": ("RouteTableId", "DestinationCidrBlock"),
    "AWS::EC2::SecurityGroupEgress": (*_PORTS, "DestinationSecurityGroupId", "DestinationPrefixListId"),
    "AWS::EC2::SecurityGroupIngress": (*_PORTS, "SourceSecurityGroupId", "SourcePrefixListId"),
    "AWS::EC2::SubnetRouteTableAssociation": ("SubnetId",),
    "AWS::ElasticLoadBalancingV2::ListenerRule": ("ListenerArn", "Priority"),
}  # fmt: skip


def once(type_: str, resource: Any) -> str:
    """What the service keeps one of, in a form that compares within a stack; "" for types that have no such thing."""
    if type_ not in _ONCE:
        return ""
    properties = resource.get("Properties", {})
    return json.dumps([plain(properties.get(name), {}) for name in _ONCE[type_]], sort_keys=True)


def identity(type_: str, resource: Any) -> dict[str, str]:
    """Names that the template gives and of which the service keeps one: by property, or all of an identifier together.

    Empty if a deployment or the service makes them.
    """
    if not schemas.is_described(type_):
        return {}
    schema, properties = schemas.schema(type_), resource.get("Properties", {})
    kind = type_.rpartition("::")[2]
    found = {
        name: str(properties[name])
        for name in ("Name", f"{kind}Name", "GroupName")
        if (name,) in schema.create_only and isinstance(properties.get(name), str)
    }
    if all(isinstance(properties.get(name), str) for name in schema.identifier):
        together = [str(plain(properties[name], {})) for name in schema.identifier]
        if any((name,) in schema.create_only for name in schema.identifier):
            found[" and ".join(schema.identifier)] = " and ".join(together)
    return found
