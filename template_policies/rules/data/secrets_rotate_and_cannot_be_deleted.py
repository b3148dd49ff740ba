"""Database logins and the bucket's secret rotate each month, and cannot be deleted by hand."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.iam import IDENTITY, policies_of, resource_statements

SECRET = "AWS::SecretsManager::Secret"
ROTATION = "AWS::SecretsManager::RotationSchedule"
PERMISSION = "AWS::Lambda::Permission"
# Their ids. CloudFormation writes ElastiCache's token into the group: a new token needs a deployment.
ROTATED = ("DatabaseLoginsOwner", "DatabaseLoginsUser", "MediaAccessSecret")


@policy(
    reason="A copied login stops working within the month (FSBP SecretsManager.1, 4). Without the secret every "
    "task fails to start.",
    failure=Failure.SECRET_ROTATES,
    reads={
        SECRET: (),
        ROTATION: (
            "SecretId",
            "RotationLambdaARN",
            "RotationRules",
            "RotateImmediatelyOnUpdate",
            "HostedRotationLambda",
            "DependsOn",
        ),
        PERMISSION: ("FunctionName", "Principal", "Action"),
        "AWS::Lambda::Function": ("Role",),
        **IDENTITY,
        "AWS::SecretsManager::ResourcePolicy": ("ResourcePolicy", "SecretId", "BlockPublicPolicy"),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    schedules = {target.where: each for each in graph.of(ROTATION) if (target := each.target("SecretId"))}
    kept = set()
    for statement in resource_statements(graph, "AWS::SecretsManager::ResourcePolicy"):
        if statement.resource.type == "AWS::SecretsManager::ResourcePolicy":
            secret = statement.resource.target("SecretId")
            everybody = [("AWS", f"arn:aws:iam::{graph.environment.aws.account}:root")]
            denied = statement.document.get("Effect") == "Deny" and "secretsmanager:DeleteSecret" in statement.actions
            if secret is not None and denied and statement.principals == everybody and statement.resources == ["*"]:
                kept.add(secret.where)
    callable_ = {
        function.where
        for each in graph.of(PERMISSION)
        if each.get("Principal") == "secretsmanager.amazonaws.com"
        and each.get("Action") == "lambda:InvokeFunction"
        and (function := each.target("FunctionName")) is not None
    }
    for secret in graph.of(SECRET):
        if not secret.logical_id.startswith(ROTATED):
            continue
        if secret.where not in kept:
            yield secret.violation("AWS::SecretsManager::ResourcePolicy", "is missing: DeleteSecret is not denied")
        schedule = schedules.get(secret.where)
        if schedule is None:
            yield secret.violation("AWS::SecretsManager::RotationSchedule", "is missing")
            continue
        yield from schedule.expect("RotationRules.ScheduleExpression", "rate(30 days)")
        # A deployment would start a rotation, and tasks a restart.
        yield from schedule.expect("RotateImmediatelyOnUpdate", False)
        function = schedule.target("RotationLambdaARN")
        if function is None or function.type != "AWS::Lambda::Function":
            yield schedule.violation("RotationLambdaARN", "must refer to a function")
        elif function.where not in callable_:
            yield schedule.violation("RotationLambdaARN", "refers to a function that Secrets Manager may not call")
        elif (role := function.target("Role")) is not None:
            # Secrets Manager tries a new schedule at once, by testSecret (API Reference, RotateSecret).
            for each in policies_of(graph, role):
                if each.logical_id not in schedule.items("DependsOn"):
                    yield schedule.violation("DependsOn", f"must have {each.logical_id}")
