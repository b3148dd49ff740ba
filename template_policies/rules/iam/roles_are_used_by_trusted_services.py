"""A role is used only by resources of the service that it trusts."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.iam import ROLE, trust_statements

# (type, property with the role, service that assumes it)
USES = (
    ("AWS::Lambda::Function", "Role", "lambda.amazonaws.com"),
    ("AWS::ECS::TaskDefinition", "TaskRoleArn", "ecs-tasks.amazonaws.com"),
    ("AWS::ECS::TaskDefinition", "ExecutionRoleArn", "ecs-tasks.amazonaws.com"),
    ("AWS::RDS::DBInstance", "MonitoringRoleArn", "monitoring.rds.amazonaws.com"),
    ("AWS::EC2::FlowLog", "DeliverLogsPermissionArn", "vpc-flow-logs.amazonaws.com"),
    ("AWS::Chatbot::SlackChannelConfiguration", "IamRoleArn", "chatbot.amazonaws.com"),
    ("AWS::Backup::RestoreTestingSelection", "IamRoleArn", "backup.amazonaws.com"),
    ("AWS::Backup::BackupSelection", "BackupSelection.IamRoleArn", "backup.amazonaws.com"),
    ("AWS::IAM::InstanceProfile", "Roles", "ec2.amazonaws.com"),
)
ECS = "ecs.amazonaws.com"


@policy(
    reason="A service assumes its role only when it needs it, which may be during an incident.",
    failure=Failure.REFUSED,
    reads={
        ROLE: ("AssumeRolePolicyDocument",),
        **{kind: (path.partition(".")[0],) for kind, path, _ in USES},
        "AWS::ECS::TaskDefinition": ("TaskRoleArn", "ExecutionRoleArn"),
        "AWS::ECS::Service": ("DeploymentConfiguration", "LoadBalancers"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    trusted = {each.resource.where: {who for _, who in each.principals} for each in trust_statements(graph)}

    def used(by: Resource, path: str, role: Resource | None, service: str) -> Iterator[Violation]:
        if role is None or service not in trusted.get(role.where, set()):
            yield by.violation(path, f"is {role.where if role else 'no role'}, must be a role of {service}")

    for kind, path, service in USES:
        for each in graph.of(kind):
            for value in each.items(path):
                yield from used(each, path, graph.target(each.stack, value), service)
    for each in graph.of("AWS::ECS::Service"):
        for hook in each.items("DeploymentConfiguration.LifecycleHooks"):
            yield from used(
                each, "DeploymentConfiguration.LifecycleHooks", graph.target(each.stack, hook.get("RoleArn")), ECS
            )
        for target in each.items("LoadBalancers"):
            role = target.get("AdvancedConfiguration", {}).get("RoleArn")
            yield from used(each, "LoadBalancers", graph.target(each.stack, role), ECS)
