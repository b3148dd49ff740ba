"""Actions that may be granted on a wildcard, each with its reason.

Placeholders: {region}, {account}, {product}, {env}; `*` is IAM's own.
"""

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase

from template_policies.graph import Graph

# Read-only actions that return neither data nor secrets. `Get` actions, which return values, are listed one by one.
READ_ONLY = re.compile(r"[a-z0-9-]+:(Describe|List|BatchCheck)[A-Za-z]*\*?")
# Allowed on `*`.
EVERYWHERE: Mapping[str, str] = {
    "acm:RequestCertificate": "the certificate has no ARN yet",
    "amplify:GetApp": "configuration, read to find drift",
    "amplify:GetBranch": "configuration, read to find drift",
    "amplify:GetDomainAssociation": "configuration, read before a deployment",
    "backup:GetBackupPlan": "configuration, read to find drift",
    "backup:GetBackupSelection": "configuration, read to find drift",
    "backup:GetBackupVaultAccessPolicy": "configuration, read to find drift",
    "backup:GetBackupVaultNotifications": "configuration, read to find drift",
    "backup:GetRestoreTestingInferredMetadata": "has no resource-level permissions (Service Authorization Reference)",
    "backup:GetRestoreTestingPlan": "configuration, read to find drift",
    "backup:GetRestoreTestingSelection": "configuration, read to find drift",
    "backup:PutRestoreValidationResult": "has no resource-level permissions (Service Authorization Reference)",
    "budgets:ViewBudget": "configuration, read to find drift",
    "ce:GetAnomalyMonitors": "configuration, read to find drift",
    "ce:GetAnomalySubscriptions": "configuration, read to find drift",
    "cloudformation:GetTemplate": "templates hold no secret: templates_contain_no_secret_values",
    "cloudwatch:GetDashboard": "configuration, read to find drift",
    "cloudwatch:GetMetricStatistics": "has no resource-level permissions",
    "cloudwatch:PutMetricData": "has no resource-level permissions; a condition limits the namespace",
    "dynamodb:GetResourcePolicy": "configuration, read to find drift",
    "ec2:AssignPrivateIpAddresses": "Lambda's network interfaces (Lambda guide, VPC execution role)",
    "ec2:CreateNetworkInterface": "Lambda's network interfaces",
    "ec2:DeleteNetworkInterface": "Lambda's network interfaces",
    "ec2:UnassignPrivateIpAddresses": "Lambda's network interfaces",
    "ecr:GetAuthorizationToken": "has no resource-level permissions",
    "ecr:GetLifecyclePolicy": "configuration, read to find drift",
    "ecr:GetRepositoryPolicy": "configuration, read to find drift",
    "fis:GetExperimentTemplate": "configuration, read to find drift",
    "guardduty:GetMalwareProtectionPlan": "configuration, read to find drift",
    "iam:Get*": "configuration, read to find drift; no key and no password is among it",
    "kms:GetKeyPolicy": "configuration, read to find drift",
    "kms:GetKeyRotationStatus": "configuration, read to find drift",
    "lambda:GetEventSourceMapping": "configuration, read to find drift",
    "lambda:GetFunction": "configuration, read to find drift; functions' variables hold no secret",
    "lambda:GetFunctionCodeSigningConfig": "configuration, read to find drift",
    "lambda:GetFunctionConfiguration": "configuration, read to find drift",
    "lambda:GetFunctionEventInvokeConfig": "configuration, read to find drift",
    "lambda:GetFunctionRecursionConfig": "configuration, read to find drift",
    "lambda:GetFunctionScalingConfig": "configuration, read to find drift",
    "lambda:GetLayerVersion": "configuration, read to find drift",
    "lambda:GetPolicy": "configuration, read to find drift",
    "lambda:GetRuntimeManagementConfig": "configuration, read to find drift",
    "logs:DeleteRetentionPolicy": "CDK's one function for every log group that a service makes itself",
    "logs:GetDataProtectionPolicy": "configuration, read to find drift",
    "logs:PutRetentionPolicy": "CDK's one function for every log group that a service makes itself",
    "s3:GetAccelerateConfiguration": "configuration, read to find drift",
    "s3:GetAnalyticsConfiguration": "configuration, read to find drift",
    "s3:GetBucket*": "configuration, read to find drift; GetObject is not among it",
    "s3:GetEncryptionConfiguration": "configuration, read to find drift",
    "s3:GetIntelligentTieringConfiguration": "configuration, read to find drift",
    "s3:GetInventoryConfiguration": "configuration, read to find drift",
    "s3:GetLifecycleConfiguration": "configuration, read to find drift",
    "s3:GetMetricsConfiguration": "configuration, read to find drift",
    "s3:GetReplicationConfiguration": "configuration, read to find drift",
    "secretsmanager:GetRandomPassword": "has no resource-level permissions",
    "secretsmanager:GetResourcePolicy": "configuration, read to find drift",
    "servicequotas:GetAWSDefaultServiceQuota": "the account's quotas, read by `infra doctor`",
    "servicequotas:GetServiceQuota": "the account's quotas, read by `infra doctor`",
    "sns:Get*": "configuration, read to find drift",
    "sqs:GetQueueAttributes": "configuration, read to find drift",
    "ssmmessages:CreateControlChannel": "has no resource-level permissions; only the task of `infra exec` may call it",
    "ssmmessages:CreateDataChannel": "has no resource-level permissions; only the task of `infra exec` may call it",
    "ssmmessages:OpenControlChannel": "has no resource-level permissions; only the task of `infra exec` may call it",
    "ssmmessages:OpenDataChannel": "has no resource-level permissions; only the task of `infra exec` may call it",
    "tag:GetResources": "finds resources by tag, for AWS FIS",
}
_STACK = "arn:aws:cloudformation:{region}:{account}:stack/{product}-{env}-*/*"
_MEDIA = "arn:aws:s3:::{media}/*"
_PREFIX_LIST = "arn:aws:ec2:{region}:{account}:prefix-list/*"
_NETWORK_LIST = "arn:aws:ec2:{region}:{account}:network-acl/*"
_CERTIFICATE = "arn:aws:acm:{region}:{account}:certificate/*"
_STORE = "arn:aws:ssm:{region}:{account}:parameter/{product}/{env}/"
_STATE = (f"{_STORE}cloudflare/*", f"{_STORE}redis/*", f"{_STORE}restore/*")
_AMPLIFY_LOGS = "arn:aws:logs:{region}:{account}:log-group:/aws/amplify/*:log-stream:*"
# GuardDuty makes a rule of its own in the account (GuardDuty guide, Malware Protection for S3, IAM role).
_GUARDDUTY_RULE = "arn:aws:events:{region}:{account}:rule/DO-NOT-DELETE-AmazonGuardDutyMalwareProtectionS3*"
_RESTORED = "arn:aws:rds:{region}:{account}:db:awsbackup-restore-test-*"
_GUARDDUTY = "arn:aws:ecr:{region}:*:repository/aws-guardduty-agent-fargate"
# ARNs with a suffix that AWS adds: 6 characters after a secret's name, an id after a stack's.
_SECRETS = ("arn:aws:secretsmanager:{region}:{account}:secret:*-??????",
            "arn:aws:secretsmanager:{region}:{account}:secret:rds!db-*")  # fmt: skip
