"""What GitHub's workflows may do in the account, without a long-lived key."""

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.arns import arn_of, iam_arn
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.previews.control import PreviewControl
from infra_constructs.release.control import ReleaseControl
from infra_constructs.release.ledger import ReleaseLedger
from infra_runtime.contract.names import GITHUB_ISSUER

_CDK_ROLES = ("deploy-role", "file-publishing-role", "lookup-role")
_CDK_QUALIFIER = "hnb659fds"


@dataclass(frozen=True, kw_only=True)
class Workflows:
    """Workflows of one repository in one of its GitHub environments, whose protection rules say who approves."""

    repository: str
    """OWNER/NAME, or OWNER@OWNER_ID/NAME@REPOSITORY_ID, as GitHub writes it into this repository's tokens.

    One of the two, never both: a role that also trusted the name would let in a stranger who takes that name after the
    repository was renamed or deleted.
    """
    environment: str

    @property
    def subject(self) -> str:
        """The `sub` of GitHub's token."""
        return f"repo:{self.repository}:environment:{self.environment}"


class GitHubProvider(Construct):
    """GitHub as an identity provider; IAM has one for each URL and account."""

    def __init__(self, scope: Construct, id_: str, *, is_ours: bool) -> None:
        super().__init__(scope, id_)
        self.arn = iam_arn(self, f"oidc-provider/{GITHUB_ISSUER}")
        if is_ours:
            provider = iam.OidcProviderNative(
                self,
                "Provider",
                url=f"https://{GITHUB_ISSUER}",
                client_ids=["sts.amazonaws.com"],
                # Kept: other environments of the account rely on it. Not after a failed creation: the next one would
                # fail (IAM, EntityAlreadyExists).
                removal_policy=cdk.RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
            )
            self.arn = provider.oidc_provider_arn


# GitHub ends a job on its own runners after six hours, and a job gets no second session when the first one ends: what
# waits for a deployment needs credentials for all of it (configure-aws-credentials #359).
_WHOLE_JOB = cdk.Duration.hours(6)


class GitHubRole(Construct):
    """A role for the length of one job. Its statements are also its permissions boundary.

    A policy that is attached to the role later gives it nothing more.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: GitHubProvider,
        workflows: Workflows,
        description: str,
        statements: Sequence[iam.PolicyStatement],
        session: cdk.Duration | None = None,
    ) -> None:
        super().__init__(scope, id_)
        self.role = iam.Role(
            self,
            "Role",
            description=f"{description}, from {workflows.repository}, environment {workflows.environment}",
            max_session_duration=session or cdk.Duration.hours(1),
            assumed_by=iam.WebIdentityPrincipal(
                provider.arn,
                conditions={
                    "StringEquals": {
                        f"{GITHUB_ISSUER}:aud": "sts.amazonaws.com",
                        f"{GITHUB_ISSUER}:sub": workflows.subject,
                    }
                },
            ),
        )
        self.policy = iam.ManagedPolicy(self, "Policy", statements=list(statements))
        self.role.add_managed_policy(self.policy)
        iam.PermissionsBoundary.of(self.role).apply(self.policy)
        output = cdk.CfnOutput(self, "Arn", value=self.role.role_arn, description=f"For {workflows.subject}")
        # People and `infra github` look it up by this name.
        output.override_logical_id(f"{id_}Role")


# What `infra doctor` and `infra explain` read; none of these shows or changes data.
_METADATA_READS = (
    "amplify:GetDomainAssociation",
    "amplify:ListJobs",
    "chatbot:DescribeSlackChannelConfigurations",
    "chatbot:DescribeSlackWorkspaces",
    "cloudformation:DescribeStackEvents",
    "cloudformation:DescribeStacks",
    "cloudformation:GetTemplate",
    "cloudformation:ListStackResources",
    "cloudformation:ListStacks",
    "cloudwatch:DescribeAlarms",
    "ecs:DescribeServices",
    "ecs:ListServiceDeployments",
    "elasticache:DescribeReplicationGroups",
    "elasticloadbalancing:DescribeRules",
    "iam:ListOpenIDConnectProviders",
    "iam:ListRoles",
    "rds:DescribeDBInstances",
    "servicequotas:GetAWSDefaultServiceQuota",
    "servicequotas:GetServiceQuota",
    "servicequotas:ListRequestedServiceQuotaChangeHistoryByQuota",
    "sns:ListSubscriptionsByTopic",
)


def deploy_role(
    scope: Construct, id_: str, *, provider: GitHubProvider, workflows: Workflows, ledger: ReleaseLedger
) -> GitHubRole:
    """Role for `cdk deploy`, which may assume CDK's own roles, and for `infra doctor` before it."""
    stack = cdk.Stack.of(scope)
    roles = [iam_arn(scope, f"role/cdk-{_CDK_QUALIFIER}-{role}-{stack.account}-{stack.region}") for role in _CDK_ROLES]
    role = GitHubRole(
        scope,
        id_,
        provider=provider,
        workflows=workflows,
        description="cdk deploy",
        session=_WHOLE_JOB,
        statements=[
            iam.PolicyStatement(actions=["sts:AssumeRole"], resources=roles),
            iam.PolicyStatement(actions=["dynamodb:Query"], resources=[ledger.table.table_arn]),
            iam.PolicyStatement(actions=list(_METADATA_READS), resources=["*"]),
        ],
    )
    acknowledge(role.policy, allows_on("*"), reason="It only reads, and this account's stacks have no fixed names.")
    return role


