"""What the stacks of services have in common, those of previews included."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from config.model import Service
from infra_constructs.container_task import Settings
from infra_constructs.release import alarms
from infra_constructs.release.alarms import ReleaseAlarms
from infra_constructs.release.hooks import migrate_hook, verify_hook
from infra_constructs.release.image import ReleasedImage
from infra_constructs.release.migration import MigrationProps, MigrationTask
from infra_constructs.release.one_off import OneOffTask
from infra_constructs.service import Autoscaled, BlueGreenService, Routing, ServiceProps
from stacks.base import EnvironmentStack
from stacks.network import NetworkExports
from stacks.platform import PlatformExports
from stacks.registry import RegistryExports


@dataclass(frozen=True, kw_only=True)
class Migrations:
    """Of the service that has a database."""

    settings: Settings
    login: secretsmanager.ISecret
    """The owner's: what the hook connects with."""
    props: MigrationProps


@dataclass(frozen=True, kw_only=True)
class Application:
    """What runs: the same for users and in a preview, but for its settings."""

    name: str
    service: Service
    access: ec2.ISecurityGroup
    settings: Settings
    checks: list[str]
    migrations: Migrations | None = None
    sentry_dsn: str | None = None
    errors_at: str | None = None
    """Where people see what it has reported."""


@dataclass(frozen=True, kw_only=True)
class Around:
    """What it runs in, of earlier stacks."""

    network: NetworkExports
    platform: PlatformExports
    registry: RegistryExports


@dataclass(frozen=True, kw_only=True)
class ServiceExports:
    """What later stacks take from a service's stack."""

    service: ecs.FargateService
    task_roles: list[iam.IRole]
    """Of all that runs the application's own code with its settings."""
    target_groups: list[elbv2.ApplicationTargetGroup]
    errors_alarm: str
    """Name of the alarm about its errors."""


def add_service(
    stack: EnvironmentStack, *, application: Application, around: Around, routing: Routing
) -> ServiceExports:
    """A service, and all that may send its releases back: migrations, checks, and alarms."""
    service, images = application.service, around.registry.images[application.name]
    image = ReleasedImage.released(
        stack,
        "Release",
        repository=images.repository,
        parameter_name=images.parameter_name,
        bootstrap=images.bootstrap_image,
    )
    prefix = f"{stack.stack_name}-release"
    built = build_service(
        stack,
        application=application,
        around=around,
        routing=routing,
        image=image,
        tasks=Autoscaled(min_tasks=service.min_tasks, max_tasks=service.max_tasks),
        bake_time=cdk.Duration.minutes(service.bake_minutes),
        deployment_alarms=alarms.names(prefix),
        in_ledger=application.name,
        settings=_with_sentry(application, image, stack.environment_name),
    )
    one_off = OneOffTask(
        stack,
        "OneOff",
        image=image,
        settings=_with_sentry(application, image, stack.environment_name),
        cpu=service.cpu,
        memory_mib=service.memory_mib,
    )
    # Alarms first: ECS refuses to deploy without them.
    gates = ReleaseAlarms(
        stack,
        "ReleaseAlarms",
        name_prefix=prefix,
        target_groups=[built.blue, built.green],
        errors_at=application.errors_at,
        topics=around.platform.topics,
    )
    built.service.node.add_dependency(gates)
    return ServiceExports(
        service=built.service,
        task_roles=[built.task_definition.task_role, one_off.task.definition.task_role],
        target_groups=[built.blue, built.green],
        errors_alarm=alarms.names(prefix)[0],
    )


def build_service(
    scope: Construct,
    *,
    application: Application,
    around: Around,
    routing: Routing,
    image: ReleasedImage,
    tasks: Autoscaled | cdk.CfnParameter,
    bake_time: cdk.Duration,
    deployment_alarms: list[str],
    in_ledger: str,
    settings: Settings | None = None,
) -> BlueGreenService:
    """The service itself, with the migrations and checks of its deployments, which write into the ledger."""
    service, platform, network = application.service, around.platform, around.network
    migrations, ledger = application.migrations, around.registry.ledger
    migration = (
        MigrationTask(
            scope,
            "Migration",
            image=image,
            settings=migrations.settings,
            login=migrations.login,
            props=migrations.props,
        )
        if migrations
        else None
    )
    built = BlueGreenService(
        scope,
        "Service",
        cluster=platform.cluster,
        security_group=application.access,
        load_balancer=platform.load_balancer,
        routing=routing,
        image=image,
        settings=settings or application.settings,
        labels=migration.labels if migration else {},
        deployment_alarms=deployment_alarms,
        props=ServiceProps(
            cpu=service.cpu,
            memory_mib=service.memory_mib,
            tasks=tasks,
            port=service.port,
            health_path=service.health_path,
            bake_time=bake_time,
            spot=service.spot,
        ),
    )
    if migration is not None:
        hook = migrate_hook(
            scope,
            "Migrate",
            service=in_ledger,
            migration=migration,
            vpc=network.vpc,
            security_group=application.access,
            cluster=platform.cluster,
            ledger=ledger,
            bootstrap=image.bootstrap,
        )
        built.ask_before(hook)
    built.ask_before(
        verify_hook(
            scope,
            "Verify",
            service=in_ledger,
            ledger=ledger,
            vpc=network.vpc,
            security_group=network.release_checks_access,
            cluster=platform.cluster,
            path=service.release_path,
            port=service.port,
            checks=application.checks,
            bootstrap=image.bootstrap,
        )
    )
    return built


def _with_sentry(application: Application, image: ReleasedImage, environment: str) -> Settings:
    """By the names that Sentry's SDKs read themselves; a release is told by the name that `infra_runtime` tells it."""
    if application.sentry_dsn is None:
        return application.settings
    values = {
        "SENTRY_DSN": application.sentry_dsn,
        "SENTRY_ENVIRONMENT": environment,
        "SENTRY_RELEASE": f"{application.name}@{image.digest}",
    }
    return Settings(values={**application.settings.values, **values}, secrets=application.settings.secrets)
