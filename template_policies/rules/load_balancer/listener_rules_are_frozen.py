"""A rule forwards its host to the blue group, and has no property that CloudFormation would update."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short
from template_policies.owners import owner

RULE = "AWS::ElasticLoadBalancingV2::ListenerRule"
GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
PROPERTIES = {"Actions", "Conditions", "ListenerArn", "Priority"}


@policy(
    reason="ECS owns the weights after the first release: any update puts users on an empty group (docs/adr/0004).",
    failure=Failure.BAD_RELEASE,
    reads={RULE: ("*",), "AWS::ECS::Service": ("LoadBalancers",), "AWS::ElasticLoadBalancingV2::Listener": ("Port",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    blue_green = {}
    for service in graph.of("AWS::ECS::Service"):
        for target in service.items("LoadBalancers"):
            advanced = target.get("AdvancedConfiguration", {})
            groups = [
                graph.target(service.stack, each)
                for each in (target.get("TargetGroupArn"), advanced.get("AlternateTargetGroupArn"))
            ]
            for key, port in (("ProductionListenerRule", 443), ("TestListenerRule", 8443)):
                rule = graph.target(service.stack, advanced.get(key))
                if rule is None or rule.type != RULE:
                    yield service.violation("LoadBalancers", f"must have its own rule as {key}")
                else:
                    blue_green[rule.where] = (groups, port)
    for rule in graph.of(RULE):
        if set(rule.properties) != PROPERTIES:
            yield rule.violation("Actions", f"has {sorted(rule.properties)}, must have {sorted(PROPERTIES)}")
        if rule.where not in blue_green:
            yield rule.violation("ListenerArn", "is of no service")
            continue
        groups, port = blue_green[rule.where]
        listener = rule.target("ListenerArn")
        if listener is None or listener.get("Port") != port:
            yield rule.violation("ListenerArn", f"must refer to the listener on {port}")
        actions = rule.items("Actions")
        forwarded = actions[0].get("ForwardConfig", {}) if len(actions) == 1 else {}
        found = forwarded.get("TargetGroups", [])
        if [each.get("Weight") for each in found] != [100, 0] or set(forwarded) != {"TargetGroups"}:
            yield rule.violation(
                "Actions", f"is {short(actions)}, must only forward to the groups with weights 100 and 0"
            )
        if [graph.target(rule.stack, each.get("TargetGroupArn")) for each in found] != groups or None in groups:
            yield rule.violation("Actions", "must name the service's own group and then its alternate one")
        own = owner(graph, rule)
        former = own.service.former_host if own and own.slot is None else None
        hosts = [own.host if own else None, *([former] if former else [])]
        conditions = [{"Field": "host-header", "HostHeaderConfig": {"Values": hosts}}]
        if rule.get("Conditions") != conditions:
            yield rule.violation("Conditions", f"is {short(rule.get('Conditions'))}, must be {short(conditions)}")