# What CloudFormation reads, with the asker's access, to compare what is there with its templates: settings, no data.
# Each type needs the permissions of its provider schema's read handler; tests/stacks/test_trust.py names what is left
# out. Without one, CloudFormation does not compare the resource (aws-cdk-cli #740), or reports drift that there is not
# (aws-cloudformation-resource-providers-kms #69, cloudformation-coverage-roadmap #2138).
_SETTINGS = (
    "amplify:GetApp",
    "amplify:GetBranch",
    "amplify:ListTagsForResource",
    "application-autoscaling:Describe*",
    "application-autoscaling:ListTagsForResource",
    "backup:Describe*",
    "backup:GetBackupPlan",
    "backup:GetBackupSelection",
    "backup:GetBackupVaultAccessPolicy",
    "backup:GetBackupVaultNotifications",
    "backup:GetRestoreTestingPlan",
    "backup:GetRestoreTestingSelection",
    "backup:ListTags",
    "budgets:ListTagsForResource",
    "budgets:ViewBudget",
    "ce:GetAnomalyMonitors",
    "ce:GetAnomalySubscriptions",
    "ce:ListTagsForResource",
    "chatbot:Describe*",
    "chatbot:ListAssociations",
    "cloudwatch:Describe*",
    "cloudwatch:GetDashboard",
    "cloudwatch:ListTagsForResource",
    "dynamodb:Describe*",
    "dynamodb:GetResourcePolicy",
    "dynamodb:ListTagsOfResource",
    "ec2:Describe*",
    "ecr:Describe*",
    "ecr:GetLifecyclePolicy",
    "ecr:GetRepositoryPolicy",
    "ecr:ListTagsForResource",
    "ecs:Describe*",
    "elasticache:Describe*",
    "elasticache:ListTagsForResource",
    "elasticloadbalancing:Describe*",
    "events:Describe*",
    "events:List*",
    "fis:GetExperimentTemplate",
    "fis:ListTagsForResource",
    "guardduty:GetMalwareProtectionPlan",
    "iam:Get*",
    "iam:List*",
    "kms:Describe*",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:List*",
    "lambda:GetEventSourceMapping",
    "lambda:GetFunction",
    "lambda:GetFunctionCodeSigningConfig",
    "lambda:GetFunctionConfiguration",
    "lambda:GetFunctionEventInvokeConfig",
    "lambda:GetFunctionRecursionConfig",
    "lambda:GetFunctionScalingConfig",
    "lambda:GetLayerVersion",
    "lambda:GetPolicy",
    "lambda:GetRuntimeManagementConfig",
    "lambda:List*",
    "logs:Describe*",
    "logs:GetDataProtectionPolicy",
    "logs:List*",
    "rds:Describe*",
    "rds:ListTagsForResource",
    "s3:GetBucket*",
    "s3:GetEncryptionConfiguration",
    "s3:GetLifecycleConfiguration",
    "s3:GetAccelerateConfiguration",
    "s3:GetAnalyticsConfiguration",
    "s3:GetIntelligentTieringConfiguration",
    "s3:GetInventoryConfiguration",
    "s3:GetMetricsConfiguration",
    "s3:GetReplicationConfiguration",
    "s3:ListBucket",  # HeadBucket; it gives names of objects, too, but no content
    "s3:ListTagsForResource",
    "secretsmanager:DescribeSecret",
    "secretsmanager:GetResourcePolicy",
    "sns:Get*",
    "sns:List*",
    "sqs:GetQueueAttributes",
    "sqs:ListQueueTags",
    "ssm:DescribeAssociation",
    "ssm:ListAssociations",
)


