"""An AWS FIS experiment does one known action to our own resources, and stops when a public check fails."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from config import game_days
from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import ALARM
from template_policies.graph import Resource, short
from template_policies.iam import ROLE

TEMPLATE = "AWS::FIS::ExperimentTemplate"
# docs/adr/0037
ACTIONS: Mapping[str, Mapping[str, str]] = {
    "aws:ecs:stop-task": {},
    "aws:elasticache:replicationgroup-interrupt-az-power": {"duration": r"PT\d+M"},
    "aws:network:disrupt-connectivity": {"duration": r"PT\d+M", "scope": "all"},
    "aws:rds:reboot-db-instances": {"forceFailover": "true"},
}
"""Pattern of each parameter."""
# Names of a target's parameters, by its type.
PARAMETERS: Mapping[str, set[str]] = {
    "aws:ec2:subnet": set(),
    "aws:ecs:task": {"cluster", "service"},
    "aws:elasticache:replicationgroup": {"availabilityZoneIdentifier"},
    "aws:rds:db": set(),
}
# FIS takes no more ("Quotas and limitations for AWS FIS").
MOST = 5

# Alarms of the checks from outside.
_SEEN = re.compile(r"CheckAlarms\w+Failed")


@policy(
    reason="Without a stop condition it continues while users are affected; without a target or an action it "
    "shows nothing.",
    failure=Failure.UNOBSERVED,
    reads={
        TEMPLATE: ("Actions", "ExperimentOptions", "RoleArn", "StopConditions", "Targets"),
        ROLE: ("AssumeRolePolicyDocument",),
        ALARM: (),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    seen = {each.logical_id for each in graph.of(ALARM) if _SEEN.match(each.logical_id)}
    wanted_actions = {each.action.value for each in game_days.of(graph.environment) if each.action is not None}
    there = {
        str(action.get("ActionId")) for each in graph.of(TEMPLATE) for action in (each.get("Actions") or {}).values()
    }
    for missing in sorted(wanted_actions - there):
        yield graph.missing(TEMPLATE, f"is missing: one that does {missing}", stack="Observability")
    interrupted = {
        (target.get("Parameters") or {}).get("availabilityZoneIdentifier")
        for each in graph.of(TEMPLATE)
        for target in (each.get("Targets") or {}).values()
        if target.get("ResourceType") == "aws:elasticache:replicationgroup"
    }
    # Redis' primary may be in any zone.
    if interrupted and interrupted != set(graph.environment.network.availability_zones):
        yield graph.missing(TEMPLATE, f"are for {short(sorted(map(str, interrupted)))}", stack="Observability")
    for template in graph.of(TEMPLATE):
        conditions = template.items("StopConditions")
        if not 1 <= len(conditions) <= MOST:
            yield template.violation("StopConditions", f"are {len(conditions)}, must be one to {MOST}")
        stops = {alarm.logical_id for each in conditions if (alarm := graph.target(template.stack, each.get("Value")))}
        if not all(each.get("Source") == "aws:cloudwatch:alarm" for each in conditions) or len(stops) != len(
            conditions
        ):
            yield template.violation("StopConditions", "must each be an alarm of this environment")
        if not stops <= seen or len(stops) != min(len(seen), MOST):
            yield template.violation("StopConditions", f"are {sorted(stops)}, must be {sorted(seen)}")
        role = template.target("RoleArn")
        if role is None or role.type != ROLE or not template.logical_id.startswith(_plain(role).removesuffix("Role")):
            yield template.violation("RoleArn", "must be the role of this experiment")
        else:
            yield from _trust(graph, role)
        targets, actions = template.get("Targets") or {}, template.get("Actions") or {}
        if not actions:
            yield template.violation("Actions", "are empty")
        for name, action in actions.items():
            wanted = ACTIONS.get(str(action.get("ActionId")))
            found = action.get("Parameters") or {}
            if wanted is not None and (
                set(found) != set(wanted) or not all(re.fullmatch(wanted[key], str(found[key])) for key in wanted)
            ):
                yield template.violation("Actions", f"{name} has {short(found)}, must have {short(wanted)}")
            if wanted is None:
                yield template.violation(
                    "Actions", f"{name}: {action.get('ActionId')}, must be one of {sorted(ACTIONS)}"
                )
        used = [target for action in actions.values() for target in (action.get("Targets") or {}).values()]
        if sorted(used) != sorted(targets):
            yield template.violation("Actions", f"act on {sorted(used)}, must on each target: {sorted(targets)}")
        for name, target in targets.items():
            named = target.get("ResourceArns") or target.get("ResourceTags") or target.get("Parameters")
            many = re.fullmatch(r"ALL|COUNT\(1\)|PERCENT\(34\)", str(target.get("SelectionMode")))
            if not named or many is None or target.get("ResourceType") not in PARAMETERS:
                yield template.violation("Targets", f"{name} must have resource type, resources and selection mode")
                continue
            parameters = target.get("Parameters") or {}
            if set(parameters) != PARAMETERS[target["ResourceType"]]:
                yield template.violation(
                    "Targets",
                    f"{name} has {sorted(parameters)}, must have {sorted(PARAMETERS[target['ResourceType']])}",
                )
            zone = parameters.get("availabilityZoneIdentifier")
            if zone is not None and zone not in graph.environment.network.availability_zones:
                yield template.violation("Targets", f"{name} is in {zone}, which is not a zone of this environment")
            if any("{" not in template.text(each) for each in _references(target)):
                yield template.violation("Targets", f"{name} must refer to a resource of this environment")
        options = template.get("ExperimentOptions") or {}
        if options.get("AccountTargeting") != "single-account":
            yield template.violation("ExperimentOptions", "must be limited to this account")
        if options.get("EmptyTargetResolutionMode") != "fail":
            yield template.violation("ExperimentOptions", "must fail if it has no target")


def _plain(resource: Resource) -> str:
    """The logical id without CDK's digest at its end."""
    return resource.logical_id[:-8]


def _references(target: Mapping[str, Any]) -> list[Any]:
    """Values that must refer to our resources: ARNs, and the cluster and service of tasks."""
    parameters = target.get("Parameters") or {}
    return [
        *(target.get("ResourceArns") or ()),
        *(parameters[key] for key in ("cluster", "service") if key in parameters),
    ]


def _trust(graph: Graph, role: Resource) -> Iterator[Violation]:
    """Only experiments of this account may assume the role (AWS FIS user guide, "Confused deputy")."""
    account = graph.environment.aws.account
    for statement in role.items("AssumeRolePolicyDocument.Statement"):
        condition = statement.get("Condition") or {}
        source = role.text((condition.get("ArnLike") or {}).get("aws:SourceArn", ""))
        if (condition.get("StringEquals") or {}).get("aws:SourceAccount") != account or not source.endswith(
            f":{account}:experiment/*"
        ):
            yield role.violation("AssumeRolePolicyDocument", f"must be for experiments of {account} only")
