"""Pipeline roles have a permissions boundary, no other managed policy, and sessions no longer than their job."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import list_of
from template_policies.iam import ROLE, Statement, statements_of, trust_statements

# Data and permissions that no pipeline may have; the deployment assumes CDK's roles.
NEVER = {
    "secretsmanager:GetSecretValue",
    "kms:Decrypt",
    "s3:GetObject",
    "iam:PassRole",
    "ssm:PutParameter",
    "ecs:RunTask",
    "ecs:UpdateService",
    "dynamodb:GetItem",
    "logs:FilterLogEvents",
    "cloudformation:UpdateStack",
    "iam:CreateAccessKey",
}
DEPLOYS, HOUR, RELEASES = "cdk deploy", 3600, 21600


@policy(
    reason="A stolen token is worth what its role may do, for as long as its session lasts.",
    failure=Failure.ROLE_TAKEN_OVER,
    reads={
        ROLE: (
            "PermissionsBoundary",
            "ManagedPolicyArns",
            "Policies",
            "MaxSessionDuration",
            "AssumeRolePolicyDocument",
            "Description",
        ),
        "AWS::IAM::Policy": ("PolicyDocument", "Roles", "Users"),
        "AWS::IAM::ManagedPolicy": ("PolicyDocument", "Roles", "Users"),
        "AWS::Lambda::Function": ("Handler",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    federated = {
        each.resource
        for each in trust_statements(graph)
        if each.principals[:1] and each.principals[0][0] == "Federated"
    }
    for role in graph.of(ROLE):
        if role not in federated:
            if role.get("MaxSessionDuration") is not None:
                yield role.violation("MaxSessionDuration", "is set: services renew their sessions by themselves")
            continue
        boundary = role.target("PermissionsBoundary")
        if boundary is None or boundary.type != "AWS::IAM::ManagedPolicy":
            yield role.violation("PermissionsBoundary", "must refer to a policy of its own")
        if role.targets("ManagedPolicyArns") != [boundary] or role.get("Policies") is not None:
            yield role.violation("ManagedPolicyArns", "must be its boundary and nothing else")
        what = str(role.get("Description"))
        wanted = RELEASES if what.startswith((DEPLOYS, "Releases")) else HOUR
        yield from role.expect("MaxSessionDuration", wanted)
        for statement in statements_of(graph, role):
            for action in statement.actions:
                if action in NEVER and statement.allows:
                    yield statement.violation(f"lets a pipeline {action}")
                if action == "sts:AssumeRole" and not all(
                    one.startswith(f"arn:aws:iam::{graph.environment.aws.account}:role/cdk-hnb659fds-")
                    for one in statement.resources
                ):
                    yield statement.violation("lets a pipeline assume a role that is not CDK's")
                if action == "s3:PutObject" and not all(one.endswith("/_next/static/*") for one in statement.resources):
                    yield statement.violation("lets a pipeline write to more than static files")
                if action == "lambda:InvokeFunction":
                    yield from _invokes(graph, statement)


def _invokes(graph: Graph, statement: Statement) -> Iterator[Violation]:
    """Functions that a pipeline may call check its requests themselves."""
    for each in list_of(statement.document.get("Resource")):
        function = graph.target(statement.resource.stack, each)
        handler = function.get("Handler") if function is not None else None
        if handler not in ("infra_runtime.release.control.handler", "infra_runtime.previews.control.handler"):
            yield statement.violation(f"lets a pipeline call {handler or each}")
