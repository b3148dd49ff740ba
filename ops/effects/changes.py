"""What differs between two states of an environment, with replacements followed through references and exports."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import product
from typing import Any

from ops.effects import schemas
from ops.effects.template import (
    Template,
    Templates,
    chosen,
    conditions,
    exports,
    imports,
    is_function,
    plain,
    references,
    resources,
)

Resource = Mapping[str, Any]
Properties = Mapping[str, Any]
# Attributes whose value changes with an update, too, and not only with a replacement.
_CHANGED_BY_UPDATES = frozenset(
    {("AWS::EC2::LaunchTemplate", "LatestVersionNumber"), ("AWS::EC2::LaunchTemplate", "DefaultVersionNumber")}
)


_CONDITION = "condition "


class Replacement(IntEnum):
    NO = 0
    CONDITIONAL = 1
    YES = 2


@dataclass(frozen=True, kw_only=True)
class ResourceChange:
    """A changed resource."""

    stack: str
    logical_id: str
    type: str
    old: Resource | None
    """None for a new resource."""
    new: Resource | None
    """None for a resource that was removed from the code."""
    properties: tuple[str, ...] = ()
    """Properties that differ, or refer to something that changes; also DeletionPolicy and UpdateReplacePolicy."""
    replaced_by: tuple[str, ...] = ()
    """Those of them that replace the resource."""
    may_replace: tuple[str, ...] = ()
    """Those of them that replace it under some condition."""
    causes: tuple[str, ...] = ()
    """Replaced resources (logical ids) and changed exports that its properties refer to."""

    @property
    def replacement(self) -> Replacement:
        if self.replaced_by:
            return Replacement.YES
        return Replacement.CONDITIONAL if self.may_replace else Replacement.NO

    def was(self, *path: str) -> Any:
        return _at(self.old, path)

    def is_(self, *path: str) -> Any:
        return _at(self.new, path)


@dataclass(frozen=True, kw_only=True)
class MovedExport:
    """An export whose value changes or that is removed."""

    stack: str
    name: str
    importers: tuple[str, ...]
    """Stacks that import it now."""
    is_gone: bool
    because: str
    """What replaces the resource behind it; "" where the output itself differs."""


@dataclass(frozen=True)
class Difference:
    before: Templates
    after: Templates
    changes: Sequence[ResourceChange]
    """In order of deployment."""
    exports: Sequence[MovedExport]


def _text(node: Any) -> str:
    """JSON with sorted keys, because CloudFormation returns keys in any order."""
    return json.dumps(node, sort_keys=True)


def _at(resource: Resource | None, path: tuple[str, ...]) -> Any:
    found: Any = (resource or {}).get("Properties", {})
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def difference(before: Templates, after: Templates) -> Difference:
    """Ignores stacks that only `before` has: no deployment touches them."""
    importers: dict[str, list[str]] = {}
    for stack, template in before.items():
        for name in set(imports(template)):
            importers.setdefault(name, []).append(stack)
    moved: dict[str, str] = {}
    changes: list[ResourceChange] = []
    exported: list[MovedExport] = []
    order = list(after)
    for stack, template in after.items():
        compared = _Stack(stack, before.get(stack, {}), template, moved)
        changes += compared.changes()
        for name, because, is_gone in compared.exports():
            moved[name] = because
            # A stack that drops its import earlier in the same deployment does not count.
            left = [
                each for each in importers.get(name, ()) if not _drops_import_before(each, stack, name, after, order)
            ]
            exported.append(
                MovedExport(stack=stack, name=name, importers=tuple(left), is_gone=is_gone, because=because)
            )
    return Difference(before, after, changes, exported)


def _drops_import_before(importer: str, exporter: str, name: str, after: Templates, order: list[str]) -> bool:
    if importer not in after or order.index(importer) > order.index(exporter):
        return False
    return name not in set(imports(after[importer]))


@dataclass
class _Stack:
    name: str
    old: Template
    new: Template
    moved: Mapping[str, str]
    """Exports of earlier stacks that have another value now."""
    _replaced: dict[str, str] = field(default_factory=dict)
    _perhaps: frozenset[str] = frozenset()
    """Those that may be replaced."""

    def changes(self) -> Iterator[ResourceChange]:
        """New and changed resources, then the removed ones: CloudFormation deletes at the end of an update."""
        old, new = resources(self.old), resources(self.new)
        common = [name for name in new if name in old]
        found = self._settled(common)
        for name, each in new.items():
            if name not in old:
                yield ResourceChange(stack=self.name, logical_id=name, type=each["Type"], old=None, new=each)
            elif name in found:
                yield found[name]
        for name, each in old.items():
            if name not in new:
                yield ResourceChange(stack=self.name, logical_id=name, type=each["Type"], old=each, new=None)

    def _settled(self, common: Sequence[str]) -> dict[str, ResourceChange]:
        """Compares until no replacement causes another one."""
        found: dict[str, ResourceChange] = {}
        while True:
            before, after = self._meaning(self.old, {}), self._meaning(self.new, self._replaced)
            found = {name: change for name in common if (change := self._compared(name, before, after)) is not None}
            perhaps = frozenset(name for name, each in found.items() if each.replacement is Replacement.CONDITIONAL)
            replaced = {name: name for name, change in found.items() if change.replacement is Replacement.YES} | {
                f"{name}.{attribute}": name
                for name, change in found.items()
                for type_, attribute in _CHANGED_BY_UPDATES
                if change.type == type_
            }
            if (replaced.keys(), perhaps) == (self._replaced.keys(), self._perhaps):
                return found
            self._replaced, self._perhaps = replaced, perhaps

    def _meaning(self, template: Template, replaced: Mapping[str, str]) -> dict[str, str]:
        # A deployed stack keeps the values of its parameters: `cdk deploy --previous-parameters` is the default.
        meaning = {
            name: _text({key: value for key, value in each.items() if key != "Default"})
            for name, each in template.get("Parameters", {}).items()
        }
        meaning |= {f"{_CONDITION}{name}": _text(each) for name, each in template.get("Conditions", {}).items()}
        meaning |= {f"mapping {name}": _text(each) for name, each in template.get("Mappings", {}).items()}
        if template is self.new:
            meaning |= {f"import {name}": "another value" for name in self.moved}
            meaning |= dict.fromkeys(replaced, "replaced")
        return meaning

    def _compared(self, name: str, before: Mapping[str, str], after: Mapping[str, str]) -> ResourceChange | None:
        old, new = resources(self.old)[name], resources(self.new)[name]
        if old == new and not self._refers_to_moved(new):
            return None
        at_most = {**after, **dict.fromkeys(self._perhaps, "replaced")}
        was, is_ = (plain(each.get("Properties", {}), meaning) for each, meaning in ((old, before), (new, at_most)))
        properties = [key for key in sorted({*was, *is_}) if was.get(key) != is_.get(key)]
        policies = [key for key in ("DeletionPolicy", "UpdateReplacePolicy") if old.get(key) != new.get(key)]
        if not properties and not policies and old["Type"] == new["Type"]:
            return None
        certain, possible = _in_any_case(old, new, before, (after, at_most) if self._perhaps else (after,))
        return ResourceChange(
            stack=self.name,
            logical_id=name,
            type=new["Type"],
            old=old,
            new=new,
            properties=(*properties, *policies),
            replaced_by=certain,
            may_replace=possible,
            causes=tuple(self._causes({key: new.get("Properties", {}).get(key) for key in properties})),
        )

    def _refers_to_moved(self, node: Any) -> bool:
        return (
            any(True for _ in self._causes(node))
            or self.old.get("Parameters") != self.new.get("Parameters")
            or any(self.old.get(key) != self.new.get(key) for key in ("Conditions", "Mappings"))
        )

    def _causes(self, node: Any) -> Iterator[str]:
        found = [
            name
            for name, attribute in references(node)
            for each in (name, f"{name}.{attribute}")
            if each in self._replaced or each in self._perhaps
        ]
        yield from dict.fromkeys([*found, *(name for name in imports(node) if name in self.moved)])

    def exports(self) -> Iterator[tuple[str, str, bool]]:
        """(name, reason, whether it is removed) of each export that changes."""
        old, new = exports(self.old), exports(self.new)
        before, after = self._meaning(self.old, {}), self._meaning(self.new, self._replaced)
        for name, value in old.items():
            if name not in new:
                yield name, "", True
            elif plain(value, before) != plain(new[name], after):
                yield name, next(self._causes(new[name]), ""), False


def _in_any_case(
    old: Resource, new: Resource, before: Mapping[str, str], afters: Sequence[Mapping[str, str]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the changed properties that replace a resource under every condition, and of those that may replace it.

    Only a deployment knows the parameters, and so which conditions hold. An unchanged condition holds as before.
    """
    names = sorted({*conditions(old), *conditions(new)})
    is_as_before = all(
        before.get(key) == after.get(key) for after in afters for key in {*before, *after} if key.startswith(_CONDITION)
    )
    cases, others = (list(product(*(_possible(name, meaning) for name in names))) for meaning in (before, afters[0]))
    found = [
        _replacing(new["Type"], _as_held(old, names, was, before), _as_held(new, names, is_, after))
        for was, is_ in (zip(cases, others, strict=True) if is_as_before else product(cases, others))
        for after in afters
    ]
    certain = [name for name in found[0][0] if all(name in each for each, _ in found)]
    every = dict.fromkeys(name for pair in found for names in pair for name in names)
    return tuple(certain), tuple(name for name in every if name not in certain)


