"""Network paths: from the load balancer to a task, and from a task to the internet."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ops.effects.changes import Difference, Replacement, ResourceChange
from ops.effects.effect import Effect, Impact, effect_of
from ops.effects.template import plain, resources, values

RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
_GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
_GATE = "Custom::HealthPathGate"
_SECURITY_GROUP = "AWS::EC2::SecurityGroup"
_RULES = ("AWS::EC2::SecurityGroupIngress", "AWS::EC2::SecurityGroupEgress")
_EVERYWHERE = frozenset(("0.0.0.0/0", "::/0"))
# Previews are not gated: a pull request's next push has an image that answers.
_PREVIEW = re.compile(r"-preview\d+$")
_HEALTH = ("HealthCheckPath", "HealthCheckPort", "HealthCheckProtocol", "Matcher")


def effects(change: ResourceChange, difference: Difference) -> Iterator[Effect]:
    if change.type == RULE and change.old is not None and _is_divided(change.old):
        yield from _frozen(change)
    elif change.type == _GROUP and change.old is not None and change.new is not None:
        yield from _health(change, difference)
    elif change.type in _RULES and change.new is None and change.old is not None:
        yield _closed(change, change.old, difference)
    elif change.type in (_SECURITY_GROUP, *_RULES):
        yield from _network(change)
    elif change.type == "AWS::EC2::Route":
        yield from _rerouted(change)


def _is_divided(rule: Any) -> bool:
    """Whether ECS moves its weights: it names both groups of a blue/green service."""
    return any(isinstance(each, list) and len(each) > 1 for each in values(rule, "TargetGroups"))


def _frozen(change: ResourceChange) -> Iterator[Effect]:
    lost = ", ".join(sorted(set(_hosts(change.old)) - set(_hosts(change.new))))
    if change.new is None:
        yield effect_of(
            change, Impact.DANGEROUS, "gone", "is not in the code any more",
            f"The load balancer answers requests{f' for {lost}' if lost else ''} with 404.",
            procedure="first point DNS elsewhere; if it was renamed, give it its logical id back",
        )  # fmt: skip
        return
    yield effect_of(
        change, Impact.DANGEROUS, "weights", f"is updated ({', '.join(change.properties)})",
        "The template's weights replace those that ECS has set: while green serves, users reach the empty group"
        + (f"; requests for {lost} get 404." if lost else "."),
        procedure="release until blue has weight 100 (`infra status ENV`), then deploy; `infra doctor ENV` compares "
        "(docs/adr/0004-frozen-rules.md)"
        + (f"; `former_host` keeps {lost} until DNS points elsewhere (docs/runbooks/host.md)" if lost else ""),
    )  # fmt: skip


def _hosts(rule: Any) -> Iterator[str]:
    for config in values(rule, "HostHeaderConfig"):
        for each in values(config, "Values"):
            yield from (host for host in each if isinstance(host, str))


def _health(change: ResourceChange, difference: Difference) -> Iterator[Effect]:
    if change.replacement is not Replacement.NO:
        return
    if changed := tuple(name for name in change.properties if name in _HEALTH):
        paths = (
            f" ({change.was('HealthCheckPath')} → {change.is_('HealthCheckPath')})"
            if "HealthCheckPath" in changed
            else ""
        )
        is_gated = changed == ("HealthCheckPath",) and _is_gated(change, difference)
        unnoticed = is_gated or _PREVIEW.search(change.stack)
        yield effect_of(
            change, Impact.LOOK if unnoticed else Impact.DANGEROUS, "health",
            f"changes the health check of running tasks{paths}",
            "The deployment asks each running task first. If one does not answer 200, the stack is rolled back before "
            "anything changes; users notice nothing."
            if is_gated
            else "ECS replaces tasks that fail it with others that fail it, too, and users get errors.",
            procedure="first release an image that passes both checks, then change it", properties=changed,
        )  # fmt: skip


def _is_gated(change: ResourceChange, difference: Difference) -> bool:
    """Whether the new template asks the tasks before it changes the target group (infra_runtime.health_path)."""
    every = resources(difference.after[change.stack])
    return any(every[name]["Type"] == _GATE for name in (change.new or {}).get("DependsOn", ()) if name in every)


def _closed(change: ResourceChange, old: Any, difference: Difference) -> Effect:
    """A port closes when its stack is deployed, while a later stack serves on it until its own deployment."""
    if _is_open_by_another(change, difference):
        return effect_of(change, Impact.SAFE, "deleted", "is removed; another rule opens the same", "None.")
    order = list(difference.after)
    later = [stack for stack in order[order.index(change.stack) + 1 :] if stack in difference.before]
    first, last = old["Properties"].get("FromPort"), old["Properties"].get("ToPort")
    users = [stack for stack in later if any(_within(port, first, last) for port in _ports(difference.before[stack]))]
    if users:
        return effect_of(
            change, Impact.DANGEROUS, "closed", f"closes port {first} before {', '.join(users)} stops using it",
            "Users get 503 or 504 until the later stack is deployed, and permanently if that deployment fails.",
            procedure="open the new port in one deployment, move the service, close the old one in another",
        )  # fmt: skip
    return effect_of(change, Impact.LOOK, "network", "admits less traffic", "Connections that need it fail.")


def _is_open_by_another(change: ResourceChange, difference: Difference) -> bool:
    """A rule that stays or is new: CloudFormation creates before it deletes."""
    old = {name: plain(value, {}) for name, value in (change.old or {}).get("Properties", {}).items()}
    same = [name for name in old if name not in ("FromPort", "ToPort", "Description")]
    for each in resources(difference.after[change.stack]).values():
        if each["Type"] == change.type:
            new = {name: plain(value, {}) for name, value in each.get("Properties", {}).items()}
            between = _within(change.was("FromPort"), *_ends(each)) and _within(change.was("ToPort"), *_ends(each))
            if between and all(new.get(name) == old[name] for name in same):
                return True
    return False


def _ends(rule: Any) -> tuple[Any, Any]:
    return rule["Properties"].get("FromPort"), rule["Properties"].get("ToPort")


def _network(change: ResourceChange) -> Iterator[Effect]:
    opened = [each for each in _open_to_all(change.new) if each not in _open_to_all(change.old)]
    if opened:
        yield effect_of(
            change, Impact.DANGEROUS, "open", f"opens port {', '.join(opened)} to every address",
            "The whole internet can reach it, as far as routes and network ACLs allow.",
            procedure="name the addresses or the security group that need it",
        )  # fmt: skip
    elif change.type in _RULES and change.old is None:
        yield effect_of(change, Impact.LOOK, "network", "admits more traffic", "More can be reached than before.")
    elif {"SecurityGroupIngress", "SecurityGroupEgress"} & {*change.properties}:
        yield effect_of(
            change, Impact.LOOK, "network", "admits other traffic", "Other addresses or ports can be reached."
        )


def _open_to_all(resource: Any) -> list[str]:
    if resource is None:
        return []
    properties = resource.get("Properties", {})
    rules = properties if resource["Type"].endswith("Ingress") else properties.get("SecurityGroupIngress", [])
    return [str(each.get("FromPort", "all")) for each in _mappings(rules) if _EVERYWHERE & set(_addresses(each))]


def _addresses(rule: Any) -> Iterator[str]:
    yield from (each for each in (rule.get("CidrIp"), rule.get("CidrIpv6")) if isinstance(each, str))


def _mappings(node: Any) -> Iterator[Any]:
    """All mappings in `node`: a list of rules may be an intrinsic function of lists."""
    if isinstance(node, dict):
        yield node
    for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _mappings(each)


def _ports(template: Any) -> Iterator[Any]:
    for each in resources(template).values():
        properties = each.get("Properties", {})
        if each["Type"] in (_GROUP, "AWS::RDS::DBInstance", "AWS::ElastiCache::ReplicationGroup"):
            yield properties.get("Port")


def _within(port: Any, first: Any, last: Any) -> bool:
    return all(isinstance(each, int) for each in (port, first, last)) and first <= port <= last


def _rerouted(change: ResourceChange) -> Iterator[Effect]:
    targets = ("NatGatewayId", "InstanceId", "GatewayId", "NetworkInterfaceId")
    moved: Sequence[str] = [name for name in change.properties if name in targets]
    if moved and change.old is not None and change.new is not None:
        yield effect_of(
            change, Impact.LOOK, "rerouted", "routes traffic through something else",
            "Open outgoing connections break once, and outgoing requests come from another address.",
            procedure="first allow the new address wherever the old one is allowed", properties=tuple(moved),
        )  # fmt: skip