def drift_role(
    scope: Construct, id_: str, *, provider: GitHubProvider, workflows: Workflows, stacks: str
) -> GitHubRole:
    """Role for the daily drift check, and for the plan before a deployment's approval: reads settings only.

    Its GitHub environment needs no approval: it also runs at night. `stacks` is the ARN of the stacks that it reads.
    """
    role = GitHubRole(
        scope,
        id_,
        provider=provider,
        workflows=workflows,
        description="Drift",
        statements=[
            iam.PolicyStatement(
                actions=[
                    "cloudformation:DescribeStackResources",
                    "cloudformation:DescribeStackResourceDrifts",
                    "cloudformation:DetectStackDrift",
                    "cloudformation:DetectStackResourceDrift",
                    "cloudformation:GetTemplate",  # for the plan of a deployment
                ],
                resources=[stacks],
            ),
            iam.PolicyStatement(
                actions=[
                    # Describing every stack needs both, and both only on all stacks.
                    "cloudformation:DescribeStacks",
                    "cloudformation:ListStacks",
                    "cloudformation:DescribeStackDriftDetectionStatus",
                    *_SETTINGS,
                ],
                resources=["*"],
            ),
        ],
    )
    for each in (stacks, "*", *(f"Action::{action}" for action in _SETTINGS if "*" in action)):
        finding = f"AwsSolutions-IAM5[{each}]" if each.startswith("Action::") else allows_on(each)
        acknowledge(role.policy, finding, reason="It reads the settings of every resource in the stacks, and no data.")
    return role


_PUSHING = (
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:DescribeImages",
    "ecr:DescribeImageScanFindings",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
)


def release_role(
    scope: Construct,
    id_: str,
    *,
    provider: GitHubProvider,
    workflows: Workflows,
    service: str,
    stacks: Sequence[str],
    repository: ecr.IRepository,
    control: ReleaseControl,
    ledger: ReleaseLedger,
    uploads: str | None = None,
) -> GitHubRole:
    """Role for a service's pipeline: pushes images, starts a release, and follows it.

    `stacks` are those that `infra release` looks things up in; `uploads` is the ARN of the objects that it may add.
    """
    looked_up = [arn_of(scope, "cloudformation", f"stack/{name}/*") for name in stacks]
    functions = [arn_of(scope, "lambda", f"function:{name}-*") for name in stacks]
    logs = [arn_of(scope, "logs", f"log-group:{name}-*") for name in stacks]  # of a migration
    role = GitHubRole(
        scope,
        id_,
        provider=provider,
        workflows=workflows,
        description=f"Releases of {service}",
        session=_WHOLE_JOB,
        statements=[
            iam.PolicyStatement(actions=list(_PUSHING), resources=[repository.repository_arn]),
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[control.handler.function.function_arn]),
            iam.PolicyStatement(actions=["dynamodb:Query"], resources=[ledger.table.table_arn]),
            iam.PolicyStatement(actions=["ssm:GetParameter"], resources=[control.parameter_arn]),
            iam.PolicyStatement(
                actions=["cloudformation:DescribeStacks", "cloudformation:ListStackResources"], resources=looked_up
            ),
            iam.PolicyStatement(actions=["lambda:GetFunctionConfiguration"], resources=functions),
            iam.PolicyStatement(actions=["logs:GetLogEvents"], resources=logs),
            # For none of these is a narrower resource known beforehand, and none shows or changes data.
            iam.PolicyStatement(
                actions=[
                    "ecr:GetAuthorizationToken",
                    "ecs:DescribeServices",
                    "ecs:DescribeTasks",
                    "ecs:DescribeTaskDefinition",
                    "ecs:DescribeServiceDeployments",
                    "ecs:ListServiceDeployments",
                    "ecs:ListTasks",
                    "cloudwatch:DescribeAlarms",
                    "elasticloadbalancing:DescribeRules",
                ],
                resources=["*"],
            ),
        ],
    )
    if uploads is not None:
        role.policy.add_statements(iam.PolicyStatement(actions=["s3:PutObject"], resources=[uploads]))
        acknowledge(role.policy, allows_on(uploads), reason="Static files of the site, whose names its build chooses.")
    for each in (*looked_up, *functions, *logs, "*"):
        acknowledge(role.policy, allows_on(each), reason="It only reads what has no name before it exists.")
    return role


def preview_role(
    scope: Construct,
    id_: str,
    *,
    provider: GitHubProvider,
    workflows: Workflows,
    service: str,
    repository: ecr.IRepository,
    control: PreviewControl,
) -> GitHubRole:
    """Role for pull requests, whose code is not reviewed yet: pushes images and starts previews."""
    stack = cdk.Stack.of(scope)
    looked_up = arn_of(scope, "cloudformation", f"stack/{stack.stack_name}/*")
    functions = arn_of(scope, "lambda", f"function:{stack.stack_name}-*")
    role = GitHubRole(
        scope,
        id_,
        provider=provider,
        workflows=workflows,
        description=f"Previews of {service}",
        statements=[
            iam.PolicyStatement(actions=list(_PUSHING), resources=[repository.repository_arn]),
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[control.handler.function.function_arn]),
            iam.PolicyStatement(actions=["cloudformation:ListStackResources"], resources=[looked_up]),
            iam.PolicyStatement(actions=["lambda:GetFunctionConfiguration"], resources=[functions]),
            iam.PolicyStatement(actions=["ecr:GetAuthorizationToken"], resources=["*"]),
        ],
    )
    for each in (looked_up, functions, "*"):
        acknowledge(role.policy, allows_on(each), reason="It only reads what has no name before it exists.")
    return role
