"""Target groups that users reach wait for the gate that asks running tasks for another health path."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.owners import owner

GROUP = "AWS::ElasticLoadBalancingV2::TargetGroup"
GATE = "Custom::HealthPathGate"


@policy(
    reason="Another path takes effect at once: ECS would replace every task that does not answer it with one "
    "that does not either.",
    failure=Failure.TASK_DIES,
    reads={
        GROUP: ("DependsOn", "HealthCheckPath"),
        GATE: ("Path", "TargetGroups", "ServiceToken"),
        "AWS::Lambda::Function": ("Handler",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    gates = {(each.stack, each.logical_id): each for each in graph.of(GATE)}
    for group in graph.of(GROUP):
        own = owner(graph, group)
        if own is None or own.slot is not None:
            continue  # The image of an old preview would stop every deployment.
        waits = [gates[group.stack, name] for name in group.items("DependsOn") if (group.stack, name) in gates]
        if not any(group.logical_id in each.items("TargetGroups") for each in waits):
            yield group.violation("DependsOn", "must have the gate that names it")
        for each in waits:
            yield from each.expect("Path", group.get("HealthCheckPath"))
            function = each.target("ServiceToken")
            if function is None or function not in graph.functions("health_path"):
                yield each.violation("ServiceToken", "must refer to the function that requests the tasks")
