"""One service with its tasks, migrations, checks and alarms, and the services and jobs that run its image."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from config import Environment, services
from infra_constructs.alarms.queues import metric_of
from infra_constructs.container_task import ContainerEnvironment
from infra_constructs.dependency_restart import DependencyRestart
from infra_constructs.health_path import HealthPathGate
from infra_constructs.jobs import JobProps, Jobs
from infra_constructs.media import grant_application
from infra_constructs.queue_scaling import QueueProps
from infra_constructs.release import alarms
from infra_constructs.release.alarms import ReleaseAlarms
from infra_constructs.release.hooks import ReleaseCheckProps, migrate_hook, verify_hook
from infra_constructs.release.image import ReleasedImage
from infra_constructs.release.migration import MigrationProps, MigrationTask
from infra_constructs.release.one_off import OneOffTask
from infra_constructs.restart_service import RestartOnSecretChange
from infra_constructs.service import Autoscaled, BlueGreenService, Routing, ServiceProps
from infra_constructs.sticky_sessions import StickySessions
from infra_constructs.worker import Worker, WorkerProps
from infra_runtime.contract.metrics import QueueMetric
from infra_runtime.contract.revision import SERVICE
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.network import NetworkExports
from stacks.platform import PlatformExports
from stacks.redis import RedisExports
from stacks.registry import RegistryExports
from stacks.settings import Sources, for_users, hosts_of


@dataclass(frozen=True, kw_only=True)
class ServiceContext:
    """Exports of the earlier stacks that services use."""

    network: NetworkExports
    data: DataExports
    registry: RegistryExports
    platform: PlatformExports
    redis: RedisExports


@dataclass(frozen=True, kw_only=True)
class ServiceExports:
    """What later stacks take from a service's stack."""

    service: ecs.FargateService
    target_groups: list[elbv2.ApplicationTargetGroup]
    """Empty for a worker."""
    errors_alarm: str | None
    """Name of the alarm on its errors at the load balancer; None for a worker."""