_LOGS = "arn:aws:logs:{region}:{account}:log-group:{product}-{env}-*"
# Allowed on a pattern: the widest one for each action.
PATTERNS: Mapping[str, tuple[str, ...]] = {
    "acm:AddTagsToCertificate": (_CERTIFICATE,),
    "acm:DeleteCertificate": (_CERTIFICATE,),
    # Jobs of the one branch of one application.
    "amplify:StartJob": ("{*/AmplifyApp*.Arn}/branches/*/jobs/*",),
    "backup:DisassociateRecoveryPoint": ("arn:aws:backup:{region}:{account}:recovery-point:*",),
    "backup:StartRestoreJob": ("arn:aws:backup:{region}:{account}:recovery-point:*",),
    "cloudformation:DetectStackDrift": (_STACK,),
    "cloudformation:DetectStackResourceDrift": (_STACK,),
    "cloudformation:GetTemplate": (_STACK,),
    "cloudformation:UpdateStack": (_STACK,),
    # The condition requires the tag of our prefix list.
    "ec2:CreateManagedPrefixList": (_PREFIX_LIST,),
    "ec2:CreateTags": (_PREFIX_LIST, _NETWORK_LIST),
    # AWS FIS creates and deletes these network ACLs (docs/adr/0037).
    "ec2:CreateNetworkAcl": (_NETWORK_LIST,),
    "ec2:CreateNetworkAclEntry": (_NETWORK_LIST,),
    "ec2:DeleteNetworkAcl": (_NETWORK_LIST,),
    "ec2:ReplaceNetworkAclAssociation": (_NETWORK_LIST,),
    # FIS finds replication groups by tags, and the condition requires the environment's.
    "elasticache:InterruptClusterAzPower": ("arn:aws:elasticache:{region}:{account}:replicationgroup:*",),
    "ec2:DeleteManagedPrefixList": (_PREFIX_LIST,),
    "ec2:GetManagedPrefixListEntries": (_PREFIX_LIST,),
    "ec2:ModifyManagedPrefixList": (_PREFIX_LIST,),
    "ecr:BatchCheckLayerAvailability": (_GUARDDUTY,),
    "ecr:BatchGetImage": (_GUARDDUTY,),
    "ecr:GetDownloadUrlForLayer": (_GUARDDUTY,),
    "ecs:RunTask": ("arn:aws:ecs:{region}:{account}:task-definition/{env}*:*",),
    "ecs:StopServiceDeployment": ("arn:aws:ecs:{region}:{account}:service-deployment/*/{product}-{env}-*/*",),
    "ecs:StopTask": ("arn:aws:ecs:{region}:{account}:task/*",),
    "events:DeleteRule": (_GUARDDUTY_RULE,),
    "events:PutRule": (_GUARDDUTY_RULE,),
    "events:PutTargets": (_GUARDDUTY_RULE,),
    "events:RemoveTargets": (_GUARDDUTY_RULE,),
    "lambda:GetFunctionConfiguration": ("arn:aws:lambda:{region}:{account}:function:{product}-{env}-*",),
    "lambda:InvokeFunction": ("arn:aws:lambda:{region}:{account}:function:{product}-{env}-delivery-Previews*",),
    "logs:CreateLogStream": (_AMPLIFY_LOGS,),
    "logs:FilterLogEvents": ("arn:aws:logs:{region}:{account}:log-group:/aws/rds/instance/*",),
    "logs:GetLogEvents": (_LOGS,),
    "logs:PutLogEvents": (_AMPLIFY_LOGS,),
    "rds:DeleteDBInstance": (_RESTORED,),
    "rds:ModifyDBInstance": (_RESTORED,),
    "s3:AbortMultipartUpload": (_MEDIA,),
    "s3:DeleteObject": (_MEDIA,),
    "s3:DeleteObjectVersion": (_MEDIA,),
    "s3:GetObject": (_MEDIA,),
    "s3:GetObjectTagging": (_MEDIA,),
    "s3:GetObjectVersion": (_MEDIA,),
    "s3:GetObjectVersionTagging": (_MEDIA,),
    "s3:PutObject": (_MEDIA,),
    "s3:PutObjectTagging": (_MEDIA,),
    "s3:PutObjectVersionTagging": (_MEDIA,),
    "secretsmanager:GetSecretValue": _SECRETS,
    "ssm:DeleteParameter": _STATE,
    "ssm:GetParameter": _STATE,
    "ssm:GetParametersByPath": _STATE,
    "ssm:PutParameter": _STATE,
}


def is_wild(resource: str) -> bool:
    """References are in braces, and no wildcard is in one."""
    return "*" in resource or "?" in resource


def may_be_named_by(graph: Graph, action: str, resource: str) -> bool:
    """Whether the action may be granted on what this pattern names."""
    if READ_ONLY.fullmatch(action):
        return True
    if resource == "*":
        return action in EVERYWHERE
    return any(fnmatchcase(resource, pattern) for pattern in _patterns(graph, action))


def _patterns(graph: Graph, action: str) -> Iterator[str]:
    environment = graph.environment
    known = {
        "region": environment.aws.region, "account": environment.aws.account, "product": environment.product,
        "env": graph.name, "media": environment.media.bucket,
    }  # fmt: skip
    for each in PATTERNS.get(action, ()):
        # A reference is in braces, too, and is left as it is.
        yield re.sub(r"\{(\w+)\}", lambda found: known[found[1]], each)
