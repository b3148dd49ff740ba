"""What the next deployment would do to the present one."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from config.model import Environment
from config.services import released
from infra_runtime.release.preflight import release_alarms, service_arns, service_of, services_of, under_way
from ops.amplify import DeployedAmplifySite
from ops.doctor import amplify
from ops.doctor.finding import Finding
from ops.doctor.not_created import not_created
from ops.doctor.unreleased import unreleased
from ops.effects import Effect, Impact, effects
from ops.effects.template import Template, Templates
from ops.functions import Clients, physical_ids
from ops.overwritten import overwritten
from ops.releases.target import ReleaseTarget
from ops.stacks import NOT_CREATED, Stack, stacks, templates

# RDS guide, "Viewing DB instance status"; while storage is optimized, only storage cannot be changed.
_TAKES_CHANGES = ("available", "storage-optimization")
AT_REST = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "IMPORT_COMPLETE")


def examine(
    name: str, environment: Environment, clients: Clients, wanted: Templates, acknowledged: Collection[str] = ()
) -> Iterator[Finding]:
    """`acknowledged` are names of effects. Raises what boto3 raises."""
    everywhere = list(stacks(clients, name))
    ours = [each for each in everywhere if each.tags.get("product") == environment.product]
    for stack in ours:
        if stack.status in NOT_CREATED:
            yield from not_created(clients, stack)
        elif stack.status not in AT_REST:
            yield Finding(
                where=stack.name,
                what=f"is {stack.status}",
                why="CloudFormation updates a stack only when no operation runs on it",
                fix="wait, or finish the operation in CloudFormation's console",
            )
    if ours:
        now = templates(clients, ours, wanted)
        found = effects(now, wanted)
        yield from of_effects(clients, found, wanted, acknowledged)
        for effect in overwritten(clients, now, wanted, found):
            yield from _unacknowledged(effect, acknowledged)
    else:
        yield from _same_names(clients, everywhere, wanted)
    deployed = {each.name for each in ours}
    for service in released(environment):
        place = ReleaseTarget(name, environment, service, clients)
        if place.stack in deployed and any(service_arns(clients, place.stack)):
            yield from of_service(place)
    for service, each in environment.services.items():
        site = DeployedAmplifySite(name, environment, service, clients)
        # Until this deployment, ECS may run it in the stack of that name.
        if each.amplify is not None and site.stack in deployed and site.is_deployed:
            yield from amplify.examine(site)


def _same_names(clients: Clients, others: Collection[Stack], wanted: Templates) -> Iterator[Finding]:
    """Before the first deployment: another product, or this one under its former name, owns what we would create."""
    for product in sorted({each.tags.get("product", "") for each in others}):
        theirs = [each for each in others if each.tags.get("product", "") == product]
        taken = [each for each in effects(templates(clients, theirs, wanted), wanted) if each.kind == "exists"]
        for each in taken[:1]:
            yield Finding(
                where=theirs[0].name,
                what=f"{each.resource} {each.what}; {len(taken)} names in all",
                why="the deployment fails half-way, and a second, empty environment begins beside the first",
                fix=f"if this environment was deployed as product {product!r}, use that name again; "
                "otherwise rename the environment",
            )


def of_effects(
    clients: Clients, found: Collection[Effect], wanted: Templates, acknowledged: Collection[str]
) -> Iterator[Finding]:
    """Those of the effects that stop a deployment now. Raises what boto3 raises."""
    yield from _busy(clients, found)
    early = list(unreleased(clients, found, wanted))
    for each in found:
        if each.kind in _LIVE:
            yield from _LIVE[each.kind](clients, each, found, wanted[each.stack])
        elif each.severity is Impact.IMPOSSIBLE:
            yield _finding(each, each.procedure)
        elif any(each is effect for effect, _ in early):
            why = "users would get the placeholder: nothing was released there yet"
            yield _finding(each, "infra change next ENV, and its command", why=why)
        elif each.kind == "in-use":
            # The acknowledgement accepts the effect, not the step that has to come first and is still missing.
            yield _finding(each, "infra change next ENV, and its command")
        else:
            yield from _unacknowledged(each, acknowledged)


def _unacknowledged(effect: Effect, acknowledged: Collection[str]) -> Iterator[Finding]:
    if effect.severity is Impact.DANGEROUS and effect.name not in acknowledged:
        fix = f"{effect.procedure}; or acknowledge it in a commit message: Acknowledge: {effect.name}"
        yield _finding(effect, fix)


def _busy(clients: Clients, found: Collection[Effect]) -> Iterator[Finding]:
    """Databases and Redis that the deployment changes while RDS or ElastiCache is still changing them."""
    for effect in _changed(found, "AWS::RDS::DBInstance"):
        live = _database(clients, effect)
        if live["DBInstanceStatus"] not in _TAKES_CHANGES:
            yield Finding(
                where=effect.stack,
                what=f"{effect.resource} is {live['DBInstanceStatus']}",
                why="RDS refuses the change, and the stack is rolled back",
                fix="wait until it is available: "
                f"aws rds wait db-instance-available --db-instance-identifier {live['DBInstanceIdentifier']}",
            )
        elif pending := ", ".join(live.get("PendingModifiedValues", {})):
            # RDS guide, "Using the schedule modifications setting"; CloudFormation's default is to apply at once.
            yield Finding(
                where=effect.stack,
                what=f"{effect.resource} waits for its maintenance window with {pending}",
                why="a change that is applied at once also applies what waits: users may be without a database",
                fix="wait for the window, or apply it in a quiet hour: aws rds modify-db-instance --apply-immediately "
                f"--db-instance-identifier {live['DBInstanceIdentifier']}",
            )
    for effect in _changed(found, "AWS::ElastiCache::ReplicationGroup"):
        identifier = physical_ids(clients, effect.stack)[effect.resource]
        elasticache = clients.client("elasticache")
        (group,) = elasticache.describe_replication_groups(ReplicationGroupId=identifier)["ReplicationGroups"]
        if group["Status"] != "available":
            # API reference, ModifyReplicationGroup, InvalidReplicationGroupState.
            yield Finding(
                where=effect.stack,
                what=f"{effect.resource} is {group['Status']}",
                why="ElastiCache refuses the change, and the stack is rolled back",
                fix="wait until it is available: "
                f"aws elasticache wait replication-group-available --replication-group-id {identifier}",
            )


def _changed(found: Collection[Effect], type_: str) -> Iterator[Effect]:
    """One effect of each resource of the type that is there and stays."""
    every = {
        (each.stack, each.resource): each
        for each in found
        if each.type == type_ and each.kind not in ("new", "deleted", "gone", "left")
    }
    yield from every.values()


def _database(clients: Clients, effect: Effect) -> Any:
    identifier = physical_ids(clients, effect.stack)[effect.resource]
    (live,) = clients.client("rds").describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    return live


def by_live_state(clients: Clients, found: Collection[Effect], wanted: Templates) -> Iterator[Finding]:
    """Effects that cannot be deployed yet, by what runs in the account. Raises what boto3 raises."""
    for each in found:
        if each.kind in _LIVE:
            yield from _LIVE[each.kind](clients, each, found, wanted[each.stack])


def _finding(effect: Effect, fix: str, *, why: str = "") -> Finding:
    what = f"{effect.resource} {effect.what}".strip()
    return Finding(where=effect.stack, what=what, why=why or effect.consequence, fix=fix)


def _weights(clients: Clients, effect: Effect, found: Collection[Effect], wanted: Template) -> Iterator[Finding]:
    """Safe while the template says what the load balancer does: then nothing moves (docs/adr/0004)."""
    ids = physical_ids(clients, effect.stack)
    (rule,) = clients.client("elbv2").describe_rules(RuleArns=[ids[effect.resource]])["Rules"]
    replaced = {each.resource for each in found if each.stack == effect.stack and each.kind == "replaced"}
    template = {
        group: weight
        for name, weight in _declared(wanted["Resources"][effect.resource])
        if (group := ids.get(name, name)) and name not in replaced
    }
    live = {
        each["TargetGroupArn"]: int(each["Weight"])
        for action in rule["Actions"]
        for each in action.get("ForwardConfig", {}).get("TargetGroups", [])
    }
    if template != live and _serves(clients, effect.stack, live):
        weights = ", ".join(f"{group.split('/')[-2]} {weight}" for group, weight in live.items())
        yield _finding(effect, effect.procedure, why=f"{effect.consequence} The load balancer has {weights}")


def _serves(clients: Clients, stack: str, groups: Collection[str]) -> bool:
    """Whether the service behind these target groups runs a task: an empty preview's does not, and has no users."""
    return any(
        each["runningCount"]
        for each in services_of(clients, stack)
        if any(balanced.get("targetGroupArn") in groups for balanced in each["loadBalancers"])
    )


