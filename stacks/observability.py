"""What is watched, and who hears of it."""

import aws_cdk as cdk

from config import Environment
from config.instances import connections, memory_gib
from infra_constructs.watch.database import DatabaseAlarms
from infra_constructs.watch.edge import EdgeAlarms
from infra_constructs.watch.entrance import LoadBalancerAlarms, NatAlarms
from infra_constructs.watch.services import ServiceAlarms
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.edge import EdgeExports
from stacks.network import NetworkExports
from stacks.platform import PlatformExports
from stacks.service import ServiceExports


class ObservabilityStack(EnvironmentStack):
    """The alarms without which nobody would go live."""

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        network: NetworkExports,
        data: DataExports,
        platform: PlatformExports,
        services: dict[str, ServiceExports],
        edge: EdgeExports,
    ) -> None:
        super().__init__(scope, id_, environment=environment, description="Alarms")
        topics = platform.topics
        DatabaseAlarms(
            self,
            "Database",
            database=data.database.instance,
            memory_gib=memory_gib(environment.database.instance),
            connections=connections(environment.database.instance),
            storage_gib=environment.database.storage_gib,
            rotation=data.logins.rotation.function,
            topics=topics,
        )
        LoadBalancerAlarms(self, "LoadBalancer", balancer=platform.load_balancer.balancer, topics=topics)
        NatAlarms(self, "Nat", gateways=network.nat_gateways, topics=topics)
        EdgeAlarms(
            self,
            "Edge",
            environment=self.environment_name,
            functions={
                "edge-ranges": network.cloudflare_ranges.function,
                "edge-media-access": data.media_access.handler.function,
                "edge-origin-lock": platform.origin_lock.handler.function,
                "edge-user-agent": edge.rotation.function,
                "edge-drift": edge.drift.function,
            },
            topics=topics,
        )
        for name, service in services.items():
            ServiceAlarms(
                self,
                name.capitalize(),
                cluster=platform.cluster,
                service_name=service.service.service_name,
                target_groups=service.target_groups,
                topics=topics,
            )
