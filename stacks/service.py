"""What the stacks of the two services have in common."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from aws_cdk import aws_iam as iam

from config.model import Service
from infra_constructs import release_alarms
from infra_constructs.images import ServiceImages
from infra_constructs.release_alarms import ReleaseAlarms
from infra_constructs.service import BlueGreenService, Routing, ServiceProps, Settings
from stacks.base import EnvironmentStack
from stacks.platform import PlatformExports


@dataclass(frozen=True, kw_only=True)
class ServiceExports:
    """What later stacks take from a service's stack."""

    service: ecs.FargateService
    task_role: iam.IRole
    target_groups: list[elbv2.ApplicationTargetGroup]


def add_service(
    stack: EnvironmentStack,
    *,
    service: Service,
    platform: PlatformExports,
    access: ec2.ISecurityGroup,
    routing: Routing,
    images: ServiceImages,
    bootstrap_image: str,
    settings: Settings,
) -> ServiceExports:
    """A service and the alarms that send its releases back, alarms first: ECS refuses to deploy without them."""
    prefix = f"{stack.stack_name}-release"
    built = BlueGreenService(
        stack,
        "Service",
        cluster=platform.cluster,
        security_group=access,
        load_balancer=platform.load_balancer,
        routing=routing,
        repository=images.repository,
        image_parameter=images.parameter_name,
        bootstrap_image=bootstrap_image,
        settings=settings,
        deployment_alarms=release_alarms.names(prefix),
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
    alarms = ReleaseAlarms(
        stack, "ReleaseAlarms", name_prefix=prefix, target_groups=[built.blue, built.green], topics=platform.topics
    )
    built.service.node.add_dependency(alarms)
    return ServiceExports(
        service=built.service,
        task_role=built.task_definition.task_role,
        target_groups=[built.blue, built.green],
    )
