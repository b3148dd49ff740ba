"""One page for a person in trouble: users first, then what serves them, from the outside in."""

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra_constructs.alarms.egress import EgressSaving
from infra_constructs.dashboard import rows
from infra_constructs.dashboard.graph import HEIGHT, WIDTH
from infra_constructs.dashboard.rows import WatchedService


class Dashboard(Construct):
    """Its name is the environment's. Releases are bars in the widgets that they could have changed."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        environment: str,
        text: str,
        hosts: Mapping[str, str],
        checked: Sequence[str],
        incident: Sequence[cloudwatch.IAlarm],
        alarms: Sequence[cloudwatch.IAlarm],
        balancer: elbv2.ApplicationLoadBalancer,
        cluster: ecs.ICluster,
        services: Sequence[WatchedService],
        database: rds.IDatabaseInstance,
        redis_instance: str,
        queues: Sequence[str],
        egress: EgressSaving,
        saving_percent: int,
        crashes: logs.ILogGroup,
    ) -> None:
        """`queues` are the workers that have one."""
        super().__init__(scope, id_)
        page: list[Sequence[cloudwatch.IWidget]] = [
            [cloudwatch.TextWidget(markdown=text, width=WIDTH, height=2)],
            [
                cloudwatch.AlarmStatusWidget(title="Incident", alarms=list(incident), width=6, height=4),
                cloudwatch.AlarmStatusWidget(title="What is wrong", alarms=list(alarms), width=18, height=4),
            ],
            rows.users(environment, hosts, checked, services),
            rows.edge(environment, hosts, egress, saving_percent, services),
            rows.load_balancer(environment, balancer, services),
            rows.running(environment, cluster, services),
            rows.database(environment, database),
            rows.redis(environment, redis_instance),
            *([rows.queues(environment, queues)] if queues else []),
            [
                cloudwatch.LogQueryWidget(
                    title="Tasks that ended by themselves",
                    log_group_names=[crashes.log_group_name],
                    query_lines=[
                        "fields @timestamp, detail.group, detail.stoppedReason, detail.containers.0.exitCode",
                        "sort @timestamp desc",
                        "limit 20",
                    ],
                    width=WIDTH,
                    height=HEIGHT,
                )
            ],
        ]
        self.dashboard = cloudwatch.Dashboard(
            self,
            "Page",
            dashboard_name=name,
            default_interval=cdk.Duration.hours(3),
            # Keeps a resolution of minutes for every time span; otherwise peaks vanish when you zoom out.
            period_override=cloudwatch.PeriodOverride.INHERIT,
            widgets=page,
        )
