"""A release runs its migrations before its tasks start, and checks each new task before users reach it."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import shown_or
from template_policies.owners import owner

SERVICE = "AWS::ECS::Service"
PRE, POST = "PRE_SCALE_UP", "POST_TEST_TRAFFIC_SHIFT"


@policy(
    reason="New code on an old schema, or a version that cannot reach its database, would serve before anybody "
    "asks it.",
    failure=Failure.BAD_MIGRATION,
    reads={
        SERVICE: ("DeploymentConfiguration",),
        "AWS::Lambda::Function": ("Handler", "VpcConfig"),
        "AWS::IAM::Role": (),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    path = "DeploymentConfiguration.LifecycleHooks"
    for service in graph.of(SERVICE):
        own = owner(graph, service)
        if own is None or own.host is None:
            continue
        wanted = {POST: "infra_runtime.release.verify.handler"}
        if own.service.migrations is not None:
            wanted[PRE] = "infra_runtime.release.migrate.handler"
        found = {}
        for hook in service.items(path):
            function = graph.target(service.stack, hook.get("HookTargetArn"))
            role = graph.target(service.stack, hook.get("RoleArn"))
            if role is None or role.type != "AWS::IAM::Role":
                yield service.violation(path, "must name the role with which ECS calls the hook")
            for stage in hook.get("LifecycleStages", []):
                found[stage] = function.get("Handler") if function is not None else None
            if function is not None and function.get("VpcConfig") is None:
                yield function.violation("VpcConfig", "is missing: the hook reaches neither tasks nor database")
        if found != wanted:
            yield service.violation(path, f"has {shown_or(found)}, must have {shown_or(wanted)}")
