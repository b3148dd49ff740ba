"""Findings of the public rule packs that stay, each with a reason and with what has to hold of that one resource."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from template_policies import Graph, Resource, policies
from template_policies.alarms import alarms_in_composites
from template_policies.containers import main_container
from template_policies.graph import number
from template_policies.iam import resource_statements, statements
from template_policies.subnets import PUBLIC, route_tables, tiers


@dataclass(frozen=True)
class Acknowledged:
    reason: str
    holds: Callable[[Graph, Resource], bool]
    """Whether the reason applies to the resource with the finding."""


def _is_public_only(graph: Graph, route: Resource) -> bool:
    table = route.target("RouteTableId")
    own = [subnet for subnet, each in route_tables(graph).items() if each is table]
    return bool(own) and all(tiers(graph)[each] == PUBLIC for each in own)


def _is_of_one(_: Graph, policy: Resource) -> bool:
    return len(policy.targets("Roles")) + len(policy.targets("Users")) == 1


def _admits_the_network_only(graph: Graph, group: Resource) -> bool:
    sources = [each.get("CidrIp") for each in group.items("SecurityGroupIngress")]
    network = graph.environment.network.cidr
    vpcs = [graph.target(group.stack, each) for each in sources]
    return bool(sources) and all(
        source == network or (vpc is not None and vpc.type == "AWS::EC2::VPC")
        for source, vpc in zip(sources, vpcs, strict=True)
    )


def _is_watched(graph: Graph, function: Resource) -> bool:
    (policy,) = (each for each in policies() if each.name == "triggered_functions_have_alarms")
    return (function.stack, function.logical_id) not in {
        (each.stack, each.logical_id) for each in policy.violations(graph)
    }


def _needs_nothing_inside(_: Graph, function: Resource) -> bool:
    return not {"PGHOST", "URL_SECRET"} & set(function.get("Environment.Variables", {}))


# Secrets that change without a rotation by Secrets Manager.
_CHANGED_OTHERWISE = (
    "DatabaseLoginsMasterDuringUpgrades",  # made for an upgrade, which takes hours
    "CheckPassSecret",  # lets our own checks past a challenge, and nothing else
    "OriginLockAuthority",  # certificates below it are renewed by a function each day
    "Instances",  # tokens and URLs of Redis: CloudFormation writes them into the group
    "PreviewDatabases",  # created again with the preview
)


def _rotates(graph: Graph, secret: Resource) -> bool:
    schedules = [each.target("SecretId") for each in graph.of("AWS::SecretsManager::RotationSchedule")]
    return secret in schedules or secret.logical_id.startswith(_CHANGED_OTHERWISE)


def _is_read_in_the_account_only(graph: Graph, secret: Resource) -> bool:
    return not any(
        each.allows and each.resource.target("SecretId") is secret
        for each in resource_statements(graph, "AWS::SecretsManager::ResourcePolicy")
    )


def _keeps_versions_or_expires(_: Graph, bucket: Resource) -> bool:
    expires = [each.get("ExpirationInDays") for each in bucket.items("LifecycleConfiguration.Rules")]
    return bucket.get("VersioningConfiguration.Status") == "Enabled" or expires == [90]


def _is_private(_: Graph, bucket: Resource) -> bool:
    return set(bucket.get("PublicAccessBlockConfiguration", {}).values()) == {True}


def _has_a_policy_by_function(graph: Graph, bucket: Resource) -> bool:
    return bucket.get("BucketName") in [each.get("Bucket") for each in graph.of("Custom::MediaAccess")]


def _is_behind_cloudflare(graph: Graph, balancer: Resource) -> bool:
    return any(
        each.target("LoadBalancerArn") is balancer and each.get("MutualAuthentication.Mode") == "verify"
        for each in graph.of("AWS::ElasticLoadBalancingV2::Listener")
    )


def _is_heard_again(graph: Graph, rule: Resource) -> bool:
    """Whether a schedule, an alarm on deliveries, a queue or the next release makes up for a lost event."""
    if rule.get("ScheduleExpression") is not None:
        return True
    for target in rule.items("Targets"):
        to = graph.target(rule.stack, target.get("Arn"))
        if to is None or to.type != "AWS::Lambda::Function":
            continue
        scheduled = any(
            to in list(graph.referred(each.stack, each.get("Targets")))
            for each in graph.of("AWS::Events::Rule")
            if each.get("ScheduleExpression") is not None
        )
        if not scheduled and to.get("Handler") != "infra_runtime.release.control.handler":
            return False
    return True


def _is_a_dead_letter_queue(graph: Graph, queue: Resource) -> bool:
    return queue in [each.target("RedrivePolicy.deadLetterTargetArn") for each in graph.of("AWS::SQS::Queue")]


def _takes_from_a_queue_with_another_behind(_: Graph, mapping: Resource) -> bool:
    source = mapping.target("EventSourceArn")
    return source is not None and source.get("RedrivePolicy") is not None


def _is(path: str, *values: object) -> Callable[[Graph, Resource], bool]:
    return lambda _, resource: resource.get(path) in values


def _is_disposable(graph: Graph, _: Resource) -> bool:
    return graph.environment.protection.data == "disposable"


def _has_snapshots(_: Graph, group: Resource) -> bool:
    return (number(group.get("SnapshotRetentionLimit")) or 0) >= 1


# Acknowledgements by the rule's name without its pack.
ACKNOWLEDGED: Mapping[str, Acknowledged] = {
    "VPCNoUnrestrictedRouteToIGW": Acknowledged(
        "The public subnets hold load balancer and NAT only, and those have to reach the internet.", _is_public_only
    ),
    "IAMNoInlinePolicy": Acknowledged(
        "CDK gives each role a policy of its own, which no other role has: nothing to reuse.", _is_of_one
    ),
    "EC2RestrictedCommonPorts": Acknowledged("The range is the network's own.", _admits_the_network_only),
    "EC2RestrictedSSH": Acknowledged("The range is the network's own.", _admits_the_network_only),
    "CloudWatchLogGroupEncrypted": Acknowledged(
        "CloudWatch encrypts with its own key; no secret is logged, and logs end after ninety days.",
        _is("RetentionInDays", 90),
    ),
    "LambdaConcurrency": Acknowledged(
        "A fresh account has ten at once (vendors' quotas): reserving some takes them from the others.",
        lambda graph, _: any("FunctionsThrottled" in each.logical_id for each in graph.of("AWS::CloudWatch::Alarm")),
    ),
    "LambdaDLQ": Acknowledged("A failure is an alarm, or somebody waits for the answer.", _is_watched),
    "LambdaInsideVPC": Acknowledged(
        "It calls AWS and Cloudflare only; inside of the network it would need NAT to do so.", _needs_nothing_inside
    ),
    "SecretsManagerRotationEnabled": Acknowledged("It is rotated by another stack, or changes otherwise.", _rotates),
    "SecretsManagerUsingKMSKey": Acknowledged(
        "A key of our own is needed only if another account reads; none may.",
        _is_read_in_the_account_only,
    ),
    "S3BucketLoggingEnabled": Acknowledged("Only Cloudflare and roles of this account read it.", _is_private),
    "S3BucketReplicationEnabled": Acknowledged(
        "What is deleted comes back from its versions; the loss of a region is not among the promises.",
        _keeps_versions_or_expires,
    ),
    "S3BucketVersioningEnabled": Acknowledged("Logs are written once and expire.", _keeps_versions_or_expires),
    "S3BucketSSLRequestsOnly": Acknowledged(
        "Its policy follows Cloudflare's ranges and is written by a function, with the denial of plain HTTP.",
        _has_a_policy_by_function,
    ),
    "S3DefaultEncryptionKMS": Acknowledged(
        "Encrypted by S3's own key: Cloudflare's requests have no identity that could use one of ours.",
        lambda graph, bucket: "AES256" in str(bucket.get("BucketEncryption")),
    ),
    "DynamoDBInBackupPlan": Acknowledged(
        "It can be restored to any second of the last 35 days.",
        _is("PointInTimeRecoverySpecification.PointInTimeRecoveryEnabled", True),
    ),
    "ALBWAFEnabled": Acknowledged("Cloudflare's WAF is in front, and cannot be bypassed.", _is_behind_cloudflare),
    "ElastiCacheRedisClusterAutomaticBackup": Acknowledged(
        "Snapshots are kept as the file says; the rule wants fifteen days, of a cache.", _has_snapshots
    ),
    "SNSEncryptedKMS": Acknowledged(
        "ElastiCache publishes to no encrypted topic (its guide, ElastiCacheSNS).",
        _is("DisplayName", "Events of ElastiCache"),
    ),
    "CloudWatchAlarmAction": Acknowledged(
        "A composite asks for it and tells.", lambda graph, alarm: alarm.where in alarms_in_composites(graph)
    ),
    "LambdaTracing": Acknowledged(
        "Errors go to Sentry with their context; none of these functions calls another one.",
        lambda graph, function: (
            function.get("LoggingConfig.LogFormat") == "JSON" or "infra_runtime" not in str(function.get("Handler"))
        ),
    ),
    "EventBusDLQ": Acknowledged("What is lost is looked for again.", _is_heard_again),
    "SNSRedrivePolicy": Acknowledged(
        "SNS tries for weeks (its guide, message delivery retries); a failure of the function is an alarm.",
        _is("Protocol", "email", "lambda"),
    ),
    "LambdaAsyncFailureDestination": Acknowledged(
        "An old look is of no use: it is not repeated.", _is("MaximumRetryAttempts", 0)
    ),
    "SQSRedrivePolicy": Acknowledged("It is itself the queue of what failed.", _is_a_dead_letter_queue),
    "LambdaEventSourceMappingDestination": Acknowledged(
        "The queue itself has one behind it.", _takes_from_a_queue_with_another_behind
    ),
    "EC2InstanceNoPublicIp": Acknowledged("It is the network's way out.", _is("SourceDestCheck", False)),
    "EC2InstanceDetailedMonitoringEnabled": Acknowledged(
        "A NAT instance is for what may be disposed of, and the checks from outside see it fail.", _is_disposable
    ),
    "EC2InstancesInVPC": Acknowledged(
        "The subnet stands at its network interface, where the rule does not look.",
        lambda graph, instance: any(
            (subnet := graph.target(instance.stack, each.get("SubnetId"))) is not None
            and subnet.type == "AWS::EC2::Subnet"
            for each in instance.items("NetworkInterfaces")
        ),
    ),
    "RDSInBackupPlan": Acknowledged(
        "RDS itself keeps backups and every change between them.",
        lambda _, database: (number(database.get("BackupRetentionPeriod")) or 0) >= 1,
    ),
    "RDSInstanceDeletionProtectionEnabled": Acknowledged(
        "Its data may be disposed of, as the file says.", _is_disposable
    ),
    "RDSMultiAZSupport": Acknowledged("Its data may be disposed of, as the file says.", _is_disposable),
    "ELBDeletionProtectionEnabled": Acknowledged(
        "The environment may be disposed of, as its file says.", _is_disposable
    ),
    "IAMUserGroupMembership": Acknowledged(
        "The one user signs Cloudflare's reads of media (docs/adr/0017); a group would have one member.",
        lambda _, user: user.logical_id.startswith("MediaWorker"),
    ),
    "IAMUserNoPolicies": Acknowledged(
        "The one user signs Cloudflare's reads of media (docs/adr/0017); a group would have one member.",
        lambda _, policy: policy.logical_id.startswith("MediaWorker"),
    ),
}


def _is_in_the_network_or_needs_nothing_of_it(graph: Graph, function: Resource) -> bool:
    """The rule does not understand subnets that another stack exports."""
    return function.get("VpcConfig") is not None or _needs_nothing_inside(graph, function)


def _runs_as_somebody(_: Graph, task: Resource) -> bool:
    return str(main_container(task).get("User", "")).partition(":")[0] not in ("", "0", "root")


_CLOSED = _is("PubliclyAccessible", False)
_ONE_FILE = Acknowledged(
    "It holds one public certificate, which is written again when it changes.",
    lambda _, bucket: bucket.logical_id.startswith("OriginLockTrust"),
)
_NO_WILDCARDS = Acknowledged(
    "The rule takes a user whose policy is a resource of its own for one that may do everything.",
    lambda graph, user: all(
        "*" not in action for each in statements(graph) if user.where in each.holders for action in each.actions
    ),
)
# Control Tower's proactive controls, by the names of their rules.
CONTROL_TOWER: Mapping[str, Acknowledged] = {
    "cloudwatch_alarm_action_check": ACKNOWLEDGED["CloudWatchAlarmAction"],
    "cloudwatch_log_group_encrypted_check": ACKNOWLEDGED["CloudWatchLogGroupEncrypted"],
    "cloudwatch_log_group_retention_period_check": Acknowledged(
        "Ninety days are what an investigation needs; the rule wants a year.", _is("RetentionInDays", 90)
    ),
    "ec2_instance_detailed_monitoring_enabled_check": ACKNOWLEDGED["EC2InstanceDetailedMonitoringEnabled"],
    "ec2_instance_nitro_encryption_in_transit_check": Acknowledged(
        "A NAT instance is for what may be disposed of; what goes through it is encrypted by TLS.", _is_disposable
    ),
    "ec2_instance_no_public_ip_check": ACKNOWLEDGED["EC2InstanceNoPublicIp"],
    "ec2_launch_template_monitoring_enabled_check": ACKNOWLEDGED["EC2InstanceDetailedMonitoringEnabled"],
    "ecr_private_lifecycle_policy_configured_check": Acknowledged(
        "It holds the one image that prepares volumes, by its digest.",
        lambda _, repository: repository.logical_id.startswith("Helper"),
    ),
    "ecs_container_insights_enabled_check": Acknowledged(
        "It is enhanced, which is more than the rule knows.",
        lambda _, cluster: "enhanced" in str(cluster.get("ClusterSettings")),
    ),
    "ecs_task_definition_memory_hard_limit_check": Acknowledged(
        "Fargate bounds the whole task.", lambda _, task: task.get("Memory") is not None
    ),
    "ecs_task_definition_nonroot_user_check": Acknowledged(
        "Only the container that prepares volumes is root's, and it ends before the product's starts.",
        _runs_as_somebody,
    ),
    "elbv2_acm_certificate_required_check": Acknowledged(
        "ACM's certificate is made by a custom resource, where the rule does not look.",
        lambda _, listener: listener.target("Certificates") is None and bool(listener.items("Certificates")),
    ),
    "elbv2_deletion_protection_enabled_check": ACKNOWLEDGED["ELBDeletionProtectionEnabled"],
    "iam_inline_policy_no_statements_with_admin_access_check": _NO_WILDCARDS,
    "iam_inline_policy_no_statements_with_full_access_check": _NO_WILDCARDS,
    "iam_user_no_policies_check": ACKNOWLEDGED["IAMUserNoPolicies"],
    "kms_create_grant_aws_service_check": Acknowledged(
        "The key leaves that to the account's policies, and no role of ours may make grants but for AWS's services.",
        lambda graph, _: all(
            ("Bool", "kms:GrantIsForAWSResource") in each.conditions
            for each in statements(graph)
            if "kms:CreateGrant" in each.actions
        ),
    ),
    "lambda_inside_vpc_check": Acknowledged(
        "It is in the network, or calls AWS and Cloudflare only.", _is_in_the_network_or_needs_nothing_of_it
    ),
    "rds_instance_backup_enabled_check": Acknowledged(
        "Backups are kept as long as the file says; the rule wants a week.", ACKNOWLEDGED["RDSInBackupPlan"].holds
    ),
    "rds_instance_default_admin_check": Acknowledged(
        "RDS manages its password, and it cannot be reached from outside of the network.", _CLOSED
    ),
    "rds_instance_no_default_ports_check": Acknowledged(
        "A port is no secret: it cannot be reached from outside of the network.", _CLOSED
    ),
    "rds_instance_deletion_protection_enabled_check": ACKNOWLEDGED["RDSInstanceDeletionProtectionEnabled"],
    "rds_instance_multi_az_support_check": ACKNOWLEDGED["RDSMultiAZSupport"],
    "s3_bucket_default_encryption_kms_check": ACKNOWLEDGED["S3DefaultEncryptionKMS"],
    "s3_bucket_logging_enabled_check": ACKNOWLEDGED["S3BucketLoggingEnabled"],
    "s3_bucket_object_lock_enabled_check": Acknowledged(
        "What is deleted comes back from its versions; a lock would keep what people ask to be deleted.",
        _keeps_versions_or_expires,
    ),
    "s3_bucket_versioning_enabled_check": ACKNOWLEDGED["S3BucketVersioningEnabled"],
    "s3_event_notifications_enabled_check": Acknowledged(
        "No function needs its events; a function sets up those of media.", _is_private
    ),
    "s3_lifecycle_policy_check": _ONE_FILE,
    "s3_version_lifecycle_policy_check": _ONE_FILE,
    "sqs_dlq_check": ACKNOWLEDGED["SQSRedrivePolicy"],
}