def _possible(condition: str, meaning: Mapping[str, str]) -> tuple[bool, ...]:
    match json.loads(meaning.get(f"{_CONDITION}{condition}", "null")):
        case {"Fn::Equals": [str(one), str(other)]}:
            return (one == other,)
    return False, True


def _as_held(resource: Resource, names: Sequence[str], holds: Sequence[bool], meaning: Mapping[str, str]) -> Properties:
    found: Properties = plain(chosen(resource.get("Properties", {}), dict(zip(names, holds, strict=True))), meaning)
    return found


def _replacing(type_: str, old: Properties, new: Properties) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the changed properties that replace a resource, and of those that may."""
    if not schemas.is_described(type_):
        name, replaces = _OWN.get(type_, ("", _never))
        return ((name,) if replaces(old, new) else ()), ()
    schema = schemas.schema(type_)
    certain = [pointer for pointer in schema.create_only if _differs(pointer, old, new)]
    possible = [pointer for pointer in schema.conditional if _differs(pointer, old, new)]
    possible += [(name,) for name in schemas.documented().get(type_, ()) if _differs((name,), old, new)]
    left: list[schemas.Pointer] = []
    for pointer in possible:
        known = _DECIDED.get((type_, pointer[0]))
        if known is None:
            left.append(pointer)
        elif known(old, new):
            certain.append(pointer)
    return tuple(dict.fromkeys("/".join(each) for each in certain)), tuple(
        dict.fromkeys("/".join(each) for each in left)
    )


def _has_other_hosts(old: Properties, new: Properties) -> bool:
    """If so, infra_runtime.validated_certificate requests another certificate from ACM."""
    was, is_ = (set(json.loads(each["Document"])["hosts"]) for each in (old, new))
    return was != is_


# Custom resources of ours that answer an update of this property with another physical id, which replaces them.
_OWN: dict[str, tuple[str, Callable[[Properties, Properties], bool]]] = {
    "Custom::MediaAccess": ("Bucket", lambda old, new: old["Bucket"] != new["Bucket"]),
    "Custom::ValidatedCertificate": ("Document", _has_other_hosts),
}


def _differs(pointer: schemas.Pointer, old: Properties, new: Properties) -> bool:
    was, is_ = list(_values(old, pointer)), list(_values(new, pointer))
    return was != is_


def _values(node: Any, pointer: schemas.Pointer) -> Iterator[Any]:
    """The values at the path, in every item of a list. Stops at an intrinsic function, whose value is unknown, and
    yields it."""
    if not pointer or (
        node is not None
        and is_function({k: v for k, v in node.items() if k != "\0"} if isinstance(node, Mapping) else node)
    ):
        yield node
        return
    if isinstance(node, list):
        rest = pointer[1:] if pointer[0] == "*" else pointer
        for each in node:
            yield from _values(each, rest)
    elif isinstance(node, Mapping):
        if pointer[0] == "*":
            for each in node.values():
                yield from _values(each, pointer[1:])
        elif pointer[0] in node:
            yield from _values(node[pointer[0]], pointer[1:])


def _is_set(name: str) -> Callable[[Properties, Properties], bool]:
    return lambda _, new: bool(new.get(name))


def _never(_: Properties, __: Properties) -> bool:
    return False


def _always(_: Properties, __: Properties) -> bool:
    return True


# What AWS says of conditional properties. RDS: the type's own handler (aws-cloudformation-resource-providers-rds,
# ImmutabilityHelper). Others: "Update requires" in the template reference.
_RESTORED_FROM = (
    "DBClusterSnapshotIdentifier",
    "DBSnapshotIdentifier",
    "RestoreTime",
    "SourceDBClusterIdentifier",
    "SourceDBInstanceAutomatedBackupsArn",
    "SourceDBInstanceIdentifier",
    "SourceDbiResourceId",
    "UseLatestRestorableTime",
)
_INSTANCE = "AWS::RDS::DBInstance"
_DECIDED: dict[tuple[str, str], Callable[[Properties, Properties], bool]] = {
    **{(_INSTANCE, name): _is_set(name) for name in _RESTORED_FROM},
    **{
        (_INSTANCE, name): _never
        for name in (
            "AutoMinorVersionUpgrade", "BackupRetentionPeriod", "DBParameterGroupName", "MultiAZ",
            "PreferredMaintenanceWindow", "StorageType",
        )
    },
    (_INSTANCE, "Engine"): _always,
    (_INSTANCE, "PerformanceInsightsKMSKeyId"): lambda old, _: bool(old.get("PerformanceInsightsKMSKeyId")),
    (_INSTANCE, "AvailabilityZone"): lambda _, new: bool(new.get("AvailabilityZone")) or new.get("MultiAZ") != "true",
    ("AWS::DynamoDB::Table", "KeySchema"): _always,
    ("AWS::ECS::Service", "LaunchType"): _always,
    ("AWS::Events::Rule", "EventBusName"): _always,
    # An instance whose root device is EBS, as all have today, is stopped and started again.
    **{
        ("AWS::EC2::Instance", name): _never
        for name in ("EbsOptimized", "InstanceType", "KernelId", "RamdiskId", "SecurityGroupIds", "UserData")
    },
    ("AWS::EC2::VPC", "InstanceTenancy"): lambda _, new: new.get("InstanceTenancy") == "dedicated",
    # The token is rotated in place (ElastiCache guide, "Modifying the AUTH token").
    ("AWS::ElastiCache::ReplicationGroup", "AuthToken"): _never,
}  # fmt: skip
