"""AWS managed policies are used only where a service requires one by name."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import ROLE

KNOWN = {
    "AmazonECSInfrastructureRolePolicyForLoadBalancers", "service-role/AWSLambdaBasicExecutionRole",
    "service-role/AmazonRDSEnhancedMonitoringRole", "service-role/AWSBackupServiceRolePolicyForBackup",
    "service-role/AWSBackupServiceRolePolicyForRestores",
}  # fmt: skip


@policy(
    reason="AWS extends its policies, and AdministratorAccess is attached with one word.",
    failure=Failure.ROLE_TAKEN_OVER,
    reads={ROLE: ("ManagedPolicyArns",), "AWS::IAM::User": ("*",), "AWS::IAM::InstanceProfile": ("Roles",),
           "AWS::IAM::Group": (), "AWS::IAM::AccessKey": ()},
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    for role in graph.of(ROLE):
        for value in role.items("ManagedPolicyArns"):
            target = graph.target(role.stack, value)
            if target is not None and target.type == "AWS::IAM::ManagedPolicy":
                continue
            name = role.text(value).partition(":iam::aws:policy/")[2].rstrip('"}')
            if name not in KNOWN:
                yield role.violation("ManagedPolicyArns", f"has {name or role.text(value)}")
    for user in graph.of("AWS::IAM::User"):
        # The key of the media Worker is renewed by a function (docs/adr/0017).
        if not user.logical_id.startswith("MediaWorker") or user.properties:
            yield user.violation("AWS::IAM::User", "is a user with keys that last, must be a role")
    for kind in ("AWS::IAM::Group", "AWS::IAM::AccessKey"):
        for each in graph.of(kind):
            yield each.violation(kind, "a key in a template never expires, and stays in the history")
    for profile in graph.of("AWS::IAM::InstanceProfile"):
        if [each.type for each in profile.targets("Roles")] != [ROLE]:
            yield profile.violation("Roles", "must refer to a role of the template")
