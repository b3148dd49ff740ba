"""Only resources with the address of the database or Redis may connect to it, and all of them may."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.containers import TASK, main_container, secrets, variables
from template_policies.security_groups import GROUP, INGRESS, group_of, ingress

DATABASE, REDIS = "AWS::RDS::DBInstance", "AWS::ElastiCache::ReplicationGroup"
# Passes the address on without connecting: it runs the migration's task.
OUTSIDE = ("infra_runtime.database.restore.handler", "infra_runtime.release.migrate.handler")
SERVICE = "NetworkConfiguration.AwsvpcConfiguration.SecurityGroups"


@policy(
    reason="No emulator enforces security groups: a wrong one would time out only in an account.",
    failure=Failure.TASK_DIES,
    reads={
        **INGRESS,
        DATABASE: ("VPCSecurityGroups",),
        REDIS: ("SecurityGroupIds",),
        "AWS::Lambda::Function": ("VpcConfig", "Environment", "Handler"),
        "AWS::ECS::Service": ("NetworkConfiguration", "TaskDefinition"),
        TASK: ("ContainerDefinitions",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    may: dict[str, set[str]] = {}
    for rule in ingress(graph):
        group = group_of(rule)
        source = graph.target(rule[0].stack, rule[2].get("SourceSecurityGroupId"))
        if group is not None and source is not None:
            may.setdefault(group.where, set()).add(source.where)
    for each, path, stores in _clients(graph):
        groups = {one.where for one in each.targets(path) if one.type == GROUP}
        for store in stores:
            own = store.targets("VPCSecurityGroups" if store.type == DATABASE else "SecurityGroupIds")
            if not any(may.get(one.where, set()) & groups for one in own):
                yield each.violation(path, f"may not connect to {store.where}, whose address it has")


def _clients(graph: Graph) -> Iterator[tuple[Resource, str, list[Resource]]]:
    """(client, property with its groups, data store)"""
    databases = graph.of(DATABASE)
    for function in graph.of("AWS::Lambda::Function"):
        found = function.get("Environment.Variables", {})
        if "PGHOST" in found and function.get("Handler") not in OUTSIDE:
            yield function, "VpcConfig.SecurityGroupIds", databases
    for service in graph.of("AWS::ECS::Service"):
        task = service.target("TaskDefinition")
        container = main_container(task) if task is not None else {}
        stores = list(databases) if "PGHOST" in variables(container) else []
        url = secrets(container).get("REDIS_URL")
        if task is not None and url is not None:
            for secret in graph.referred(task.stack, url):
                stores += [
                    one for one in graph.referred(secret.stack, secret.raw.get("Properties")) if one.type == REDIS
                ]
        yield service, SERVICE, stores
