"""Deployments from GitHub Actions without a long-lived key."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

_ISSUER = "token.actions.githubusercontent.com"
_CDK_ROLES = ("deploy-role", "file-publishing-role", "lookup-role")
_CDK_QUALIFIER = "hnb659fds"


@dataclass(frozen=True, kw_only=True)
class GitHubProps:
    """What an environment may choose."""

    repository: str
    """owner/name"""
    environment: str
    """The GitHub environment, whose protection rules say who approves."""
    owns_provider: bool
    """IAM has one provider per URL and account: true for one environment of each account."""


class GitHubDeployRole(Construct):
    """A role for workflows of one repository *and* one environment of it; it may become CDK's own roles, no more."""

    def __init__(self, scope: Construct, id_: str, *, props: GitHubProps) -> None:
        super().__init__(scope, id_)
        stack = cdk.Stack.of(self)
        provider_arn = stack.format_arn(service="iam", region="", resource="oidc-provider", resource_name=_ISSUER)
        if props.owns_provider:
            provider = iam.OidcProviderNative(
                self,
                "Provider",
                url=f"https://{_ISSUER}",
                client_ids=["sts.amazonaws.com"],
                # Kept: other environments of the account rely on it.
                removal_policy=cdk.RemovalPolicy.RETAIN,
            )
            provider_arn = provider.oidc_provider_arn
        self.role = iam.Role(
            self,
            "Role",
            description=f"cdk deploy from {props.repository}, environment {props.environment}",
            max_session_duration=cdk.Duration.hours(1),
            assumed_by=iam.WebIdentityPrincipal(
                provider_arn,
                conditions={
                    "StringEquals": {
                        f"{_ISSUER}:aud": "sts.amazonaws.com",
                        f"{_ISSUER}:sub": f"repo:{props.repository}:environment:{props.environment}",
                    }
                },
            ),
        )
        self.role.add_to_policy(
            iam.PolicyStatement(
                actions=["sts:AssumeRole"],
                resources=[
                    stack.format_arn(
                        service="iam",
                        region="",
                        resource="role",
                        resource_name=f"cdk-{_CDK_QUALIFIER}-{role}-{stack.account}-{stack.region}",
                    )
                    for role in _CDK_ROLES
                ],
            )
        )