def _storage(clients: Clients, effect: Effect, _: Collection[Effect], wanted: Template) -> Iterator[Finding]:
    """Storage grows by itself, and RDS accepts only a larger size."""
    live = _database(clients, effect)
    asked = int(wanted["Resources"][effect.resource]["Properties"]["AllocatedStorage"])
    if live["DBInstanceStatus"] == "storage-optimization":
        yield _finding(
            effect, "wait until it is available", why="RDS refuses another size while it optimizes the storage"
        )
    if asked <= live["AllocatedStorage"]:
        fix = f"storage_gib as it was deployed, or more than {live['AllocatedStorage']}"
        why = (
            f"RDS has extended it to {live['AllocatedStorage']} GiB and refuses to shrink it; the stack is rolled back"
        )
        yield _finding(effect, fix, why=why)


def _version(clients: Clients, effect: Effect, _: Collection[Effect], wanted: Template) -> Iterator[Finding]:
    """RDS refuses a template with another major version than the one that runs (docs/adr/0030)."""
    live = _database(clients, effect)
    asked = wanted["Resources"][effect.resource]["Properties"]["EngineVersion"]
    if not f"{live['EngineVersion']}.".startswith(f"{asked}."):
        yield _finding(effect, effect.procedure, why=f"{effect.consequence} Version {live['EngineVersion']} runs")


