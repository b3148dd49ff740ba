"""Each service has the file's number of tasks, and scales by CPU and memory, or by its queue."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.owners import owner

TARGET = "AWS::ApplicationAutoScaling::ScalableTarget"
POLICY = "AWS::ApplicationAutoScaling::ScalingPolicy"
METRICS = {"ECSServiceAverageCPUUtilization": (50, 70), "ECSServiceAverageMemoryUtilization": (60, 80)}


@policy(
    reason="Too few tasks do not survive the loss of a zone, too many are expensive. A count in the template "
    "overrides autoscaling.",
    failure=Failure.COST_RUNS_AWAY,
    reads={
        "AWS::ECS::Service": ("DesiredCount",),
        TARGET: ("MinCapacity", "MaxCapacity", "ResourceId", "ScalableDimension", "ServiceNamespace", "RoleARN",
                 "SuspendedState", "ScheduledActions"),
        POLICY: ("PolicyType", "ScalingTargetId", "TargetTrackingScalingPolicyConfiguration"),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    targets = {
        service.where: each
        for each in graph.of(TARGET)
        for service in graph.referred(each.stack, each.get("ResourceId"))
        if service.type == "AWS::ECS::Service"
    }
    for service in graph.of("AWS::ECS::Service"):
        own = owner(graph, service)
        if own is None:
            continue
        if own.slot is not None:
            yield from service.expect("DesiredCount", {"Ref": "Count"})
            continue
        if service.get("DesiredCount") is not None:
            yield service.violation("DesiredCount", "is set, must be left to autoscaling")
        target = targets.get(service.where)
        if target is None:
            yield service.violation("DesiredCount", "is not scaled: no ScalableTarget refers to the service")
            continue
        yield from target.expect("MinCapacity", own.service.min_tasks)
        yield from target.expect("MaxCapacity", own.service.max_tasks)
        yield from target.expect("ScalableDimension", "ecs:service:DesiredCount")
        yield from target.expect("ServiceNamespace", "ecs")
        for path in ("SuspendedState", "ScheduledActions"):
            if target.get(path) is not None:
                yield target.violation(path, "is set: only autoscaling may change the number of tasks")
        policies = [each for each in graph.of(POLICY) if each.target("ScalingTargetId") is target]
        yield from _policies(target, policies, by_queue=own.service.queue is not None)
    for each in graph.of(POLICY):
        if each.target("ScalingTargetId") is None:
            yield each.violation("ScalingTargetId", "must refer to the resource that it scales")


def _policies(target: Resource, policies: list[Resource], *, by_queue: bool) -> Iterator[Violation]:
    path = "TargetTrackingScalingPolicyConfiguration"
    for each in policies:
        yield from each.expect("PolicyType", "TargetTrackingScaling")
        if each.get(f"{path}.DisableScaleIn") not in (None, False):
            yield each.violation(f"{path}.DisableScaleIn", "is on: tasks would never be removed")
        # Scales out quickly and in slowly.
        yield from each.expect_between(f"{path}.ScaleOutCooldown", 30, 120)
        yield from each.expect_between(f"{path}.ScaleInCooldown", 120, 900)
    if by_queue:
        if len(policies) != 1:
            yield target.violation("ScalableDimension", "must be scaled only by waiting jobs")
        return
    found = {each.get(f"{path}.PredefinedMetricSpecification.PredefinedMetricType"): each for each in policies}
    for metric, (least, most) in METRICS.items():
        if metric not in found:
            yield target.violation("ScalableDimension", f"is not scaled by {metric}")
        else:
            yield from found[metric].expect_between(f"{path}.TargetValue", least, most)
