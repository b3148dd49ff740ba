"""AWS Amplify Hosting as the host of a site: it builds the Next.js application from its repository and serves it."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_amplify as amplify
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction

_BUILD = """\
version: 1
frontend:
  phases:
    preBuild:
      commands: [npm ci]
    build:
      commands: COMMANDS
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
    release: str | None
    """What the site's releases are called in Sentry, before @ and the commit; None without Sentry."""


class AmplifySite(Construct):
    """One application, one branch, built with every push and when its variables change."""

    def __init__(self, scope: Construct, id_: str, *, variables: Mapping[str, str], props: AmplifyProps) -> None:
        super().__init__(scope, id_)
        stack = cdk.Stack.of(self)
        service_role = iam.Role(
            self, "Role", description="What Amplify may do for the site: write its log", assumed_by=_amplify(stack)
        )
        self.compute_role = iam.Role(
            self, "ComputeRole", description="What server-side rendering may do", assumed_by=_amplify(stack)
        )
        spec = _build_spec(list(variables), release=props.release)
        app = amplify.CfnApp(
            self,
            "App",
            name=stack.stack_name,
            platform="WEB_COMPUTE",
            repository=props.repository_url,
            access_token=cdk.SecretValue.secrets_manager(props.access_token_secret).unsafe_unwrap(),
            iam_service_role=service_role.role_arn,
            compute_role_arn=self.compute_role.role_arn,
            build_spec=spec,
            environment_variables=[
                amplify.CfnApp.EnvironmentVariableProperty(name=name, value=value)
                for name, value in sorted(variables.items())
            ],
            enable_branch_auto_deletion=False,
        )
        _grant_log(service_role, app)
        branch = amplify.CfnBranch(
            self,
            "Branch",
            app_id=app.attr_app_id,
            branch_name=props.branch,
            # Amplify guesses it for apps that are made in its console only, and without it the build fails: "your app's
            # framework looks wrong" (amplify-hosting #3708, #3877; amplify-backend #1562).
            framework="Next.js - SSR",
            stage="PRODUCTION",
            enable_auto_build=True,
        )
        self.app_id, self.app_arn, self.branch = app.attr_app_id, app.attr_arn, branch.attr_branch_name
        self._build(app, props.branch, built_with=json.dumps([sorted(variables.items()), spec]))

    def _build(self, app: amplify.CfnApp, branch: str, *, built_with: str) -> None:
        handler = RuntimeFunction(
            self,
            "BuildHandler",
            module="amplify_build",
            description="Has Amplify build the site when it is new and when its variables change",
            timeout=cdk.Duration.minutes(1),
        )
        jobs = f"branches/{branch}/jobs/*"
        handler.role.add_to_policy(
            iam.PolicyStatement(actions=["amplify:StartJob"], resources=[f"{self.app_arn}/{jobs}"])
        )
        acknowledge(
            handler.policy,
            allows_on(f"<{cdk.Stack.of(self).get_logical_id(app)}.Arn>/{jobs}"),
            reason="A build has no number before it is started.",
        )
        handler.resource(
            self,
            "Build",
            kind="Custom::AmplifyBuild",
            properties={
                "App": self.app_id,
                "Branch": self.branch,
                "BuiltWith": hashlib.sha256(built_with.encode()).hexdigest(),
            },
        )


def _amplify(stack: cdk.Stack) -> iam.ServicePrincipal:
    return iam.ServicePrincipal(
        "amplify.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": stack.account}}
    )


def _grant_log(role: iam.Role, app: amplify.CfnApp) -> None:
    """Grants what the role of Amplify's console has (guide, "CloudWatch Logs for server-side rendered apps")."""
    stack = cdk.Stack.of(role)
    groups = arn_of(role, "logs", "log-group:/aws/amplify")
    own = f"{groups}/{app.attr_app_id}"
    role.add_to_policy(iam.PolicyStatement(actions=["logs:CreateLogGroup"], resources=[own]))
    role.add_to_policy(
        iam.PolicyStatement(actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[f"{own}:log-stream:*"])
    )
    role.add_to_policy(iam.PolicyStatement(actions=["logs:DescribeLogGroups"], resources=["*"]))
    policy = role.node.find_child("DefaultPolicy")
    assert isinstance(policy, iam.Policy)
    acknowledge(
        policy,
        allows_on(f"{groups}/<{stack.get_logical_id(app)}.AppId>:log-stream:*"),
        reason="Amplify names the streams of the app's own log group.",
    )
    acknowledge(policy, allows_on("*"), reason="DescribeLogGroups lists all groups or none.")


def _build_spec(variables: list[str], *, release: str | None) -> str:
    """An `amplify.yml` in the repository takes its place.

    Next.js's server knows a variable of the build only if it is in `.env.production` (user guide, "Making environment
    variables accessible to server-side runtimes"). There, `$` begins a reference, and `#` outside of quotes a comment.
    """
    build = "npm run build"
    commands = []
    if variables:
        names = "|".join(sorted(variables))
        quoted = r"""sed -e 's/\$/\\$/g' -e 's/=\(.*\)/="\1"/'"""
        commands.append(f"env | grep -E '^({names})=' | {quoted} >> .env.production")
    if release is not None:
        # Not AWS_COMMIT_ID: that is HEAD in builds that no push has started.
        commands.append(f'echo "SENTRY_RELEASE={release}@$(git rev-parse HEAD)" >> .env.production')
        build = f'SENTRY_RELEASE="{release}@$(git rev-parse HEAD)" {build}'
    # A list in JSON is one in YAML, too.
    return _BUILD.replace("COMMANDS", json.dumps([*commands, build]))
