"""Monthly rotation of the secret user agent."""

from collections.abc import Mapping

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareToken
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.media_access import grant_policy_writing, grant_user_agents
from infra_constructs.state_store import StateStore
from infra_runtime.contract.cloudflare_phases import LATE_TRANSFORM


class UserAgentRotation(Construct):
    """Secrets Manager calls it; the bucket accepts old and new while the zone changes over."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        token: CloudflareToken,
        store: StateStore,
        user_agent: secretsmanager.ISecret,
        bucket: s3.IBucket,
        rule: cdk.CustomResource,
        quarantine: Mapping[str, str],
    ) -> None:
        """`quarantine` are variables of `media_quarantine`, for a writer of the bucket's policy."""
        super().__init__(scope, id_)
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="rotate_user_agent",
            description="Rotates the user agent that the media bucket asks for",
            timeout=cdk.Duration.minutes(5),
            environment={
                "TOKEN_SECRET": token.name,
                "STATE_STORE": store.prefix,
                "BUCKET": bucket.bucket_name,
                "RULE": LATE_TRANSFORM,
                **quarantine,
            },
            uses_libraries=True,
        )
        token.grant_read(self.handler)
        store.grant(self.handler, writes=False)
        grant_policy_writing(self.handler, bucket=bucket)
        grant_user_agents(self.handler, user_agent)
        self.handler.role.add_to_policy(
            iam.PolicyStatement(actions=["secretsmanager:GetRandomPassword"], resources=["*"])
        )
        acknowledge(self.handler.policy, allows_on("*"), reason="A random password belongs to nothing yet.")
        schedule = self.handler.rotate(user_agent, self, "Monthly", every=cdk.Duration.days(30))
        schedule.node.add_dependency(rule)
