"""What the stacks of the two services have in common."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam

from config.model import Service
from infra_constructs.container_task import Settings
from infra_constructs.release import alarms
from infra_constructs.release.alarms import ReleaseAlarms
from infra_constructs.release.hooks import migrate_hook, verify_hook
from infra_constructs.release.image import ReleasedImage
from infra_constructs.release.migration import MigrationProps, MigrationTask
from infra_constructs.release.one_off import OneOffTask
from infra_constructs.service import BlueGreenService, Routing, ServiceProps
from stacks.base import EnvironmentStack
from stacks.network import NetworkExports
from stacks.platform import PlatformExports
from stacks.registry import RegistryExports


@dataclass(frozen=True, kw_only=True)
class Migrations:
    """Of the service that has a database."""

    settings: Settings
    props: MigrationProps


@dataclass(frozen=True, kw_only=True)
class ServiceExports:
    """What later stacks take from a service's stack."""

    service: ecs.FargateService
    task_roles: list[iam.IRole]
    """Of all that runs the application's own code with its settings."""
    target_groups: list[elbv2.ApplicationTargetGroup]


def add_service(
    stack: EnvironmentStack,
    *,
    name: str,
    service: Service,
    network: NetworkExports,
    platform: PlatformExports,
    registry: RegistryExports,
    access: ec2.ISecurityGroup,
    routing: Routing,
    settings: Settings,
    checks: list[str],
    migrations: Migrations | None = None,
) -> ServiceExports:
    """A service, and all that may send its releases back: migrations, checks, and alarms."""
    images = registry.images[name]
    image = ReleasedImage(
        stack,
        "Release",
        repository=images.repository,
        parameter_name=images.parameter_name,
        bootstrap=images.bootstrap_image,
    )
    migration = (
        MigrationTask(stack, "Migration", image=image, settings=migrations.settings, props=migrations.props)
        if migrations
        else None
    )
    prefix = f"{stack.stack_name}-release"
    built = BlueGreenService(
        stack,
        "Service",
        cluster=platform.cluster,
        security_group=access,
        load_balancer=platform.load_balancer,
        routing=routing,
        image=image,
        settings=settings,
        labels=migration.labels if migration else {},
        deployment_alarms=alarms.names(prefix),
        props=ServiceProps(
            cpu=service.cpu,
            memory_mib=service.memory_mib,
            min_tasks=service.min_tasks,
            max_tasks=service.max_tasks,
            port=service.port,
            health_path=service.health_path,
            bake_time=cdk.Duration.minutes(service.bake_minutes),
            spot=service.spot,
        ),
    )
    one_off = OneOffTask(
        stack, "OneOff", image=image, settings=settings, cpu=service.cpu, memory_mib=service.memory_mib
    )
    if migration is not None:
        hook = migrate_hook(
            stack,
            "Migrate",
            service=name,
            migration=migration,
            cluster=platform.cluster,
            ledger=registry.ledger,
            bootstrap=image.bootstrap,
        )
        built.ask_before(hook)
    built.ask_before(
        verify_hook(
            stack,
            "Verify",
            service=name,
            ledger=registry.ledger,
            vpc=network.vpc,
            security_group=network.release_checks_access,
            cluster=platform.cluster,
            path=service.release_path,
            port=service.port,
            checks=checks,
            bootstrap=image.bootstrap,
        )
    )
    # Alarms first: ECS refuses to deploy without them.
    gates = ReleaseAlarms(
        stack, "ReleaseAlarms", name_prefix=prefix, target_groups=[built.blue, built.green], topics=platform.topics
    )
    built.service.node.add_dependency(gates)
    return ServiceExports(
        service=built.service,
        task_roles=[built.task_definition.task_role, one_off.task.definition.task_role],
        target_groups=[built.blue, built.green],
    )
