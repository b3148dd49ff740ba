"""Alarms, checks, objectives and the dashboard, and who is notified."""

from collections.abc import Sequence

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_

from config import Environment, game_days
from config import services as services_
from config.game_days import Action
from config.instances import connections, memory_gib
from infra_constructs.alarms.alarm import Severity
from infra_constructs.alarms.checks import CheckAlarms
from infra_constructs.alarms.costs import Costs
from infra_constructs.alarms.database import DatabaseAlarms, RecoveryProps
from infra_constructs.alarms.edge import EdgeAlarms
from infra_constructs.alarms.egress import EgressSaving
from infra_constructs.alarms.events import CrashedTasks, DatabaseEvents, DeploymentEvents, ScanEvents
from infra_constructs.alarms.functions import FunctionAlarms
from infra_constructs.alarms.media import MediaAlarms
from infra_constructs.alarms.network import LoadBalancerAlarms, NatAlarms
from infra_constructs.alarms.objectives import ObjectiveAlarms, ObjectiveProps
from infra_constructs.alarms.queues import QueueAlarms
from infra_constructs.alarms.services import ServiceAlarms
from infra_constructs.alarms.traffic import TrafficAlarms
from infra_constructs.arns import arn_of
from infra_constructs.checks import Checks
from infra_constructs.cloudflare.provider import CloudflareToken
from infra_constructs.dashboard.page import Dashboard
from infra_constructs.dashboard.rows import WatchedService
from infra_constructs.database_backups import BackupWatch
from infra_constructs.edge_traffic import EdgeTraffic
from infra_constructs.game_days import GameDays
from infra_constructs.incident import Incident
from infra_runtime.contract.check_targets import CheckTarget
from infra_runtime.contract.names import full_name
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.edge import EdgeExports
from stacks.network import NetworkExports
from stacks.platform import PlatformExports
from stacks.registry import RegistryExports
from stacks.service import ServiceExports


