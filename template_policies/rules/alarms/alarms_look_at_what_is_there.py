"""An alarm uses a published metric, of a resource in these templates, over at most a day."""

from collections.abc import Iterator
from enum import Enum

from infra_runtime.contract import metrics as published
from template_policies import Failure, Graph, Resource, Violation, policy
from template_policies.alarms import ALARM, metrics
from template_policies.graph import short

READS = ("MetricName", "Namespace", "Dimensions", "Period", "Statistic", "ExtendedStatistic", "Metrics")
# What AWS publishes, as far as alarms look at it (each service's user guide, "CloudWatch metrics").
AWS = {
    "AWS/ApplicationELB": {
        "HTTPCode_ELB_5XX_Count",
        "HTTPCode_Target_5XX_Count",
        "HealthyHostCount",
        "RejectedConnectionCount",
        "RequestCount",
        "TargetResponseTime",
    },
    "AWS/CertificateManager": {"DaysToExpiry"},
    "AWS/ECS": {"CPUUtilization", "MemoryUtilization"},
    "AWS/ElastiCache": {
        "CurrConnections",
        "DatabaseMemoryUsagePercentage",
        "EngineCPUUtilization",
        "Evictions",
        "ReplicationLag",
        "MasterLinkHealthStatus",
    },
    "AWS/Events": {"FailedInvocations", "MatchedEvents"},
    "AWS/Lambda": {"Duration", "Errors", "Throttles"},
    "AWS/NATGateway": {"ErrorPortAllocation"},
    "AWS/RDS": {
        "CPUUtilization",
        "DatabaseConnections",
        "FreeStorageSpace",
        "FreeableMemory",
        "OldestReplicationSlotLag",
    },
    "AWS/S3": {"4xxErrors", "5xxErrors", "AllRequests", "BytesDownloaded", "GetRequests"},
    "AWS/SQS": {"ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"},
    "AWS/AmplifyHosting": {"4xxErrors", "5xxErrors", "Requests", "Latency", "BytesDownloaded"},
    "ECS/ContainerInsights": {"DesiredTaskCount", "RunningTaskCount"},
}
# Dimensions whose value is the resource itself, and its type.
OF_RESOURCES = {
    "CacheClusterId": "AWS::ElastiCache::ReplicationGroup",
    "CertificateArn": "Custom::ValidatedCertificate",
    "ClusterName": "AWS::ECS::Cluster",
    "DBInstanceIdentifier": "AWS::RDS::DBInstance",
    "FunctionName": "AWS::Lambda::Function",
    "NatGatewayId": "AWS::EC2::NatGateway",
    "QueueName": "AWS::SQS::Queue",
    "RuleName": "AWS::Events::Rule",
    "ServiceName": "AWS::ECS::Service",
    "TargetGroup": "AWS::ElasticLoadBalancingV2::TargetGroup",
    "App": "AWS::Amplify::App",
}
# CDK takes the load balancer's name from its listener's ARN.
BALANCER = ("AWS::ElasticLoadBalancingV2::LoadBalancer", "AWS::ElasticLoadBalancingV2::Listener")
STATISTICS = {"Sum", "Maximum", "Minimum", "Average", "SampleCount", "p95", "p99", "IQM"}


@policy(
    reason="An alarm on a misspelt metric, or on another environment's database, never rings.",
    failure=Failure.UNOBSERVED,
    reads={ALARM: READS, "AWS::Logs::MetricFilter": ("MetricTransformations",), "AWS::S3::Bucket": ("BucketName",)},
)
def check(graph: Graph) -> Iterator[Violation]:
    known = {**AWS, **_own(graph)}
    for alarm in graph.of(ALARM):
        found = list(metrics(alarm))
        if not found:
            yield alarm.violation("MetricName", "is missing: it looks at nothing")
        path = "MetricName" if alarm.get("MetricName") is not None else "Metrics"
        for each in found:
            if each.get("MetricName") not in known.get(str(each.get("Namespace")), set()):
                yield alarm.violation(
                    path, f"is {each.get('Namespace')} {each.get('MetricName')}, which has no publisher"
                )
            period = each.get("Period")
            if period not in (10, 30) and (not isinstance(period, int) or period % 60 or not 60 <= period <= 86400):
                yield alarm.violation(path, f"has the period {short(period)}, must be whole minutes")
            stat = str(each.get("Stat"))
            if stat not in STATISTICS and not stat.startswith(("PR(", "TM(", "p")):
                yield alarm.violation(path, f"has the statistic {stat}")
            yield from _dimensions(graph, alarm, each.get("Dimensions") or [], str(each.get("Namespace")))


def _dimensions(
    graph: Graph, alarm: Resource, dimensions: list[dict[str, object]], namespace: str
) -> Iterator[Violation]:
    environment = graph.environment
    if not dimensions and not namespace.startswith(published.DATABASE):
        yield alarm.violation("Dimensions", f"are missing: {namespace} has no such metric")
    for each in dimensions:
        name, value = str(each.get("Name")), each.get("Value")
        kinds = BALANCER if name == "LoadBalancer" else (OF_RESOURCES.get(name),)
        if kinds != (None,):
            if not {one.type for one in graph.referred(alarm.stack, value)} & set(kinds):
                yield alarm.violation("Dimensions", f"has {name} {short(value)}, must refer to a {kinds[0]}")
        elif name == "Environment" and value != graph.name:
            yield alarm.violation("Dimensions", f"has {name} {short(value)}, must be {graph.name}")
        elif name == "BucketName" and value != environment.media.bucket:
            yield alarm.violation("Dimensions", f"has {name} {short(value)}, must be {environment.media.bucket}")
        elif name == "Service" and value not in environment.services:
            yield alarm.violation("Dimensions", f"has {name} {short(value)}, which is no service")
        elif name == "Instance" and value not in environment.redis.instances:
            yield alarm.violation("Dimensions", f"has {name} {short(value)}, which is no instance of Redis")


def _own(graph: Graph) -> dict[str, set[str]]:
    """What our functions publish, by the contract that they share with the alarms, and filters of logs."""
    names = {
        value
        for kind in vars(published).values()
        if isinstance(kind, type) and issubclass(kind, Enum)
        for value in (str(member.value) for member in kind)
    }
    spaces = {
        value
        for key, value in vars(published).items()
        if key.isupper() and isinstance(value, str) and value.startswith("Infra/")
    }
    found = {space: set(names) for space in spaces}
    for each in graph.of("AWS::Logs::MetricFilter"):
        for one in each.items("MetricTransformations"):
            found.setdefault(str(one.get("MetricNamespace")), set()).add(str(one.get("MetricName")))
    return found
