"""Where the resource is not specific enough, a condition limits the cluster, namespace, tag or passed-to service."""

from collections.abc import Iterator, Mapping

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import IDENTITY, statements

CLUSTER = ("ArnEquals", "ecs:cluster")
OF_FIS = ("StringEquals", "aws:ResourceTag/managedByFIS")
OWNER = ("StringEquals", "aws:ResourceTag/owner")
LIMITS: Mapping[str, tuple[str, str]] = {
    "cloudwatch:PutMetricData": ("StringEquals", "cloudwatch:namespace"),
    "ec2:CreateManagedPrefixList": ("StringEquals", "aws:RequestTag/owner"),
    "ec2:CreateNetworkAclEntry": OF_FIS,
    "ec2:CreateTags": ("StringEquals", "ec2:CreateAction"),
    "ec2:DeleteManagedPrefixList": OWNER,
    "ec2:DeleteNetworkAcl": OF_FIS,
    "ec2:GetManagedPrefixListEntries": OWNER,
    "ec2:ModifyManagedPrefixList": OWNER,
    "ec2:ReplaceNetworkAclAssociation": ("ArnEquals", "ec2:Vpc"),
    "ecs:RunTask": CLUSTER,
    "ecs:StopTask": CLUSTER,
    "iam:PassRole": ("StringEquals", "iam:PassedToService"),
}
# Services that we pass roles to.
PASSED_TO = {"ecs-tasks.amazonaws.com", "backup.amazonaws.com"}


@policy(
    reason="Without it, a function of one environment could run tasks with any role, in any cluster of the account.",
    failure=Failure.ROLE_TAKEN_OVER,
    reads=IDENTITY,
)
def check(graph: Graph) -> Iterator[Violation]:
    for each in statements(graph):
        found = each.conditions
        for action in each.actions if each.allows else []:
            limit = LIMITS.get(action)
            if limit is not None and not found.get(limit):
                yield each.violation(f"allows {action} without the condition {limit[0]} {limit[1]}")
            for (operator, key), values in found.items():
                # Names of restored databases begin with the stack's.
                own = f":db:{graph.environment.product}-{graph.name}-"
                if any("*" in value and own not in value for value in values):
                    yield each.violation(f"has a wildcard in {operator} {key} for {action}")
        if "iam:PassRole" in each.actions and not set(found.get(LIMITS["iam:PassRole"], [])) <= PASSED_TO:
            yield each.violation(f"passes a role to another service than {sorted(PASSED_TO)}")
        reads_masters = "secretsmanager:GetSecretValue" in each.actions and "rds!db-*" in str(each.resources)
        if reads_masters and ("StringLike", "aws:ResourceTag/aws:rds:primaryDBInstanceArn") not in found:
            yield each.violation("reads the master login of every database of the account")
