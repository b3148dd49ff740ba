"""An experiment of AWS FIS does one known thing to something of ours, and stops when a check from outside fails."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import ALARM

TEMPLATE = "AWS::FIS::ExperimentTemplate"
# docs/adr/0037
ACTIONS = {
    "aws:ecs:stop-task",
    "aws:elasticache:replicationgroup-interrupt-az-power",
    "aws:network:disrupt-connectivity",
    "aws:rds:reboot-db-instances",
}
# FIS takes no more ("Quotas and limitations for AWS FIS").
MOST = 5


@policy(
    reason="Without a stop condition it goes on while users are hurt; without a target or an action it shows nothing.",
    failure=Failure.UNOBSERVED,
    reads={TEMPLATE: ("Actions", "ExperimentOptions", "RoleArn", "StopConditions", "Targets")},
)
def check(graph: Graph) -> Iterator[Violation]:
    for template in graph.of(TEMPLATE):
        conditions = template.items("StopConditions")
        if not 1 <= len(conditions) <= MOST:
            yield template.violation("StopConditions", f"are {len(conditions)}, must be one to {MOST}")
        for each in conditions:
            alarm = graph.target(template.stack, each.get("Value"))
            if each.get("Source") != "aws:cloudwatch:alarm" or alarm is None or alarm.type != ALARM:
                yield template.violation("StopConditions", "must each be an alarm of this environment")
        if template.target("RoleArn") is None:
            yield template.violation("RoleArn", "must be a role of this environment")
        targets, actions = template.get("Targets") or {}, template.get("Actions") or {}
        if not actions:
            yield template.violation("Actions", "are none")
        for name, action in actions.items():
            if action.get("ActionId") not in ACTIONS:
                yield template.violation(
                    "Actions", f"{name}: {action.get('ActionId')}, must be one of {sorted(ACTIONS)}"
                )
        used = [target for action in actions.values() for target in (action.get("Targets") or {}).values()]
        if sorted(used) != sorted(targets):
            yield template.violation("Actions", f"act on {sorted(used)}, must on each target: {sorted(targets)}")
        for name, target in targets.items():
            named = target.get("ResourceArns") or target.get("ResourceTags") or target.get("Parameters")
            if not named or not target.get("SelectionMode") or not target.get("ResourceType"):
                yield template.violation("Targets", f"{name} must say of which type, which, and how many")
        options = template.get("ExperimentOptions") or {}
        if options.get("EmptyTargetResolutionMode") != "fail":
            yield template.violation("ExperimentOptions", "must fail where there is nothing to act on")
