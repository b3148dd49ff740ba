"""What is watched, and who hears of it."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch

from config import Environment
from config.instances import connections, memory_gib
from infra_constructs.alarms import Severity, Topics
from infra_constructs.checks import Checks
from infra_constructs.cloudflare.provider import CloudflareToken
from infra_constructs.dashboard.page import Dashboard
from infra_constructs.dashboard.rows import WatchedService
from infra_constructs.database_backups import BackupWatch
from infra_constructs.edge_traffic import EdgeTraffic
from infra_constructs.incident import Incident
from infra_constructs.watch.checks import CheckAlarms
from infra_constructs.watch.costs import Costs
from infra_constructs.watch.database import DatabaseAlarms
from infra_constructs.watch.edge import EdgeAlarms
from infra_constructs.watch.entrance import LoadBalancerAlarms, NatAlarms
from infra_constructs.watch.events import CrashedTasks, DatabaseEvents, DeploymentEvents
from infra_constructs.watch.functions import FunctionAlarms
from infra_constructs.watch.media import MediaAlarms
from infra_constructs.watch.objectives import ObjectiveAlarms, ObjectiveProps
from infra_constructs.watch.services import ServiceAlarms
from infra_constructs.watch.traffic import TrafficAlarms
from infra_runtime.checks import Target
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.edge import EdgeExports
from stacks.network import NetworkExports
from stacks.platform import PlatformExports
from stacks.registry import RegistryExports
from stacks.service import ServiceExports

_HOST_OF = {"api": "api", "frontend": "site"}


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
        registry: RegistryExports,
        platform: PlatformExports,
        services: dict[str, ServiceExports],
        edge: EdgeExports,
    ) -> None:
        super().__init__(scope, id_, environment=environment, description="Alarms, checks from outside, dashboard")
        topics = platform.topics
        backups = BackupWatch(self, "Backups", environment=self.environment_name, database=data.database.instance)
        checks = Checks(
            self,
            "Checks",
            environment=self.environment_name,
            targets=_targets(environment),
            media=environment.domains.media,
            bucket=data.media,
            check_pass=platform.check_pass,
        )
        database = DatabaseAlarms(
            self,
            "Database",
            database=data.database.instance,
            memory_gib=memory_gib(environment.database.instance),
            connections=connections(environment.database.instance),
            storage_gib=environment.database.storage_gib,
            rotation=data.logins.rotation.function,
            environment=self.environment_name,
            topics=topics,
        )
        entrance = LoadBalancerAlarms(self, "LoadBalancer", balancer=platform.load_balancer.balancer, topics=topics)
        NatAlarms(self, "Nat", gateways=network.nat_gateways, topics=topics)
        keepers = {
            "edge-ranges": network.cloudflare_ranges.function,
            "edge-media-access": data.media_access.handler.function,
            "edge-origin-lock": platform.origin_lock.handler.function,
            "edge-user-agent": edge.rotation.function,
            "edge-drift": edge.drift.function,
        }
        EdgeAlarms(self, "Edge", environment=self.environment_name, functions=keepers, topics=topics)
        seen = CheckAlarms(
            self,
            "CheckAlarms",
            environment=self.environment_name,
            checks=[each.name for each in checks.targets],
            topics=topics,
        )
        domains = environment.domains
        hosts = {"site": domains.site, "api": domains.api, "media": domains.media}
        traffic = EdgeTraffic(
            self,
            "EdgeTraffic",
            environment=self.environment_name,
            token=CloudflareToken(self, name=environment.cloudflare.token_secret),
            zone=domains.zone,
            hosts=list(hosts.values()),
            media=domains.media,
            site_static=domains.site if environment.frontend.ecs is not None else None,
            ledger=registry.ledger,
        )
        at_edge = TrafficAlarms(
            self,
            "TrafficAlarms",
            environment=self.environment_name,
            hosts=list(hosts.items()),
            bucket=environment.media.bucket,
            saving_percent=environment.media.egress_saving_percent,
            bridge=traffic.handler,
            topics=topics,
        )
        MediaAlarms(self, "Media", bucket=environment.media.bucket, topics=topics)
        FunctionAlarms(
            self,
            "Functions",
            functions=[
                *keepers.values(),
                data.logins.rotation.function,
                backups.handler.function,
                checks.handler.function,
                traffic.handler.function,
            ],
            topics=topics,
        )
        DatabaseEvents(self, "DatabaseEvents", database=data.database.instance, topics=topics)
        DeploymentEvents(self, "DeploymentEvents", stacks=self.stack_called(""), topics=topics)
        crashed = CrashedTasks(self, "CrashedTasks", cluster=platform.cluster, topics=topics)
        Costs(
            self,
            "Costs",
            environment=self.environment_name,
            monthly_usd=environment.costs.monthly_usd,
            topic=topics[Severity.WARNING],
        )
        watched: list[WatchedService] = []
        symptoms: list[cloudwatch.IAlarm] = [
            *seen.failed.values(),
            *at_edge.errors.values(),
            *entrance.alarms.values(),
        ]
        for name, service in services.items():
            alarms = ServiceAlarms(
                self,
                name.capitalize(),
                cluster=platform.cluster,
                service_name=service.service.service_name,
                target_groups=service.target_groups,
                topics=topics,
            ).alarms
            objective = self._objective(name, environment, service, host=hosts[_HOST_OF[name]], topics=topics)
            symptoms += objective.critical if objective else []
            watched.append(
                WatchedService(
                    name=name,
                    service_name=service.service.service_name,
                    target_groups=service.target_groups,
                    paces=objective.paces if objective else {},
                )
            )
            symptoms += [alarms["Down"], alarms["TasksMissing"], self._known_by_name(name, service.errors_alarm)]
        causes = [database.alarms["Storage"], database.alarms["Connections"]]
        incident = Incident(self, "Incident", symptoms=symptoms, causes=causes, topics=topics)
        Dashboard(
            self,
            "Dashboard",
            name=f"{self.product}-{self.environment_name}",
            environment=self.environment_name,
            text=_words(environment),
            hosts=hosts,
            checked=[each.name for each in checks.targets],
            incident=incident.pages,
            alarms=[*symptoms, *database.alarms.values()],
            balancer=platform.load_balancer.balancer,
            cluster=platform.cluster,
            services=watched,
            database=data.database.instance,
            redis_instance=environment.redis.serves,
            bucket=environment.media.bucket,
            saving_percent=environment.media.egress_saving_percent,
            crashes=crashed.log,
        )

    def _objective(
        self, name: str, environment: Environment, service: ServiceExports, *, host: str, topics: Topics
    ) -> ObjectiveAlarms | None:
        objective = (environment.api if name == "api" else environment.frontend.ecs or environment.api).objective
        if objective is None:
            return None
        return ObjectiveAlarms(
            self,
            f"{name.capitalize()}Objective",
            environment=self.environment_name,
            host=host,
            target_groups=service.target_groups,
            props=ObjectiveProps(
                availability_percent=objective.availability_percent,
                fast_percent=objective.fast_percent,
                fast_seconds=objective.fast_seconds,
            ),
            topics=topics,
        )

    def _known_by_name(self, service: str, alarm: str) -> cloudwatch.IAlarm:
        """An alarm of an earlier stack, without an export."""
        arn = f"arn:aws:cloudwatch:{self.region}:{self.account}:alarm:{alarm}"
        return cloudwatch.Alarm.from_alarm_arn(self, f"{service.capitalize()}Errors", arn)


def _words(environment: Environment) -> str:
    """What stands at the top."""
    links = ["runbooks: docs/runbooks/"]
    if environment.sentry is not None:
        links.append(f"errors: [Sentry](https://{environment.sentry.organization}.sentry.io/issues/)")
    links.append(f"edge: [Cloudflare](https://dash.cloudflare.com/?to=/:account/{environment.domains.zone})")
    return "From the top: where does it turn red first? " + " · ".join(links)


def _targets(environment: Environment) -> list[Target]:
    """What users ask for, besides media. The site's first page, whoever serves it."""
    domains = environment.domains
    return [
        Target("site", f"https://{domains.site}/", needs_pass=True),
        Target("api", f"https://{domains.api}{environment.api.health_path}"),
    ]
