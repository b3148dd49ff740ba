"""What RDS, ElastiCache and our function for Upstash refuse, and what interrupts them, and when."""

import json
from collections.abc import Iterator
from typing import Any

from ops.effects.changes import ResourceChange
from ops.effects.effect import Effect, Impact, effect_of

# API references, ModifyDBSubnetGroup and ModifyCacheSubnetGroup.
_SUBNET_GROUPS = {
    "AWS::RDS::DBSubnetGroup": "`aws rds describe-db-instances` names the zones (AvailabilityZone and "
    "SecondaryAvailabilityZone); if the removed one is among them, keep it",
    "AWS::ElastiCache::SubnetGroup": "`aws elasticache describe-replication-groups` names the zone of each node "
    "(PreferredAvailabilityZone); if the removed one is among them, keep it",
}
_QUIET = "deploy in a quiet hour: CloudFormation does not wait for the maintenance window"


def effects(change: ResourceChange) -> Iterator[Effect]:
    if change.old is None or change.new is None:
        return
    if change.type == "AWS::RDS::DBInstance":
        yield from _storage(change)
        yield from _version(change, "AWS::RDS::DBInstance")
        yield from _instance(change)
    elif change.type == "AWS::RDS::DBParameterGroup" and "Parameters" in change.properties:
        yield effect_of(
            change, Impact.LOOK, "parameters", "has other parameters",
            "A static parameter takes effect when the database restarts, which CloudFormation may do at once.",
            procedure=_QUIET, properties=("Parameters",),
        )  # fmt: skip
    elif change.type in _SUBNET_GROUPS:
        yield from _subnets(change)
    elif change.type == "Custom::UpstashDatabase":
        yield from _upstash(change)
    elif change.type == "AWS::ElastiCache::ReplicationGroup":
        yield from _version(change, "AWS::ElastiCache::ReplicationGroup")
        yield from _nodes(change)


def _subnets(change: ResourceChange) -> Iterator[Effect]:
    was, is_ = change.was("SubnetIds"), change.is_("SubnetIds")
    if isinstance(was, list) and isinstance(is_, list) and any(each not in is_ for each in was):
        yield effect_of(
            change, Impact.DANGEROUS, "zones", "loses a subnet",
            "If a node is in that zone, AWS refuses (SubnetAlreadyInUse, SubnetInUse), and the stack is rolled back.",
            procedure=_SUBNET_GROUPS[change.type], properties=("SubnetIds",),
        )  # fmt: skip


def _storage(change: ResourceChange) -> Iterator[Effect]:
    was, is_ = _number(change.was("AllocatedStorage")), _number(change.is_("AllocatedStorage"))
    if was is None or is_ is None or was == is_:
        return
    if is_ < was:
        yield effect_of(
            change, Impact.IMPOSSIBLE, "refused", f"would shrink from {was:g} to {is_:g} GiB",
            "RDS cannot shrink storage; the stack is rolled back.",
            procedure=f"leave it at {was:g} GiB; for less, copy the data into a new database",
            properties=("AllocatedStorage",),
        )  # fmt: skip
    else:
        yield effect_of(
            change, Impact.LOOK, "grows", f"grows from {was:g} to {is_:g} GiB",
            "Storage is slower while RDS optimizes it. For six hours RDS refuses another change of storage.",
            properties=("AllocatedStorage",),
        )  # fmt: skip


def _version(change: ResourceChange, type_: str) -> Iterator[Effect]:
    was, is_ = str(change.was("EngineVersion") or ""), str(change.is_("EngineVersion") or "")
    old, new = _numbers(was), _numbers(is_)
    # A shorter version names every longer one that begins with it: 17 is whichever 17.x runs.
    length = min(len(old), len(new))
    if not old or not new or was == is_ or old[:length] == new[:length]:
        return
    service = "RDS" if type_.startswith("AWS::RDS") else "ElastiCache"
    is_major, is_back = old[0] != new[0], new[:length] < old[:length]
    if service == "RDS" and is_major and str(change.is_("AllowMajorVersionUpgrade")).lower() != "true":
        # `infra doctor` reads which version runs: only a template that says the same can be deployed.
        yield effect_of(
            change, Impact.DANGEROUS, "version", f"would go {'back ' if is_back else ''}from version {was} to {is_}",
            f"RDS refuses, and the stack is rolled back, unless {is_} runs already.",
            procedure=f"first `infra database upgrade ENV {'--back' if is_back else f'--to {is_}'}`, then deploy this",
            properties=("EngineVersion",),
        )  # fmt: skip
        return
    if is_back:
        yield effect_of(
            change, Impact.IMPOSSIBLE, "refused", f"would go back from version {was} to {is_}",
            f"{service} cannot downgrade; the stack is rolled back.",
            procedure=f"leave {was}, or restore a backup into a new one of {is_}", properties=("EngineVersion",),
        )  # fmt: skip
        return
    yield effect_of(
        change, Impact.DANGEROUS, "interrupted", f"is upgraded from {was} to {is_}, at once",
        _of_upgrade(change, service, is_major=is_major),
        procedure=_QUIET, properties=("EngineVersion",),
    )  # fmt: skip