class ObservabilityStack(EnvironmentStack):
    """Alarms on more than one stack, with their checks and metrics; game days and the dashboard."""

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
        self._environment, self._topics = environment, platform.topics
        self._egress = EgressSaving(
            environment=self.environment_name,
            bucket=environment.media.bucket,
            has_static_files=bool(services_.hosts_with_static_files(environment)),
        )
        self._hosts = {**services_.hosts(environment), "media": environment.domains.media}
        self._functions: list[lambda_.Function] = []
        self._watch_edge(network, data, platform, edge)
        seen_from_outside = self._watch_what_users_see(data, platform)
        symptoms: list[cloudwatch.IAlarm] = [
            *seen_from_outside,
            *self._watch_load_balancer(network, platform),
        ]
        late_symptoms = list(self._watch_traffic(registry))
        database = self._watch_database(data)
        watched, of_services, budgets = self._watch_services(platform, services)
        symptoms += of_services
        late_symptoms += budgets
        FunctionAlarms(self, "Functions", functions=self._functions, topics=self._topics)
        DeploymentEvents(self, "DeploymentEvents", stacks=self.stack_called(""), topics=self._topics)
        crashed = CrashedTasks(self, "CrashedTasks", cluster=platform.cluster, topics=self._topics)
        Costs(
            self,
            "Costs",
            environment=self.environment_name,
            monthly_usd=environment.costs.monthly_usd,
            topic=self._topics[Severity.WARNING],
        )
        causes = [database["Storage"], database["Connections"]]
        incident = Incident(
            self, "Incident", symptoms=symptoms, late_symptoms=late_symptoms, causes=causes, topics=self._topics
        )
        self._add_game_days(network, data, platform, services, stop_when=seen_from_outside)
        Dashboard(
            self,
            "Dashboard",
            name=full_name(self.product, self.environment_name),
            environment=self.environment_name,
            text=_header(environment),
            hosts=self._hosts,
            # Every host is checked by its public name.
            checked=list(self._hosts),
            incident=incident.pages,
            alarms=[*symptoms, *late_symptoms, *database.values()],
            balancer=platform.load_balancer.balancer,
            cluster=platform.cluster,
            services=watched,
            database=data.database.instance,
            redis_instance=environment.redis.serves,
            queues=list(services_.queues(environment)),
            egress=self._egress,
            saving_percent=environment.media.egress_saving_percent,
            crashes=crashed.log,
        )

    def _watch_what_users_see(self, data: DataExports, platform: PlatformExports) -> Sequence[cloudwatch.IAlarm]:
        checks = Checks(
            self,
            "Checks",
            environment=self.environment_name,
            targets=_targets(self._environment),
            dependencies=_dependencies(self._environment),
            media=self._environment.domains.media,
            bucket=data.media,
            check_pass=platform.check_pass,
        )
        self._functions.append(checks.handler.function)
        alarms = CheckAlarms(
            self,
            "CheckAlarms",
            environment=self.environment_name,
            checks=[each.name for each in checks.targets],
            topics=self._topics,
        )
        return list(alarms.failed.values())

    def _watch_edge(
        self, network: NetworkExports, data: DataExports, platform: PlatformExports, edge: EdgeExports
    ) -> None:
        maintainers = {
            "edge-ranges": network.cloudflare_ranges.function,
            "edge-media-access": data.media_access.handler.function,
            "edge-origin-lock": platform.origin_lock.handler.function,
            "edge-drift": edge.drift.function,
        }
        self._functions += maintainers.values()
        EdgeAlarms(self, "Edge", environment=self.environment_name, functions=maintainers, topics=self._topics)
        self._functions.append(edge.purge.handler.function)
        if data.quarantine is not None:
            self._functions.append(data.quarantine.handler.function)
            ScanEvents(self, "ScanEvents", bucket=self._environment.media.bucket, topics=self._topics)
        MediaAlarms(
            self,
            "Media",
            bucket=self._environment.media.bucket,
            more=edge.purge.failures() | (data.quarantine.failures() if data.quarantine else {}),
            topics=self._topics,
        )

    def _watch_traffic(self, registry: RegistryExports) -> Sequence[cloudwatch.IAlarm]:
        environment = self._environment
        traffic = EdgeTraffic(
            self,
            "EdgeTraffic",
            environment=self.environment_name,
            token=CloudflareToken(self, name=environment.cloudflare.token_secret),
            zone=environment.domains.zone,
            hosts=list(self._hosts.values()),
            media=environment.domains.media,
            ledger=registry.ledger,
        )
        self._functions.append(traffic.handler.function)
        alarms = TrafficAlarms(
            self,
            "TrafficAlarms",
            environment=self.environment_name,
            hosts=list(self._hosts.items()),
            egress=self._egress,
            saving_percent=environment.media.egress_saving_percent,
            bridge=traffic.handler,
            topics=self._topics,
        )
        return list(alarms.errors.values())

    def _watch_load_balancer(self, network: NetworkExports, platform: PlatformExports) -> Sequence[cloudwatch.IAlarm]:
        NatAlarms(self, "Nat", gateways=network.nat_gateways, topics=self._topics)
        balancer = platform.load_balancer.balancer
        return list(LoadBalancerAlarms(self, "LoadBalancer", balancer=balancer, topics=self._topics).alarms.values())

    def _watch_database(self, data: DataExports) -> dict[str, cloudwatch.Alarm]:
        settings, instance = self._environment.database, data.database.instance
        rotation = data.logins.rotation.function
        backups = BackupWatch(
            self,
            "Backups",
            environment=self.environment_name,
            database=instance,
            drills=data.drills.store if data.drills else None,
        )
        self._functions += [rotation, backups.handler.function]
        if data.drills:
            self._functions.append(data.drills.handler.function)
        DatabaseEvents(self, "DatabaseEvents", database=instance, topics=self._topics)
        return DatabaseAlarms(
            self,
            "Database",
            database=instance,
            memory_gib=memory_gib(settings.instance),
            connections=connections(settings.instance),
            storage_gib=settings.storage_gib,
            rotation=rotation,
            recovery=(
                RecoveryProps(rpo_minutes=settings.rpo_minutes, rto_minutes=settings.rto_minutes)
                if settings.rpo_minutes and settings.rto_minutes
                else None
            ),
            environment=self.environment_name,
            topics=self._topics,
        ).alarms

    def _watch_services(
        self, platform: PlatformExports, services: dict[str, ServiceExports]
    ) -> tuple[list[WatchedService], list[cloudwatch.IAlarm], list[cloudwatch.IAlarm]]:
        """(services for the dashboard, alarms on effects for users, alarms on error budgets that burn fast)."""
        watched: list[WatchedService] = []
        symptoms: list[cloudwatch.IAlarm] = []
        budgets: list[cloudwatch.IAlarm] = []
        for name, service in services.items():
            alarms = ServiceAlarms(
                self,
                services_.words(name),
                cluster=platform.cluster,
                service_name=service.service.service_name,
                target_groups=service.target_groups,
                topics=self._topics,
            ).alarms
            self._watch_queue(name)
            objective = self._objective(name, service)
            budgets += objective.critical if objective else []
            if service.errors_alarm is not None:
                symptoms += [alarms["Down"], alarms["TasksMissing"], self._alarm_by_name(name, service.errors_alarm)]
            watched.append(
                WatchedService(
                    name=name,
                    service_name=service.service.service_name,
                    target_groups=service.target_groups,
                    burn_rates=objective.burn_rates if objective else {},
                )
            )
        return watched, symptoms, budgets

    def _watch_queue(self, name: str) -> None:
        own = self._environment.services[name]
        if own.queue is not None:
            QueueAlarms(
                self,
                f"{services_.words(name)}Queue",
                environment=self.environment_name,
                service=name,
                most_jobs=own.queue.jobs_per_task * own.max_tasks,
                stuck_minutes=own.queue.stuck_minutes,
                topics=self._topics,
            )

    def _add_game_days(
        self,
        network: NetworkExports,
        data: DataExports,
        platform: PlatformExports,
        services: dict[str, ServiceExports],
        *,
        stop_when: Sequence[cloudwatch.IAlarm],
    ) -> None:
        environment = self._environment
        days = GameDays(self, "GameDays", stop_when=stop_when)
        for each in game_days.of(environment):
            id_ = services_.words(each.name)
            match each.action:
                case Action.STOP_TASKS:
                    days.stop_tasks(
                        id_,
                        what=each.what,
                        cluster=platform.cluster,
                        fewest={
                            services[name].service: own.min_tasks
                            for name, own in game_days.redundant(environment).items()
                        },
                    )
                case Action.FAIL_OVER_DATABASE:
                    days.fail_over_database(id_, what=each.what, database=data.database.instance)
                case Action.FAIL_OVER_REDIS:
                    days.fail_over_redis(
                        id_,
                        what=each.what,
                        zones=self.availability_zones,
                        tags={"product": self.product, "environment": self.environment_name},
                        minutes=each.minutes,
                    )
                case Action.CUT_OFF_ZONE:
                    days.cut_off_zone(id_, what=each.what, vpc=network.vpc, minutes=each.minutes)

    def _objective(self, name: str, service: ServiceExports) -> ObjectiveAlarms | None:
        objective = self._environment.services[name].objective
        if objective is None:
            return None
        return ObjectiveAlarms(
            self,
            f"{services_.words(name)}Objective",
            environment=self.environment_name,
            host=self._hosts[name],
            target_groups=service.target_groups,
            props=ObjectiveProps(
                availability_percent=objective.availability_percent,
                fast_percent=objective.fast_percent,
                fast_seconds=objective.fast_seconds,
            ),
            topics=self._topics,
        )

    def _alarm_by_name(self, service: str, alarm: str) -> cloudwatch.IAlarm:
        """An alarm of an earlier stack, found by its name, as an export would tie the stacks together."""
        arn = arn_of(self, "cloudwatch", f"alarm:{alarm}")
        return cloudwatch.Alarm.from_alarm_arn(self, f"{services_.words(service)}Errors", arn)


def _header(environment: Environment) -> str:
    """Text at the top of the dashboard."""
    links = ["runbooks: docs/runbooks/"]
    if environment.sentry is not None:
        links.append(f"errors: [Sentry](https://{environment.sentry.organization}.sentry.io/issues/)")
    links.append(f"edge: [Cloudflare](https://dash.cloudflare.com/?to=/:account/{environment.domains.zone})")
    return "From the top: where does it turn red first? " + " · ".join(links)


def _targets(environment: Environment) -> list[CheckTarget]:
    """URLs that the checks request, besides media: the first page of a site, the health path of an API."""
    return [
        CheckTarget(name, f"https://{each.host}{'/' if each.site else each.health_path}", needs_pass=True)
        for name, each in environment.services.items()
        if each.host is not None
    ]


def _dependencies(environment: Environment) -> list[CheckTarget]:
    """Services whose tasks are replaced when they lose a dependency; they report it in their release check."""
    return [
        CheckTarget(name, f"https://{each.host}{check.path}", needs_pass=True, dependencies=dict(check.expect))
        for name, each in services_.load_balanced(environment).items()
        if (check := each.release_check) is not None and check.restart_minutes is not None
    ]
