"""The number of rules in each phase is the one that the configuration compared with the zone's plan."""

from collections.abc import Iterator

from config.plans import PLANS
from config.rules import rules_by_phase
from template_policies import Failure, Graph, Violation, policy
from template_policies.cloudflare import KIND, declarations
from template_policies.graph import shown_or


@policy(
    reason="Cloudflare refuses a rule above the plan's number in the middle of a deployment.",
    failure=Failure.REFUSED,
    reads={KIND: ("Document",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    counted = {phase: count for phase, count in rules_by_phase(graph.environment).items() if count}
    declared = {
        str(each.get("phase")): len(each.get("rules", []))
        for _, each in declarations(graph, "Edge")
        if each.get("kind") == "rules"
    }
    if declared != counted:
        yield graph.missing(
            KIND,
            f"declare {shown_or(declared)}, must be {shown_or(counted)} (rules_by_phase in config/rules.py)",
            stack="Edge",
        )
    preflights = [(where, each) for where, each in declarations(graph, "Platform") if each.get("kind") == "preflight"]
    if len(preflights) != 1:
        yield graph.missing(KIND, f"there are {len(preflights)} preflights, must be one", stack="Platform")
    for where, each in preflights:
        ours = {phase: rules.get("ours") for phase, rules in each.get("rules", {}).items()}
        if ours != counted:
            yield where.violation("Document", f"asks about {shown_or(ours)}, must be {shown_or(counted)}")
        limits = {phase: rules.get("limit") for phase, rules in each.get("rules", {}).items()}
        plan = PLANS[graph.environment.cloudflare.plan]
        if limits != {phase: plan.rules[phase] for phase in limits}:
            yield where.violation("Document", f"has the limits {shown_or(limits)}, must be the plan's")
        if each.get("plan") != graph.environment.cloudflare.plan:
            yield where.violation(
                "Document", f"has the plan {each.get('plan')}, must be {graph.environment.cloudflare.plan}"
            )
