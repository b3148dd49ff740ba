"""What all services share."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs

from config import Environment
from infra_constructs.alarms import Severity, Topics
from infra_constructs.cluster import Cluster
from infra_constructs.load_balancer import LoadBalancer
from infra_constructs.topics import AlarmTopics
from stacks.base import EnvironmentStack
from stacks.network import NetworkExports
from stacks.retention import retention_of


@dataclass(frozen=True, kw_only=True)
class PlatformExports:
    """What later stacks take from this one."""

    cluster: ecs.ICluster
    load_balancer: LoadBalancer
    topics: Topics


class PlatformStack(EnvironmentStack):
    """Cluster, load balancer, and the topics that alarms of every later stack go to."""

    def __init__(self, scope: cdk.Stage, id_: str, *, environment: Environment, network: NetworkExports) -> None:
        super().__init__(
            scope, id_, environment=environment, description="Cluster, load balancer and alarm topics", protected=True
        )
        hosts = [environment.domains.api]
        if environment.frontend.ecs is not None:
            hosts.append(environment.domains.site)
        cluster = Cluster(self, "Cluster", vpc=network.vpc)
        balancer = LoadBalancer(
            self,
            "LoadBalancer",
            vpc=network.vpc,
            security_group=network.load_balancer_access,
            hosts=hosts,
            retention=retention_of(environment),
        )
        topics = AlarmTopics(
            self,
            "Alarms",
            subscribers={
                Severity.CRITICAL: environment.alarms.critical,
                Severity.WARNING: environment.alarms.warning,
                Severity.INFO: environment.alarms.info,
            },
        )
        self.exports = PlatformExports(cluster=cluster.cluster, load_balancer=balancer, topics=topics.by_severity)