_LIVE: Mapping[str, Callable[[Clients, Effect, Collection[Effect], Template], Iterator[Finding]]] = {
    "weights": _weights,
    "grows": _storage,
    "version": _version,
}


def _declared(rule: Template) -> Iterator[tuple[str, int]]:
    """(logical id of the target group, weight) of each, as the template says."""
    for action in rule["Properties"]["Actions"]:
        for each in action.get("ForwardConfig", {}).get("TargetGroups", []):
            yield each["TargetGroupArn"].get("Ref", ""), int(each.get("Weight", 1))


def of_service(place: ReleaseTarget) -> Iterator[Finding]:
    """Deployments that are under way, and alarms that could not stop a release. Raises what boto3 raises."""
    service = service_of(place.clients, place.stack)
    newest = place.ledger.newest(place.service)
    if newest is not None and newest.outcome == "running":
        yield Finding(
            where=place.stack,
            what=f"release {newest.id} by {newest.who} is running",
            why="a deployment would interrupt the release",
            fix=f"wait for it: ./infra status {place.name}",
        )
    else:
        # By a restart, or in ECS's console.
        for each in services_of(place.clients, place.stack):
            for deployment in under_way(place.clients, each):
                yield Finding(
                    where=place.stack,
                    what=f"ECS deploys {each['serviceName']} ({deployment['status']})",
                    why="a deployment would interrupt it",
                    fix=f"wait for it: ./infra status {place.name}",
                )
    for alarm, state in release_alarms(place.clients, service).items():
        if state == "ALARM":
            yield Finding(
                where=place.stack,
                what=f"{alarm} fires",
                why="ECS would ignore this alarm for the whole deployment, so it could not roll back",
                fix="wait, or follow its runbook",
            )
