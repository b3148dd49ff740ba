"""A Lambda function from `runtime/`, the one bundle of everything that runs there."""

from collections.abc import Mapping
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

# Absolute: jsii resolves a relative path against the directory its kernel was started in.
_RUNTIME = Path(__file__).resolve().parents[2] / "runtime"


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
    ) -> None:
        super().__init__(scope, id_)
        log_group = logs.LogGroup(
            self, "Logs", retention=logs.RetentionDays.THREE_MONTHS, removal_policy=cdk.RemovalPolicy.DESTROY
        )
        # Not CDK's default role: that one may write to every log group of the account.
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(self.role)
        self.function = lambda_.Function(
            self,
            "Function",
            description=description,
            runtime=lambda_.Runtime.PYTHON_3_14,
            architecture=lambda_.Architecture.ARM_64,
            handler=f"infra_runtime.{module}.handler",
            code=lambda_.Code.from_asset(str(_RUNTIME), exclude=["**/__pycache__", "**/*.pyc"]),
            role=self.role,
            timeout=timeout,
            memory_size=256,
            environment=dict(environment or {}),
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
        )
