"""What is not in the code any more: deleted, kept outside of every stack, or a stack that is never deployed again."""

from collections.abc import Iterator, Mapping
from typing import Any

from ops.effects.changes import Difference, ResourceChange
from ops.effects.effect import Effect, Impact, effect_of
from ops.effects.rules.replaced import ANOTHER_REDIS, DATA, KEPT, identity, once
from ops.effects.template import Template, resources

# Types that are billed by the hour, used or not.
BILLED = frozenset(
    {
        "AWS::EC2::EIP",
        "AWS::EC2::Instance",
        "AWS::EC2::NatGateway",
        "AWS::EC2::VPCEndpoint",
        "AWS::ECS::Service",
        "AWS::ElastiCache::ReplicationGroup",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
        "AWS::KMS::Key",
        "AWS::RDS::DBInstance",
    }
)

_SERVING = frozenset(
    {
        "AWS::EC2::Subnet",
        "AWS::EC2::VPC",
        "AWS::ECS::Cluster",
        "AWS::ECS::Service",
        "AWS::ElasticLoadBalancingV2::Listener",
        "AWS::ElasticLoadBalancingV2::LoadBalancer",
    }
)


def effects(change: ResourceChange, difference: Difference) -> Iterator[Effect]:
    if change.old is None:
        yield from _taken(change, difference)
        yield from _duplicate(change, difference)
    elif change.new is None:
        yield from _gone(change, change.old.get("DeletionPolicy", "Delete"), difference)
    else:
        yield from _policies(change, *(each.get("DeletionPolicy", "Delete") for each in (change.old, change.new)))


def _gone(change: ResourceChange, policy: str, difference: Difference) -> Iterator[Effect]:
    if change.type in DATA:
        kind = DATA[change.type]
        left = {
            "Snapshot": f"The {kind} is deleted; a snapshot of it stays.",
            "Delete": f"The {kind} is deleted with all its data.",
        }.get(policy, f"The {kind} stays outside every stack, and is billed.")
        successor = _same_kind(change, difference)
        what = f"is not in the code any more (DeletionPolicy {policy})"
        yield effect_of(
            change,
            Impact.DANGEROUS,
            "gone",
            f"{what}, and {successor} is a new one" if successor else what,
            left,
            procedure=ANOTHER_REDIS
            if change.type == "AWS::ElastiCache::ReplicationGroup"
            else "if it was renamed, give it its name back"
            if successor
            else "first a backup, then its runbook",
        )
    elif change.type in _SERVING and policy not in KEPT:
        yield effect_of(
            change, Impact.DANGEROUS, "gone", "is not in the code any more", "Users cannot reach what it served.",
            procedure="first move its users elsewhere",
        )  # fmt: skip
    elif change.type.startswith("Custom::"):
        yield effect_of(
            change, Impact.LOOK, "gone", "is not in the code any more", "Its function deletes what it has created.",
        )  # fmt: skip
    elif policy in KEPT and change.type in BILLED:
        yield effect_of(
            change, Impact.LOOK, "left", f"leaves the stack and stays (DeletionPolicy {policy})",
            "It keeps running outside every stack, and is billed.", procedure="delete it by hand when it is not needed",
        )  # fmt: skip


def _same_kind(change: ResourceChange, difference: Difference) -> str:
    """A new resource of the type in the stack, as a renamed construct makes one."""
    return next(
        (
            each.logical_id
            for each in difference.changes
            if each.old is None and each.stack == change.stack and each.type == change.type
        ),
        "",
    )


def _taken(change: ResourceChange, difference: Difference) -> Iterator[Effect]:
    """A name that another resource still has when this one is created."""
    wanted = identity(change.type, change.new)
    if not wanted:
        return
    order = list(difference.after)
    for stack, template in difference.before.items():
        for logical_id, each in resources(template).items():
            is_kept = logical_id in resources(difference.after.get(stack, {}))
            if each["Type"] != change.type or not (shared := _shared(wanted, identity(change.type, each))):
                continue
            goes_first = stack in order and order.index(stack) < order.index(change.stack)
            if goes_first and not is_kept and each.get("DeletionPolicy", "Delete") not in KEPT:
                continue
            now = each if not is_kept else resources(difference.after[stack])[logical_id]
            if is_kept and not _shared(wanted, identity(change.type, now)) and goes_first:
                continue
            yield effect_of(
                change, Impact.IMPOSSIBLE, "exists", f"is new and named {shared}, as {stack}/{logical_id} still is",
                "The service refuses a second one of that name, and the stack is rolled back.",
                procedure="another name; or, if the resource was moved or renamed, give it its logical id back",
            )  # fmt: skip
            return


