"""A Lambda function from `runtime/`, the one bundle of everything that runs there."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct, IConstruct

from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on

# Absolute: jsii resolves a relative path against the directory its kernel was started in.
_ROOT = Path(__file__).resolve().parents[2]
_RUNTIME = _ROOT / "runtime"
_LOCK = _RUNTIME / "requirements.txt"
# Installed by tools/setup.sh, so that synthesis needs no network.
_LIBRARIES = _ROOT / ".venv" / "lambda.zip"
_PYTHON = lambda_.Runtime.PYTHON_3_14


# What Lambda does as the function's role in a VPC; none of these actions has a narrower resource at creation.
_INTERFACES = (
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
)


_ERRORS = "infra:errors"


def report_errors(stack: cdk.Stack, *, dsn: str, environment: str) -> None:
    """Every function that is added to the stack from now on reports its exceptions to Sentry."""
    stack.node.set_context(_ERRORS, {"SENTRY_DSN": dsn, "SENTRY_ENVIRONMENT": environment})


def bootstrap_version_arn(scope: Construct) -> str:
    """The SSM parameter that every template of ours refers to, to check the account's bootstrap.

    CloudFormation reads it when a stack is created or updated; by some reports with the caller's permissions
    (aws-cdk #10083, #20959, and the comment in CDK's own bootstrap template).
    """
    stack = cdk.Stack.of(scope)
    qualifier = stack.synthesizer.bootstrap_qualifier or cdk.DefaultStackSynthesizer.DEFAULT_QUALIFIER
    return arn_of(scope, "ssm", f"parameter/cdk-bootstrap/{qualifier}/version")


@dataclass(frozen=True, kw_only=True)
class InVpc:
    """Places a function in the private subnets, from where it reaches the internet through NAT."""

    vpc: ec2.IVpc
    security_group: ec2.ISecurityGroup


class RuntimeFunction(Construct):
    """Runs `infra_runtime.<module>.handler` with a role of its own and a log that is deleted with it."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        module: str,
        description: str,
        timeout: cdk.Duration,
        environment: Mapping[str, str] | None = None,
        uses_libraries: bool = False,
        place: InVpc | None = None,
        memory_mib: int = 256,
    ) -> None:
        super().__init__(scope, id_)
        log_group = logs.LogGroup(
            self, "Logs", retention=logs.RetentionDays.THREE_MONTHS, removal_policy=cdk.RemovalPolicy.DESTROY
        )
        # Not CDK's default role: that one may write to every log group of the account.
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(self.role)
        policy = self.role.node.find_child("DefaultPolicy")
        assert isinstance(policy, iam.Policy)
        # Custom resources wait for this policy; otherwise the function would run before it has its permissions.
        self.policy = policy
        if place is not None:
            self.role.add_to_policy(iam.PolicyStatement(actions=list(_INTERFACES), resources=["*"]))
            acknowledge(policy, allows_on("*"), reason="Lambda's own network interfaces; they have no ARN beforehand.")
        # Where infra_runtime.reporting sends exceptions: set once for the whole stack.
        sentry: Mapping[str, str] | None = self.node.try_get_context(_ERRORS)
        self.function = lambda_.Function(
            self,
            "Function",
            description=description,
            runtime=_PYTHON,
            architecture=lambda_.Architecture.ARM_64,
            handler=f"infra_runtime.{module}.handler",
            code=lambda_.Code.from_asset(str(_RUNTIME), exclude=["**/__pycache__", "**/*.pyc", "requirements.*"]),
            layers=[_libraries(cdk.Stack.of(self))] if uses_libraries or sentry else None,
            role=self.role,
            timeout=timeout,
            memory_size=memory_mib,
            environment={**(environment or {}), **(sentry or {})},
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            vpc=place.vpc if place else None,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS) if place else None,
            security_groups=[place.security_group] if place else None,
        )
        if place is not None:
            # Lambda creates the network interfaces together with the function.
            self.function.node.add_dependency(policy)

    def resource(
        self, scope: Construct, id_: str, *, kind: str, properties: Mapping[str, object]
    ) -> cdk.CustomResource:
        """A custom resource of this function. It waits for the function's permissions."""
        made = cdk.CustomResource(
            scope, id_, resource_type=kind, service_token=self.function.function_arn, properties=properties
        )
        made.node.add_dependency(self.policy)
        return made

    def allow_self_invocation(self, scope: Construct, id_: str, *, before: IConstruct) -> None:
        """Allows the function to invoke itself, for work that takes several invocations (infra_runtime.invocations)."""
        # A separate policy: the function depends on its role's.
        itself = iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[self.function.function_arn])
        before.node.add_dependency(iam.Policy(scope, id_, roles=[self.role], statements=[itself]))

    def rotate(
        self, secret: secretsmanager.ISecret, scope: Construct, id_: str, *, every: cdk.Duration
    ) -> secretsmanager.RotationSchedule:
        """A rotation schedule with this function. The first rotation is one interval after the deployment.

        Secrets Manager tries a new schedule at once, with the step testSecret (API Reference, RotateSecret): what that
        step needs must be there before.
        """
        made = secretsmanager.RotationSchedule(
            scope,
            id_,
            secret=secret,
            rotation_lambda=self.function,
            automatically_after=every,
            # During a deployment, what the rotation needs may not exist yet.
            rotate_immediately_on_update=False,
        )
        made.node.add_dependency(self.policy)
        # CDK allows the service for any account; Secrets Manager names the account (its guide, "Rotation function
        # permissions").
        for each in self.function.node.find_all():
            if isinstance(each, lambda_.CfnPermission) and each.principal == "secretsmanager.amazonaws.com":
                each.source_account = cdk.Stack.of(self).account
        return made

    def run_every(
        self, interval: cdk.Duration, scope: Construct, id_: str, *, description: str, event: object = None
    ) -> None:
        """Adds a schedule. `event` is the function's input; EventBridge's own event if None."""
        given = None if event is None else events.RuleTargetInput.from_object(event)
        events.Rule(
            scope,
            id_,
            description=description,
            schedule=events.Schedule.rate(interval),
            targets=[targets.LambdaFunction(self.function, event=given)],
        )


def _libraries(stack: cdk.Stack) -> lambda_.LayerVersion:
    """The layer of a stack's functions: what they import besides the standard library and boto3."""
    found = stack.node.try_find_child("Libraries")
    if isinstance(found, lambda_.LayerVersion):
        return found
    return lambda_.LayerVersion(
        stack,
        "Libraries",
        description="runtime/requirements.txt",
        code=lambda_.Code.from_asset(
            str(_LIBRARIES),
            # Hash of the lock, not of the files: installers leave traces of the machine in them.
            asset_hash=hashlib.sha256(_LOCK.read_bytes()).hexdigest(),
            asset_hash_type=cdk.AssetHashType.CUSTOM,
        ),
        compatible_runtimes=[_PYTHON],
        compatible_architectures=[lambda_.Architecture.ARM_64],
    )