def _of_upgrade(change: ResourceChange, service: str, *, is_major: bool) -> str:
    if service == "RDS":
        # RDS guide, "Upgrading a DB instance engine version": Multi-AZ does not shorten it.
        return (
            "RDS upgrades it together with its standby, if it has one: no database for "
            f"{'minutes, and no way back' if is_major else 'a minute or more'}."
        )
    if _has_replica(change):
        return "Node after node is replaced, the primary by a failover: some seconds of errors. There is no way back."
    return "It has no replica: it does not answer for minutes. There is no way back."


def _has_replica(change: ResourceChange) -> bool:
    return (_number(change.was("NumCacheClusters")) or 0) > 1 or (_number(change.was("ReplicasPerNodeGroup")) or 0) > 0


def _instance(change: ResourceChange) -> Iterator[Effect]:
    was, is_ = change.was("DBInstanceClass"), change.is_("DBInstanceClass")
    has_standby = str(change.was("MultiAZ")).lower() == "true"
    if was != is_:
        yield effect_of(
            change, Impact.DANGEROUS, "interrupted", f"changes from {was} to {is_}, at once",
            "It fails over to its standby: one to two minutes without a database."
            if has_standby
            else "It has no standby: users are without a database for minutes.",
            procedure=_QUIET, properties=("DBInstanceClass",),
        )  # fmt: skip
    if "DBParameterGroupName" in change.properties:
        # Template reference of the type, DBParameterGroupName.
        yield effect_of(
            change, Impact.DANGEROUS, "interrupted", "takes another parameter group, at once",
            "CloudFormation restarts it if any parameter of the group is static: users get errors for a minute.",
            procedure=_QUIET, properties=("DBParameterGroupName",),
        )  # fmt: skip
    if has_standby and str(change.is_("MultiAZ")).lower() != "true":
        yield effect_of(
            change, Impact.LOOK, "less-available", "loses its standby",
            "When its zone or its host fails, users are without a database until a backup is restored.",
            properties=("MultiAZ",),
        )  # fmt: skip
    days = _number(change.was("BackupRetentionPeriod")), _number(change.is_("BackupRetentionPeriod"))
    if days[0] is not None and days[1] is not None and days[1] < days[0]:
        yield effect_of(
            change, Impact.DANGEROUS if not days[1] else Impact.LOOK, "less-recoverable",
            f"keeps {days[1]:g} days of backups instead of {days[0]:g}",
            "Older states can never be restored again."
            if days[1]
            else "RDS deletes every automatic backup and restarts the database; nothing can be restored any more.",
            properties=("BackupRetentionPeriod",),
        )  # fmt: skip
    if str(change.is_("PubliclyAccessible")).lower() == "true" != str(change.was("PubliclyAccessible")).lower():
        yield effect_of(
            change, Impact.DANGEROUS, "open", "gets a public address", "The internet reaches the database's port.",
            procedure="leave it private", properties=("PubliclyAccessible",),
        )  # fmt: skip
    if change.was("CACertificateIdentifier") != change.is_("CACertificateIdentifier"):
        yield effect_of(
            change, Impact.DANGEROUS, "interrupted", "gets a certificate of another authority",
            "RDS may restart it, and clients that do not trust the new authority cannot connect.",
            procedure="first release services that trust both, then deploy in a quiet hour",
            properties=("CACertificateIdentifier",),
        )  # fmt: skip


def _nodes(change: ResourceChange) -> Iterator[Effect]:
    if change.was("CacheNodeType") != change.is_("CacheNodeType"):
        has_replica = _has_replica(change)
        yield effect_of(
            change, Impact.LOOK if has_replica else Impact.DANGEROUS, "interrupted",
            f"changes from {change.was('CacheNodeType')} to {change.is_('CacheNodeType')}, at once",
            "It fails over: seconds of errors, in which rate limits are not enforced."
            if has_replica
            else "It has no replica: ElastiCache copies its data, and it does not answer meanwhile.",
            procedure=_QUIET, properties=("CacheNodeType",),
        )  # fmt: skip
    was, is_ = _number(change.was("NumCacheClusters")), _number(change.is_("NumCacheClusters"))
    if was is not None and is_ is not None and is_ < was:
        yield effect_of(
            change, Impact.LOOK, "less-available", f"has {is_:g} nodes instead of {was:g}",
            "It survives the loss of fewer zones.", properties=("NumCacheClusters",),
        )  # fmt: skip
    was, is_ = _number(change.was("NumNodeGroups")), _number(change.is_("NumNodeGroups"))
    if was is not None and is_ is not None and was != is_:
        yield effect_of(
            change, Impact.DANGEROUS, "interrupted", f"is resharded from {was:g} to {is_:g} shards",
            "Slots move while it serves: slower answers, for minutes to hours.", procedure=_QUIET,
            properties=("NumNodeGroups",),
        )  # fmt: skip


def _upstash(change: ResourceChange) -> Iterator[Effect]:
    was, is_ = (json.loads(each) for each in (change.was("Document"), change.is_("Document")))
    for name, verb in (("region", "move"), ("name", "be renamed")):
        if was[name] != is_[name]:
            yield effect_of(
                change, Impact.IMPOSSIBLE, "refused", f"would {verb} from {was[name]} to {is_[name]}",
                "The custom resource refuses, as the data would stay behind, and the stack is rolled back.",
                procedure="add another instance, switch to it, remove this one (docs/runbooks/redis-migrate.md)",
                properties=("Document",),
            )  # fmt: skip


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
