"""Services with users are released blue/green, workers by a rolling deployment, and both roll back automatically."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import short
from template_policies.owners import owner

SERVICE = "AWS::ECS::Service"
CONFIGURATION = "DeploymentConfiguration"
TARGET = {"AlternateTargetGroupArn", "ProductionListenerRule", "RoleArn", "TestListenerRule"}


@policy(
    reason="Otherwise a bad version replaces the good one task by task until a person notices.",
    failure=Failure.BAD_RELEASE,
    reads={SERVICE: (CONFIGURATION, "LoadBalancers", "DeploymentController")},
)
def check(graph: Graph) -> Iterator[Violation]:
    for service in graph.of(SERVICE):
        yield from service.expect(f"{CONFIGURATION}.MinimumHealthyPercent", 100)
        yield from service.expect(f"{CONFIGURATION}.MaximumPercent", 200)
        yield from service.expect(f"{CONFIGURATION}.DeploymentCircuitBreaker.Enable", True)
        yield from service.expect(f"{CONFIGURATION}.DeploymentCircuitBreaker.Rollback", True)
        if service.get("DeploymentController") not in (None, {"Type": "ECS"}):
            yield service.violation("DeploymentController", "must be ECS: only ECS runs hooks and moves weights")
        own = owner(graph, service)
        if own is None or own.host is None:
            continue
        yield from service.expect(f"{CONFIGURATION}.Strategy", "BLUE_GREEN")
        # Previews are never rolled back.
        minutes = own.service.bake_minutes if own.slot is None else 0
        yield from service.expect(f"{CONFIGURATION}.BakeTimeInMinutes", minutes)
        if own.slot is None:
            yield from service.expect(f"{CONFIGURATION}.Alarms.Enable", True)
            yield from service.expect(f"{CONFIGURATION}.Alarms.Rollback", True)
        targets = service.items("LoadBalancers")
        advanced = [each.get("AdvancedConfiguration", {}) for each in targets]
        if len(targets) != 1 or set(advanced[0]) != TARGET:
            yield service.violation("LoadBalancers", f"has {short(advanced)}, must have {sorted(TARGET)}")
            continue
        role = graph.target(service.stack, advanced[0]["RoleArn"])
        if role is None or role.type != "AWS::IAM::Role":
            yield service.violation("LoadBalancers", "must refer to the role with which ECS moves weights")
        if (targets[0].get("ContainerName"), targets[0].get("ContainerPort")) != ("app", own.service.port):
            yield service.violation("LoadBalancers", f"must forward to app on {own.service.port}")