class ServiceStack(EnvironmentStack):
    """Released often. A failed release rolls back within minutes, and only this stack."""

    def __init__(
        self, scope: cdk.Stage, id_: str, *, environment: Environment, service: str, context: ServiceContext
    ) -> None:
        super().__init__(
            scope, id_, environment=environment, description=f"{service}, and what runs its image", called=service
        )
        own, images, topics = environment.services[service], context.registry.images[service], context.platform.topics
        image = ReleasedImage.released(
            self,
            "Release",
            repository=images.repository,
            parameter_name=images.parameter_name,
            bootstrap=images.bootstrap_image,
            architecture=images.architecture,
            helper=context.registry.helper,
        )
        sources = Sources(
            environment=environment,
            name=self.environment_name,
            data=context.data,
            redis=context.redis,
            bindings=for_users(context.data),
        )
        self.exports: dict[str, ServiceExports] = {}
        """Exports by service: the stack's own one, and those that run its image."""
        own_service: ecs.FargateService | None = None
        for name, each in services.same_image(environment, service).items():
            # The ids of the stack's own service have no prefix; releases find it by its logical id.
            place: Construct = self if name == service else Construct(self, services.words(name))
            settings = sources.service(Construct(place, "Settings"), name, image=image)
            made = (
                self._worker(place, name, sources, context, image, settings=settings)
                if each.host is None
                else self._balanced(place, name, sources, context, image, settings=settings)
            )
            if own_service is None:
                own_service = made.service
                resource = own_service.node.default_child
                assert isinstance(resource, cdk.CfnElement)
                resource.override_logical_id(SERVICE)
            else:
                # Updated only once the stack's own service has migrated and serves, which shows that the image works.
                made.service.node.add_dependency(own_service)
            if settings.secrets:
                RestartOnSecretChange(
                    place,
                    "RestartOnSecretChange",
                    environment=self.environment_name,
                    name=name,
                    secrets=[value.secret for value in settings.secrets.values()],
                    cluster=context.platform.cluster,
                    service=made.service,
                    topics=topics,
                )
            self.exports[name] = made
        self._jobs(service, sources, context, image)
        one_off = OneOffTask(
            self,
            "OneOff",
            image=image,
            settings=sources.service(Construct(self, "OneOffSettings"), service, image=image),
            cpu=own.cpu,
            memory_mib=own.memory_mib,
        )
        if "media" in own.needs:
            grant_application(context.data.media, one_off.task.definition.task_role)

    def _jobs(self, service: str, sources: Sources, context: ServiceContext, image: ReleasedImage) -> None:
        """Jobs of each service that runs this image, with that service's variables and permissions."""
        environment = sources.environment
        for name in services.same_image(environment, service):
            of_service = {job: each for job, each in environment.jobs.items() if each.runs == name}
            if not of_service:
                continue
            scope = Construct(self, "Jobs" if name == service else f"JobsOf{services.words(name)}")
            jobs = Jobs(
                scope,
                "Jobs",
                environment=self.environment_name,
                service=name,
                runs=self.exports[name].service,
                cluster=context.platform.cluster,
                security_group=context.network.access[name],
                image=image,
                settings=sources.service(Construct(scope, "Settings"), name, image=image),
                ledger=context.registry.ledger,
                topics=context.platform.topics,
                jobs={
                    job: JobProps(
                        schedule=each.schedule,
                        command=each.command,
                        cpu=each.cpu,
                        memory_mib=each.memory_mib,
                        minutes=each.minutes,
                        retries=each.retries,
                        overdue_minutes=services.overdue_minutes(each),
                    )
                    for job, each in of_service.items()
                },
            )
            if "media" in environment.services[name].needs:
                for role in jobs.task_roles:
                    grant_application(context.data.media, role)

    def _balanced(
        self,
        scope: Construct,
        name: str,
        sources: Sources,
        context: ServiceContext,
        image: ReleasedImage,
        *,
        settings: ContainerEnvironment,
    ) -> ServiceExports:
        own = sources.environment.services[name]
        prefix = f"{self.stack_called(name)}-release"
        built = build_service(
            scope,
            service=name,
            sources=sources,
            context=context,
            image=image,
            settings=settings,
            tasks=Autoscaled(min_tasks=own.min_tasks, max_tasks=own.max_tasks),
            bake_time=cdk.Duration.minutes(own.bake_minutes),
            deployment_alarms=alarms.names(prefix),
            ledger_name=name,
        )
        # Created first: ECS refuses to deploy without its alarms.
        gates = ReleaseAlarms(
            scope,
            "ReleaseAlarms",
            name_prefix=prefix,
            target_groups=[built.blue, built.green],
            error_tracker_url=_sentry_issues_url(sources.environment, name),
            topics=context.platform.topics,
        )
        built.service.node.add_dependency(gates)
        assert own.health_path is not None, "config.rules requires it"
        # Not for previews: the image of an old one would stop every deployment.
        HealthPathGate(
            scope,
            "HealthPath",
            vpc=context.network.vpc,
            security_group=context.network.release_checks_access,
            target_groups=[built.blue, built.green],
            path=own.health_path,
        )
        if own.sticky_minutes is not None:
            sticky = StickySessions(
                scope,
                "StickySessions",
                rules=built.rules,
                target_groups=[built.blue, built.green],
                minutes=own.sticky_minutes,
            )
            # Applied before a deployment shifts traffic.
            built.service.node.add_dependency(sticky)
        if own.release_check is not None and own.release_check.restart_minutes is not None:
            DependencyRestart(
                scope,
                "DependencyRestart",
                environment=self.environment_name,
                name=name,
                redis_instance=sources.environment.redis.serves,
                cluster=context.platform.cluster,
                service=built.service,
                minutes=own.release_check.restart_minutes,
                topics=context.platform.topics,
            )
        return ServiceExports(
            service=built.service,
            target_groups=[built.blue, built.green],
            errors_alarm=alarms.names(prefix)[0],
        )

    def _worker(
        self,
        scope: Construct,
        name: str,
        sources: Sources,
        context: ServiceContext,
        image: ReleasedImage,
        *,
        settings: ContainerEnvironment,
    ) -> ServiceExports:
        own = sources.environment.services[name]
        built = Worker(
            scope,
            "Service",
            cluster=context.platform.cluster,
            security_group=context.network.access[name],
            image=image,
            settings=settings,
            props=WorkerProps(
                command=own.command,
                cpu=own.cpu,
                memory_mib=own.memory_mib,
                tasks=Autoscaled(min_tasks=own.min_tasks, max_tasks=own.max_tasks),
                spot=own.spot,
                queue=QueueProps(
                    waiting=metric_of(self.environment_name, name, QueueMetric.WAITING, "Average"),
                    jobs_per_task=own.queue.jobs_per_task,
                )
                if own.queue
                else None,
                health_command=own.health_command,
                writable=own.writable,
            ),
        )
        if "media" in own.needs:
            grant_application(context.data.media, built.task_definition.task_role)
        return ServiceExports(service=built.service, target_groups=[], errors_alarm=None)


