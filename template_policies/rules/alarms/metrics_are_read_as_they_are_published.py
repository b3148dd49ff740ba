"""An alarm reads an existing metric, with the statistic, period and treatment of missing data that fit it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from config.services import hosts
from template_policies import Failure, Graph, Violation, policy
from template_policies.alarms import ALARM, METRICS, metrics
from template_policies.graph import Resource, short

BAD, GOOD, SAME = "breaching", "notBreaching", "ignore"
MINUTE, FIVE, QUARTER, HOUR, DAY = 60, 300, 900, 3600, 86400
# Burn rates of objectives have their own windows (docs/adr/0016).
_SHARE = re.compile(r"PR\(:?[\d.]+:?\)")
WINDOWS = (FIVE, HOUR, 2 * HOUR, DAY)
# (statistic, dimensions, periods, treatment of missing data) by metric.
Reading = tuple[str, tuple[str, ...], tuple[int, ...], tuple[str, ...]]
_OF_TARGETS = ("LoadBalancer", "TargetGroup")
_OF_SERVICE = ("ClusterName", "ServiceName")
_OF_FUNCTION = ("FunctionName",)
_OF_DATABASE = ("DBInstanceIdentifier",)
_OF_NODE = ("CacheClusterId",)
_OF_REDIS = ("Environment", "Instance")
READINGS: Mapping[tuple[str, str], Reading] = {
    ("AWS/S3", "4xxErrors"): ("Sum", ("BucketName", "FilterId"), (FIVE,), (GOOD,)),
    ("AWS/S3", "5xxErrors"): ("Sum", ("BucketName", "FilterId"), (FIVE,), (GOOD,)),
    ("AWS/S3", "AllRequests"): ("Sum", ("BucketName", "FilterId"), (FIVE,), (GOOD,)),
    ("AWS/S3", "BytesDownloaded"): ("Sum", ("BucketName", "FilterId"), (DAY,), (GOOD,)),
    ("AWS/S3", "GetRequests"): ("Sum", ("BucketName", "FilterId"), (DAY,), (GOOD,)),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): ("Maximum", ("QueueName",), (FIVE,), (GOOD,)),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): ("Maximum", ("QueueName",), (FIVE,), (GOOD,)),
    ("AWS/ECS", "CPUUtilization"): ("Average", _OF_SERVICE, (MINUTE,), (SAME,)),
    ("AWS/ECS", "MemoryUtilization"): ("Average", _OF_SERVICE, (MINUTE,), (SAME,)),
    ("ECS/ContainerInsights", "DesiredTaskCount"): ("Average", _OF_SERVICE, (MINUTE,), (BAD,)),
    ("ECS/ContainerInsights", "RunningTaskCount"): ("Average", _OF_SERVICE, (MINUTE,), (BAD,)),
    ("AWS/RDS", "CPUUtilization"): ("Average", _OF_DATABASE, (FIVE,), (SAME,)),
    ("AWS/RDS", "DatabaseConnections"): ("Maximum", _OF_DATABASE, (MINUTE,), (BAD,)),
    ("AWS/RDS", "FreeStorageSpace"): ("Minimum", _OF_DATABASE, (FIVE,), (BAD,)),
    ("AWS/RDS", "FreeableMemory"): ("Minimum", _OF_DATABASE, (FIVE,), (SAME,)),
    ("AWS/RDS", "OldestReplicationSlotLag"): ("Maximum", _OF_DATABASE, (FIVE,), (GOOD,)),
    ("AWS/CertificateManager", "DaysToExpiry"): ("Minimum", ("CertificateArn",), (DAY,), (SAME,)),
    ("AWS/ElastiCache", "CurrConnections"): ("Maximum", _OF_NODE, (MINUTE,), (GOOD,)),
    ("AWS/ElastiCache", "DatabaseMemoryUsagePercentage"): ("Maximum", _OF_NODE, (MINUTE,), (BAD,)),
    ("AWS/ElastiCache", "EngineCPUUtilization"): ("Average", _OF_NODE, (MINUTE,), (SAME,)),
    ("AWS/ElastiCache", "Evictions"): ("Sum", _OF_NODE, (MINUTE,), (GOOD,)),
    ("AWS/ElastiCache", "ReplicationLag"): ("Maximum", _OF_NODE, (MINUTE,), (GOOD,)),
    ("AWS/NATGateway", "ErrorPortAllocation"): ("Sum", ("NatGatewayId",), (MINUTE,), (GOOD,)),
    ("AWS/Lambda", "Duration"): ("Maximum", _OF_FUNCTION, (QUARTER,), (GOOD,)),
    ("AWS/Lambda", "Errors"): ("Sum", _OF_FUNCTION, (FIVE, QUARTER, HOUR), (GOOD,)),
    ("AWS/Lambda", "Throttles"): ("Sum", _OF_FUNCTION, (QUARTER,), (GOOD,)),
    ("AWS/Events", "FailedInvocations"): ("Sum", ("RuleName",), (FIVE,), (GOOD,)),
    ("AWS/Events", "MatchedEvents"): ("Sum", ("RuleName",), (FIVE,), (GOOD,)),
    ("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count"): ("Sum", ("LoadBalancer",), (MINUTE,), (GOOD,)),
    ("AWS/ApplicationELB", "RejectedConnectionCount"): ("Sum", ("LoadBalancer",), (MINUTE,), (GOOD,)),
    ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count"): ("Sum", _OF_TARGETS, (MINUTE,), (GOOD,)),
    ("AWS/ApplicationELB", "HealthyHostCount"): ("Minimum", _OF_TARGETS, (MINUTE,), (BAD,)),
    ("AWS/ApplicationELB", "RequestCount"): ("Sum", _OF_TARGETS, (MINUTE, *WINDOWS), (GOOD,)),
    # The statistic contains the objective's seconds.
    ("AWS/ApplicationELB", "TargetResponseTime"): ("p95 PR(", _OF_TARGETS, (MINUTE, *WINDOWS), (GOOD,)),
    ("Infra/Checks", "CheckFailed"): ("Maximum", ("Check", "Environment"), (MINUTE,), (BAD,)),
    ("Infra/Checks", "CheckMilliseconds"): ("Average", ("Check", "Environment"), (MINUTE,), (SAME,)),
    ("Infra/Database", "BackupJobFailed"): ("Maximum", ("Environment",), (FIVE,), (GOOD,)),
    ("Infra/Database", "Deadlocks"): ("Sum", (), (FIVE,), (GOOD,)),
    ("Infra/Database", "RestoreDrillDays"): ("Maximum", ("Environment",), (FIVE,), (BAD,)),
    ("Infra/Database", "RestoreDrillFailed"): ("Maximum", ("Environment",), (FIVE,), (SAME,)),
    ("Infra/Database", "RestoreDrillRpoMinutes"): ("Maximum", ("Environment",), (FIVE,), (SAME,)),
    ("Infra/Database", "RestoreDrillRtoMinutes"): ("Maximum", ("Environment",), (FIVE,), (SAME,)),
    ("Infra/Database", "RestorePointMinutes"): ("Maximum", ("Environment",), (FIVE,), (BAD,)),
    ("Infra/Database", "SnapshotHours"): ("Maximum", ("Environment",), (FIVE,), (BAD,)),
    ("Infra/Edge", "ClientCertificateDays"): ("Minimum", ("Environment",), (DAY,), (SAME,)),
    ("Infra/Edge", "DdosEvents"): ("Sum", ("Environment",), (FIVE,), (GOOD,)),
    ("Infra/Edge", "DriftedRules"): ("Maximum", ("Environment",), (6 * HOUR,), (SAME,)),
    ("Infra/Edge", "MissingRules"): ("Maximum", ("Environment",), (6 * HOUR,), (SAME,)),
    ("Infra/Edge", "RangesAdded"): ("Maximum", ("Environment",), (HOUR,), (GOOD,)),
    ("Infra/Edge", "Requests"): ("Sum", ("Environment", "Host"), WINDOWS, (GOOD,)),
    ("Infra/Edge", "SecurityEvents"): ("Sum", ("Environment",), (FIVE,), (GOOD,)),
    ("Infra/Edge", "ServedMediaBytes"): ("Sum", ("Environment",), (DAY,), (GOOD,)),
    ("Infra/Edge", "ServerErrors"): ("Sum", ("Environment", "Host"), WINDOWS, (GOOD,)),
    ("Infra/Edge", "Windows"): ("Sum", ("Environment",), (FIVE,), (BAD,)),
    ("Infra/Checks", "LostDependency"): ("Maximum", ("Check", "Environment"), (MINUTE,), (GOOD,)),
    ("Infra/Jobs", "JobFailed"): ("Sum", ("Environment", "Job"), (FIVE,), (GOOD,)),
    ("Infra/Jobs", "JobOverdueMinutes"): ("Maximum", ("Environment", "Job"), (QUARTER,), (BAD,)),
    ("Infra/Media", "UploadsNotScanned"): ("Sum", ("Environment",), (FIVE,), (GOOD,)),
    ("Infra/Media", "UploadsWithThreats"): ("Sum", ("Environment",), (FIVE,), (GOOD,)),
    ("Infra/Queues", "StuckMinutes"): ("Minimum", ("Environment", "Service"), (MINUTE,), (SAME,)),
    ("Infra/Queues", "WaitingJobs"): ("Minimum", ("Environment", "Service"), (MINUTE,), (BAD,)),
    ("Infra/Redis", "BandwidthUsedPercent"): ("Maximum", _OF_REDIS, (HOUR,), (GOOD,)),
    ("Infra/Redis", "ConnectionFailure"): ("Maximum", _OF_REDIS, (MINUTE,), (GOOD,)),
    ("Infra/Redis", "ConnectionsPercent"): ("Maximum", _OF_REDIS, (FIVE,), (SAME,)),
    ("Infra/Redis", "ErrorRatePercent"): ("Average", _OF_REDIS, (MINUTE,), (GOOD,)),
    ("Infra/Redis", "MemoryUsedPercent"): ("Maximum", _OF_REDIS, (FIVE,), (SAME,)),
    ("Infra/Redis", "StorageUsedPercent"): ("Maximum", _OF_REDIS, (HOUR,), (GOOD,)),
    ("Infra/Redis", "KeysWithoutExpiry"): ("Maximum", _OF_REDIS, (FIVE,), (SAME,)),
    # Next to the error rate it only shows that the probe ran.
    ("Infra/Redis", "Unusable"): ("Maximum", _OF_REDIS, (MINUTE,), (BAD, GOOD)),
    ("Infra/Redis", "PingMilliseconds"): ("Average", _OF_REDIS, (MINUTE,), (GOOD,)),
    ("Infra/Secrets", "TasksBehindSecretHours"): ("Maximum", ("Environment", "Service"), (HOUR,), (BAD,)),
}

_HERE = f"{__name__.replace('.', '/')}.py"
FILTER = "AWS::Logs::MetricFilter"
# The types of resources that each dimension names.
_NAMES = {
    "CacheClusterId": ("AWS::ElastiCache::ReplicationGroup",),
    "CertificateArn": ("Custom::ValidatedCertificate",),
    "ClusterName": ("AWS::ECS::Cluster",),
    "DBInstanceIdentifier": ("AWS::RDS::DBInstance",),
    "FunctionName": ("AWS::Lambda::Function",),
    # Its name is a part of its listener's ARN, too.
    "LoadBalancer": ("AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ElasticLoadBalancingV2::Listener"),
    "NatGatewayId": ("AWS::EC2::NatGateway",),
    "QueueName": ("AWS::SQS::Queue",),
    "RuleName": ("AWS::Events::Rule",),
    "ServiceName": ("AWS::ECS::Service",),
    "TargetGroup": ("AWS::ElasticLoadBalancingV2::TargetGroup",),
}


@policy(
    reason="An alarm on a misspelt metric, on another environment's database, or on the average of a count never "
    "fires; with a longer period it fires an hour later.",
    failure=Failure.UNOBSERVED,
    reads={
        ALARM: (*METRICS, "TreatMissingData"),
        FILTER: ("MetricTransformations",),
    },
)
def check(graph: Graph) -> Iterator[Violation]:
    filtered = {
        (one.get("MetricNamespace"), one.get("MetricName"))
        for each in graph.of(FILTER)
        for one in each.items("MetricTransformations")
    }
    for alarm in graph.of(ALARM):
        if not list(metrics(alarm)):
            yield alarm.violation("MetricName", "is missing: the alarm reads no metric")
        periods_in_use = {each.get("Period") for each in metrics(alarm)}
        if len(periods_in_use) > 1:
            yield alarm.violation("Metrics", f"have periods {short(sorted(map(str, periods_in_use)))}, must have one")
        seen = set()
        for each in metrics(alarm):
            series = json.dumps(each, sort_keys=True)
            if series in seen:
                yield alarm.violation("Metrics", f"have {each.get('MetricName')} twice: another metric is not read")
            seen.add(series)
            path = "Metrics" if alarm.get("MetricName") is None else ""
            # A metric filter has no dimensions: its namespace ends with the environment.
            namespace = str(each.get("Namespace")).removesuffix(f"/{graph.name}")
            known = READINGS.get((namespace, str(each.get("MetricName"))))
            if known is None:
                yield alarm.violation(
                    path or "MetricName",
                    f"is {namespace} {each.get('MetricName')}, which is misspelt, or READINGS in {_HERE} lacks it",
                )
                continue
            statistic, dimensions, periods, silence = known
            if not dimensions and (each.get("Namespace"), each.get("MetricName")) not in filtered:
                yield alarm.violation(
                    path or "MetricName", f"is {each.get('Namespace')} {each.get('MetricName')}, of no metric filter"
                )
            stat = str(each.get("Stat"))
            fits = stat == statistic or (" " in statistic and (stat == "p95" or _SHARE.fullmatch(stat) is not None))
            if not fits:
                yield alarm.violation(
                    path or "Statistic", f"is {stat} of {each.get('MetricName')}, must be {statistic}"
                )
            names = tuple(sorted(str(one.get("Name")) for one in each.get("Dimensions") or []))
            if names != tuple(sorted(dimensions)):
                yield alarm.violation(
                    path or "Dimensions", f"are {short(names)} of {each.get('MetricName')}, must be {short(dimensions)}"
                )
            yield from _of_what_is_there(graph, alarm, each, path or "Dimensions")
            if each.get("Period") not in periods:
                yield alarm.violation(
                    path or "Period",
                    f"is {short(each.get('Period'))} of {each.get('MetricName')}, must be {short(periods)}",
                )
            if alarm.get("TreatMissingData") not in silence:
                yield alarm.violation(
                    "TreatMissingData", f"is {short(alarm.get('TreatMissingData'))}, must be {' or '.join(silence)}"
                )


def _of_what_is_there(graph: Graph, alarm: Resource, metric: Mapping[str, Any], path: str) -> Iterator[Violation]:
    """Violations of dimensions that name no existing resource: such a metric has no values."""
    environment = graph.environment
    known = {
        "BucketName": {environment.media.bucket},
        "Check": {*environment.services, "media"},
        "Environment": {graph.name},
        "Host": {*hosts(environment).values(), environment.domains.media},
        "Instance": {*environment.redis.instances},
        "Job": {*environment.jobs},
        "Service": {*environment.services},
    }
    for one in metric.get("Dimensions") or []:
        name, value = str(one.get("Name")), one.get("Value")
        if name in known and value not in known[name]:
            yield alarm.violation(path, f"have {name} {short(value)}, must be {' or '.join(sorted(known[name]))}")
        types = _NAMES.get(name)
        if types is not None and not graph.refers_to(alarm.stack, value, *types):
            yield alarm.violation(path, f"have {name} {short(value)}, must refer to an {types[0]}")
