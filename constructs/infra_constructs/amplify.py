"""AWS Amplify Hosting as the host of a site: it builds the Next.js application from its repository and serves it."""

from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_amplify as amplify
from aws_cdk import aws_iam as iam
from constructs import Construct

_BUILD = """\
version: 1
frontend:
  phases:
    preBuild:
      commands: [npm ci]
    build:
      commands: [npm run build]
  artifacts:
    baseDirectory: .next
    files: ["**/*"]
  cache:
    paths: ["node_modules/**/*", ".next/cache/**/*"]
"""


@dataclass(frozen=True, kw_only=True)
class AmplifyProps:
    """What an environment may choose."""

    repository_url: str
    branch: str
    access_token_secret: str
    """Name of the secret in Secrets Manager that holds a GitHub token."""


class AmplifySite(Construct):
    """One application, one branch. `domain` is where DNS has to send the site's visitors."""

    def __init__(self, scope: Construct, id_: str, *, variables: Mapping[str, str], props: AmplifyProps) -> None:
        super().__init__(scope, id_)
        role = iam.Role(
            self,
            "Role",
            description="What server-side rendering may do: write its own log",
            assumed_by=iam.ServicePrincipal(
                "amplify.amazonaws.com",
                conditions={"StringEquals": {"aws:SourceAccount": cdk.Stack.of(self).account}},
            ),
        )
        app = amplify.CfnApp(
            self,
            "App",
            name=cdk.Stack.of(self).stack_name,
            platform="WEB_COMPUTE",
            repository=props.repository_url,
            access_token=cdk.SecretValue.secrets_manager(props.access_token_secret).unsafe_unwrap(),
            iam_service_role=role.role_arn,
            build_spec=_BUILD,
            environment_variables=[
                amplify.CfnApp.EnvironmentVariableProperty(name=name, value=value)
                for name, value in sorted(variables.items())
            ],
            enable_branch_auto_deletion=False,
        )
        branch = amplify.CfnBranch(
            self,
            "Branch",
            app_id=app.attr_app_id,
            branch_name=props.branch,
            stage="PRODUCTION",
            enable_auto_build=True,
        )
        self.app_id = app.attr_app_id
        self.domain = f"{branch.attr_branch_name}.{app.attr_default_domain}"