def build_service(
    scope: Construct,
    *,
    service: str,
    sources: Sources,
    context: ServiceContext,
    image: ReleasedImage,
    settings: ContainerEnvironment,
    tasks: Autoscaled | cdk.CfnParameter,
    bake_time: cdk.Duration,
    deployment_alarms: list[str],
    ledger_name: str,
) -> BlueGreenService:
    """The service with its deployment hooks for migrations and checks, which use `ledger_name` in the ledger."""
    own, platform, network, slot = (
        sources.environment.services[service],
        context.platform,
        context.network,
        sources.bindings.slot,
    )
    assert own.port is not None and own.health_path is not None, "config.rules requires it"
    ledger = context.registry.ledger
    migration = None
    if own.migrations is not None:
        migration = MigrationTask(
            scope,
            "Migration",
            image=image,
            settings=sources.migrations(Construct(scope, "MigrationSettings"), service, image=image),
            login=sources.bindings.owner_login,
            props=MigrationProps(command=own.migrations.command, longest=cdk.Duration.minutes(own.migrations.minutes)),
        )
    built = BlueGreenService(
        scope,
        "Service",
        cluster=platform.cluster,
        security_group=network.access[service],
        load_balancer=platform.load_balancer,
        routing=Routing(
            hosts=hosts_of(sources.environment, service, slot=slot), priority=services.priority(service, slot)
        ),
        image=image,
        settings=settings,
        labels=migration.labels if migration else {},
        deployment_alarms=deployment_alarms,
        props=ServiceProps(
            command=own.command,
            cpu=own.cpu,
            memory_mib=own.memory_mib,
            tasks=tasks,
            port=own.port,
            target_group_port=own.target_group_port or own.port,
            health_path=own.health_path,
            bake_time=bake_time,
            spot=own.spot,
            writable=own.writable,
        ),
    )
    if "media" in own.needs:
        grant_application(context.data.media, built.task_definition.task_role)
    if migration is not None:
        hook = migrate_hook(
            scope,
            "Migrate",
            service=ledger_name,
            migration=migration,
            vpc=network.vpc,
            security_group=network.access[service],
            cluster=platform.cluster,
            ledger=ledger,
            image=image,
        )
        built.add_lifecycle_hook(hook)
    check = own.release_check
    built.add_lifecycle_hook(
        verify_hook(
            scope,
            "Verify",
            service=ledger_name,
            ledger=ledger,
            vpc=network.vpc,
            security_group=network.release_checks_access,
            cluster=platform.cluster,
            port=own.port,
            check=ReleaseCheckProps(path=own.health_path)
            if check is None
            else ReleaseCheckProps(path=check.path, version_field=check.version_field, expect=check.expect),
            image=image,
        )
    )
    return built


def _sentry_issues_url(environment: Environment, service: str) -> str | None:
    """URL of the service's issues at Sentry."""
    own = environment.services[service].sentry
    if own is None or environment.sentry is None:
        return None
    number = own.dsn.rpartition("/")[2]
    return f"https://{environment.sentry.organization}.sentry.io/issues/?project={number}"