def _duplicate(change: ResourceChange, difference: Difference) -> Iterator[Effect]:
    """The same under another logical id: CloudFormation creates the new one before it deletes the old one."""
    wanted = once(change.type, change.new)
    leaving = [each for each in difference.changes if each.new is None and each.stack == change.stack]
    for each in leaving:
        if wanted and each.type == change.type and once(each.type, each.old) == wanted:
            yield effect_of(
                change, Impact.IMPOSSIBLE, "exists", f"is new and the same as {each.logical_id}, which goes later",
                "The service refuses a second one, and the stack is rolled back.",
                procedure="give it its logical id back; else remove it in one deployment and add it in the next",
            )  # fmt: skip


def _shared(one: Mapping[str, str], other: Mapping[str, str]) -> str:
    return next((value for name, value in one.items() if other.get(name) == value), "")


def _policies(change: ResourceChange, was: str, is_: str) -> Iterator[Effect]:
    if was != is_ and was in KEPT and is_ not in KEPT:
        yield effect_of(
            change, Impact.DANGEROUS, "unprotected", f"loses its DeletionPolicy {was}",
            "Removing it from the code, or destroying the stack, then deletes its data.",
            procedure="keep it, unless the data is disposable", properties=("DeletionPolicy",),
        )  # fmt: skip
    protection = change.was("DeletionProtection"), change.is_("DeletionProtection")
    if _is_true(protection[0]) and not _is_true(protection[1]):
        yield effect_of(
            change, Impact.DANGEROUS, "unprotected", "loses its deletion protection",
            "A deletion by mistake would succeed.", procedure="keep it, unless you want to destroy it",
            properties=("DeletionProtection",),
        )  # fmt: skip


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"


def left_behind(difference: Difference) -> Iterator[Effect]:
    """Stacks that are never deployed again: `cdk deploy` deletes none."""
    gone = [stack for stack in difference.before if stack not in difference.after]
    if gone and len(gone) == len(difference.before):
        second = next(iter(difference.after), "")
        billed = _billed(*difference.before.values())
        yield Effect(
            severity=Impact.DANGEROUS,
            kind="renamed" if second else "left-behind",
            stack=gone[0],
            resource="",
            what=f"stays, with {len(gone) - 1} others"
            + (f", and {second} begins a second environment" if second else ""),
            consequence=f"It serves and is billed{f' ({billed})' if billed else ''}, but no deployment updates it."
            + (" The second has no data." if second else ""),
            procedure="keep `product` and the file's name, which only operators see. For another product, add a file, "
            "restore the data into it, then retire this one: docs/runbooks/decommission.md"
            if second
            else "destroy the environment while its file is there, then remove the file: docs/runbooks/decommission.md",
        )
        return
    for stack in gone:
        found = _billed(difference.before[stack])
        yield Effect(
            severity=Impact.DANGEROUS,
            kind="left-behind",
            stack=stack,
            resource="",
            what="is not in the code any more, and stays",
            consequence=f"It runs on{f', billed ({found})' if found else ''}. No deployment changes or removes it.",
            procedure=f"aws cloudformation delete-stack --stack-name {stack} before what it needs is removed",
        )


def moved(was: str, is_: str, stack: str) -> Effect:
    """`was` and `is_` are where the environment's stacks go; `stack` is its first."""
    return Effect(
        severity=Impact.DANGEROUS,
        kind="moved",
        stack=stack,
        resource="",
        what=f"begins a second environment in {is_}, beside the one in {was}",
        consequence="The first keeps serving and is billed, but no deployment updates it. The second has no data.",
        procedure="keep `aws.account` and `aws.region`; to retire an environment: docs/runbooks/decommission.md",
    )


def _billed(*templates: Template) -> str:
    kinds = dict.fromkeys(
        each["Type"].rpartition("::")[2]
        for template in templates
        for each in resources(template).values()
        if each["Type"] in BILLED
    )
    return ", ".join(kinds)
