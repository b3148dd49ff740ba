"""The rows of the dashboard, four widgets each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_rds as rds

from infra_constructs.alarms import checks, traffic
from infra_constructs.alarms import queues as watch_queues
from infra_constructs.alarms import redis as watch_redis
from infra_constructs.alarms.database import backup_metric
from infra_constructs.alarms.egress import EgressSaving
from infra_constructs.alarms.services import insight, utilization
from infra_constructs.dashboard.graph import FIVE_MINUTES, MINUTE, graph, named, percentage
from infra_runtime.contract.metrics import (
    EDGE,
    RELEASES,
    CheckMetric,
    DatabaseMetric,
    QueueMetric,
    RedisMetric,
    ReleaseMetric,
    TrafficMetric,
)

Row = list[cloudwatch.IWidget]
_COLOURS = ("blue", "green")


@dataclass(frozen=True, kw_only=True)
class WatchedService:
    """What of a service is shown."""

    name: str
    service_name: str
    target_groups: Sequence[elbv2.ApplicationTargetGroup]
    burn_rates: Mapping[str, cloudwatch.IMetric]
    """How fast budgets burn, by objective."""


def users(
    environment: str, hosts: Mapping[str, str], checked: Sequence[str], services: Sequence[WatchedService]
) -> Row:
    of = environment
    return [
        graph(
            "Checks from outside: failed",
            [named(checks.metric_of(of, each, CheckMetric.FAILED, "Maximum"), each) for each in checked],
            right=releases(environment, services),
        ),
        graph(
            "Checks from outside: ms",
            [named(checks.metric_of(of, each, CheckMetric.TIME, "Average"), each) for each in checked],
            limit=(3000, "slow"),
        ),
        graph(
            "Requests at the edge",
            [named(traffic.metric_of(of, TrafficMetric.REQUESTS, Host=host), kind) for kind, host in hosts.items()],
        ),
        graph(
            "5xx at the edge, %",
            [
                percentage(
                    kind,
                    traffic.metric_of(of, TrafficMetric.SERVER_ERRORS, Host=host),
                    traffic.metric_of(of, TrafficMetric.REQUESTS, Host=host),
                )
                for kind, host in hosts.items()
            ],
            limit=(5, "alarm"),
            right=releases(environment, services),
        ),
    ]


def edge(
    environment: str,
    hosts: Mapping[str, str],
    egress: EgressSaving,
    saving_percent: int,
    services: Sequence[WatchedService],
) -> Row:
    of = environment
    ratios = (TrafficMetric.REQUEST_HIT_RATIO, TrafficMetric.BYTE_HIT_RATIO)
    events = f"SEARCH('{{{EDGE},Environment,Action,Source}} Environment=\"{of}\"', 'Sum', 300)"
    burn_rates = [
        named(metric, f"{each.name} {what.lower()}") for each in services for what, metric in each.burn_rates.items()
    ]
    widgets: Row = [
        graph(
            "Hit ratio of media, %",
            [
                named(traffic.metric_of(of, name, statistic="Average", Host=hosts["media"]), name.value)
                for name in ratios
            ],
        ),
        graph(
            "Egress saved: % of media bytes by day; GiB, USD",
            [egress.percent()],
            right=[egress.gib(), egress.usd()],
            right_max=None,
            limit=(saving_percent, "target"),
        ),
        graph("Security events", [cloudwatch.SearchExpression(expression=events, label="", period=FIVE_MINUTES)]),
    ]
    if burn_rates:
        widgets.append(
            graph(
                "Burn of the error budgets, times",
                burn_rates,
                limit=(14.4, "page"),
                right=releases(environment, services),
            )
        )
    return widgets


def load_balancer(environment: str, balancer: elbv2.ApplicationLoadBalancer, services: Sequence[WatchedService]) -> Row:
    failed = balancer.metrics.http_code_elb(elbv2.HttpCodeElb.ELB_5XX_COUNT, period=MINUTE, statistic="Sum")
    groups = [
        (f"{each.name} {at}", group)
        for each in services
        for at, group in zip(_COLOURS, each.target_groups, strict=False)
    ]
    return [
        graph(
            "Requests at the load balancer",
            [named(group.metrics.request_count(period=MINUTE, statistic="Sum"), name) for name, group in groups],
            right=releases(environment, services),
        ),
        graph(
            "5xx",
            [
                named(failed, "of the load balancer"),
                *(
                    named(
                        group.metrics.http_code_target(
                            elbv2.HttpCodeTarget.TARGET_5XX_COUNT, period=MINUTE, statistic="Sum"
                        ),
                        name,
                    )
                    for name, group in groups
                ),
            ],
        ),
        graph(
            "Latency p95, seconds",
            [named(group.metrics.target_response_time(period=MINUTE, statistic="p95"), name) for name, group in groups],
            limit=(2, "alarm"),
        ),
        graph(
            "Healthy tasks",
            [
                named(group.metrics.healthy_host_count(period=MINUTE, statistic="Minimum"), name)
                for name, group in groups
            ],
        ),
    ]


def running(environment: str, cluster: ecs.ICluster, services: Sequence[WatchedService]) -> Row:
    of = {each.name: {"ClusterName": cluster.cluster_name, "ServiceName": each.service_name} for each in services}
    return [
        graph(
            "CPU of the tasks, %",
            [named(utilization("CPUUtilization", each), name) for name, each in of.items()],
            limit=(85, "alarm"),
        ),
        graph(
            "Memory of the tasks, %",
            [named(utilization("MemoryUtilization", each), name) for name, each in of.items()],
            limit=(85, "alarm"),
        ),
        graph(
            "Tasks",
            [
                named(insight(f"{kind}TaskCount", each), f"{name} {kind.lower()}")
                for name, each in of.items()
                for kind in ("Desired", "Running")
            ],
        ),
        graph("Releases", releases(environment, services)),
    ]


def database(environment: str, database: rds.IDatabaseInstance) -> Row:
    def metric(name: str, statistic: str) -> cloudwatch.Metric:
        return database.metric(name, period=FIVE_MINUTES, statistic=statistic, label=name)

    restore = named(backup_metric(environment, DatabaseMetric.RESTORE_POINT_AGE), "newest restorable point")
    return [
        graph("Database: CPU, %", [metric("CPUUtilization", "Average")], limit=(80, "alarm")),
        graph("Database: connections", [metric("DatabaseConnections", "Maximum")]),
        graph("Database: free storage, bytes", [metric("FreeStorageSpace", "Minimum")]),
        graph("Database: minutes that could be lost", [restore], limit=(30, "alarm")),
    ]


def redis(environment: str, instance: str) -> Row:
    def metric(name: RedisMetric, statistic: str) -> cloudwatch.Metric:
        return named(watch_redis.metric_of(environment, instance, name, statistic, MINUTE), name.value)

    return [
        graph("Redis: cannot be used", [metric(RedisMetric.UNUSABLE, "Maximum")]),
        graph("Redis: ping, ms", [metric(RedisMetric.PING, "Average")], limit=(100, "alarm")),
        graph("Redis: memory, %", [metric(RedisMetric.MEMORY_USED, "Maximum")], limit=(80, "alarm")),
        graph("Redis: errors, %", [metric(RedisMetric.ERROR_RATE, "Average")], limit=(5, "alarm")),
    ]


def queues(environment: str, workers: Sequence[str]) -> Row:
    def metrics(name: QueueMetric) -> list[cloudwatch.Metric]:
        return [named(watch_queues.metric_of(environment, each, name, "Maximum"), each) for each in workers]

    return [
        graph("Queues: waiting jobs", metrics(QueueMetric.WAITING)),
        graph("Queues: minutes without a job taken", metrics(QueueMetric.STUCK)),
    ]


def releases(environment: str, services: Sequence[WatchedService]) -> list[cloudwatch.IMetric]:
    """The markers of deployments."""
    return [
        cloudwatch.Metric(
            namespace=RELEASES,
            metric_name=name.value,
            dimensions_map={"Environment": environment, "Service": each.name},
            period=FIVE_MINUTES,
            statistic="Sum",
            label=f"{each.name} {'released' if name is ReleaseMetric.SUCCEEDED else 'went back'}",
        )
        for each in services
        for name in ReleaseMetric
    ]
