"""Checks from outside: each minute a function requests the public URLs, as users do."""

import json
from collections.abc import Sequence
from dataclasses import asdict

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.cloudflare.media import BROWSER_SECONDS
from infra_constructs.findings import acknowledge
from infra_constructs.function import RuntimeFunction
from infra_runtime.contract.check_targets import CheckTarget

# Without a suffix: Super Bot Fight Mode spares some suffixes, and the check must meet what media meet.
_MEDIA_KEY = "infra/check"


class CheckPass(Construct):
    """The secret header with which our own checks pass bot challenges and the maintenance page."""

    def __init__(self, scope: Construct, id_: str) -> None:
        super().__init__(scope, id_)
        self.secret = secretsmanager.Secret(
            self,
            "Secret",
            description="Lets our own checks past bot challenges and the maintenance page",
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=48, exclude_punctuation=True),
        )
        acknowledge(
            self.secret,
            "AwsSolutions-SMG4",
            reason="It protects only what is public anyway; to replace it, replace the secret.",
        )


class Checks(Construct):
    """Not in the VPC: it has to take the same path as users (infra_runtime.checks)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        targets: Sequence[CheckTarget],
        dependencies: Sequence[CheckTarget],
        media: str,
        bucket: s3.IBucket,
        check_pass: secretsmanager.ISecret,
    ) -> None:
        """`media` is the host; its object is put there by the function itself. `dependencies` are asked what they say
        of theirs."""
        super().__init__(scope, id_)
        kept = CheckTarget("media", f"https://{media}/{_MEDIA_KEY}", browser_seconds=BROWSER_SECONDS)
        self.targets = [*targets, kept]
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="checks",
            description="Requests the site, the API and a media object as users do",
            timeout=cdk.Duration.seconds(50),
            environment={
                "ENVIRONMENT": environment,
                "TARGETS": json.dumps([asdict(each) for each in self.targets]),
                "MEDIA_BUCKET": bucket.bucket_name,
                "MEDIA_KEY": _MEDIA_KEY,
                "PASS_SECRET": check_pass.secret_arn,
            }
            | ({"DEPENDENCIES": json.dumps([asdict(each) for each in dependencies])} if dependencies else {}),
            uses_libraries=True,
        )
        check_pass.grant_read(self.handler.role)
        self.handler.role.add_to_policy(
            iam.PolicyStatement(actions=["s3:PutObject"], resources=[bucket.arn_for_objects(_MEDIA_KEY)])
        )
        # A check of a minute ago says nothing about now.
        self.handler.function.configure_async_invoke(max_event_age=cdk.Duration.minutes(1), retry_attempts=0)
        self.handler.run_every(cdk.Duration.minutes(1), self, "EveryMinute", description="Requests what users request")
