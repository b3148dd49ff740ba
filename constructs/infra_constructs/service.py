"""One Fargate service behind the load balancer, released blue/green."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_elasticloadbalancingv2 as elbv2
from constructs import Construct

from infra_constructs.container_task import ContainerEnvironment, ContainerTask
from infra_constructs.findings import acknowledge, uses_managed_policy
from infra_constructs.load_balancer import IDLE_SECONDS, LoadBalancer
from infra_constructs.release.hooks import ReleaseHook
from infra_constructs.release.image import ReleasedImage
from infra_constructs.service_access import immutable
from infra_runtime.contract.revision import APP

# Shorter than the time that a container is given to stop: no request is cut.
_DRAIN = cdk.Duration.seconds(30)
# In milliseconds, as the standalone server of Next.js reads it (vercel/next.js #50221). Otherwise it closes a
# connection after five seconds, and the load balancer may just then send a request over it: 502.
_KEEP_ALIVE = str((IDLE_SECONDS + 5) * 1000)
_CPU_TARGET_PERCENT = 60
_MEMORY_TARGET_PERCENT = 70


@dataclass(frozen=True, kw_only=True)
class Autoscaled:
    """A number of tasks that follows CPU and memory."""

    min_tasks: int
    max_tasks: int


@dataclass(frozen=True, kw_only=True)
class ServiceProps:
    """What an environment may choose."""

    command: Sequence[str] | None
    """Instead of the image's own."""
    cpu: int
    memory_mib: int
    tasks: Autoscaled | cdk.CfnParameter
    """A parameter of the stack for previews, which run only at times."""
    port: int
    target_group_port: int
    """What the target groups were created with; a change replaces them. ECS registers each task with `port`."""
    health_path: str
    bake_time: cdk.Duration
    spot: bool
    writable: Sequence[str] = ()
    """Paths that the application writes to besides /tmp: its caches. What the image has there is hidden."""


@dataclass(frozen=True, kw_only=True)
class Routing:
    """The service's hosts, and the priority of its rule at the load balancer."""

    hosts: Sequence[str]
    priority: int


class BlueGreenService(Construct):
    """Two target groups; ECS moves all traffic from one to the other, waits, and goes back on an alarm.

    The image is read from an SSM parameter at deployment, so that a release needs no synth and causes no drift.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        cluster: ecs.ICluster,
        security_group: ec2.ISecurityGroup,
        load_balancer: LoadBalancer,
        routing: Routing,
        image: ReleasedImage,
        settings: ContainerEnvironment,
        labels: Mapping[str, str],
        deployment_alarms: list[str],
        props: ServiceProps,
    ) -> None:
        super().__init__(scope, id_)
        self._props = props
        task = ContainerTask(
            self,
            "Task",
            name=APP,
            image=image,
            settings=ContainerEnvironment(
                values={"PORT": str(props.port), "KEEP_ALIVE_TIMEOUT": _KEEP_ALIVE, **settings.values},
                secrets=settings.secrets,
            ),
            cpu=props.cpu,
            memory_mib=props.memory_mib,
            port=props.port,
            labels=labels,
            writable=props.writable,
        )
        self.task_definition = task.definition
        # Until the first release it answers every path with 200.
        run_until_released(task.definition, image, ["node", "-e", _placeholder(props.port)], props.command)
        self.blue = self._target_group("Blue", cluster.vpc)
        self.green = self._target_group("Green", cluster.vpc)
        production = self._rule("ProductionRule", load_balancer.production, routing)
        test = self._rule("TestRule", load_balancer.test, routing)
        self.rules = [production, test]

        self.service = fargate_service(
            self,
            cluster=cluster,
            definition=self.task_definition,
            security_group=immutable(self, "Access", security_group),
            spot=props.spot,
            # With autoscaling, each deployment would set its number back.
            desired_count=None if isinstance(props.tasks, Autoscaled) else props.tasks.value_as_number,
            health_check_grace_period=cdk.Duration.seconds(60),
            deployment_strategy=ecs.DeploymentStrategy.BLUE_GREEN,
            bake_time=props.bake_time,
            # By name: a reference would be circular, as the alarms watch these very target groups.
            deployment_alarms=ecs.DeploymentAlarmConfig(
                alarm_names=deployment_alarms, behavior=ecs.AlarmBehavior.ROLLBACK_ON_ALARM
            )
            if deployment_alarms
            else None,
        )
        self.service.load_balancer_target(
            container_name=APP,
            container_port=props.port,
            alternate_target=ecs.AlternateTarget(
                "Green",
                alternate_target_group=self.green,
                production_listener=ecs.ListenerRuleConfiguration.application_listener_rule(production),
                test_listener=ecs.ListenerRuleConfiguration.application_listener_rule(test),
            ),
        ).attach_to_application_target_group(self.blue)
        infrastructure_role = self.service.node.find_child("GreenRole")
        assert isinstance(infrastructure_role, Construct)
        acknowledge(
            infrastructure_role,
            uses_managed_policy("AmazonECSInfrastructureRolePolicyForLoadBalancers"),
            reason="The policy that ECS documents for moving traffic; AWS extends it together with the feature.",
        )
        if isinstance(props.tasks, Autoscaled):
            scale(self.service, props.tasks)

    def add_lifecycle_hook(self, hook: ReleaseHook) -> None:
        """A release goes on at the hook's stage when the hook says so, and goes back when it does not."""
        self.service.add_lifecycle_hook(hook.target)
        # CDK lets the service wait for the roles, and not for what they may do.
        self.service.node.add_dependency(*hook.needs)

    def _target_group(self, id_: str, vpc: ec2.IVpc) -> elbv2.ApplicationTargetGroup:
        return elbv2.ApplicationTargetGroup(
            self,
            id_,
            vpc=vpc,
            port=self._props.target_group_port,
            protocol=elbv2.ApplicationProtocol.HTTP,
            target_type=elbv2.TargetType.IP,
            deregistration_delay=_DRAIN,
            load_balancing_algorithm_type=elbv2.TargetGroupLoadBalancingAlgorithmType.LEAST_OUTSTANDING_REQUESTS,
            health_check=elbv2.HealthCheck(
                path=self._props.health_path,
                healthy_http_codes="200",
                interval=cdk.Duration.seconds(10),
                timeout=cdk.Duration.seconds(5),
                healthy_threshold_count=2,
                unhealthy_threshold_count=3,
            ),
        )

    def _rule(self, id_: str, listener: elbv2.IApplicationListener, routing: Routing) -> elbv2.ApplicationListenerRule:
        """Frozen: ECS moves these weights at each release and any change here would put them back (docs/adr/0004)."""
        return elbv2.ApplicationListenerRule(
            self,
            id_,
            listener=listener,
            priority=routing.priority,
            conditions=[elbv2.ListenerCondition.host_headers(list(routing.hosts))],
            action=elbv2.ListenerAction.weighted_forward(
                [
                    elbv2.WeightedTargetGroup(target_group=self.blue, weight=100),
                    elbv2.WeightedTargetGroup(target_group=self.green, weight=0),
                ]
            ),
        )


def fargate_service(
    scope: Construct,
    *,
    cluster: ecs.ICluster,
    definition: ecs.FargateTaskDefinition,
    security_group: ec2.ISecurityGroup,
    spot: bool,
    **deployment: Any,
) -> ecs.FargateService:
    """What every service of ours has; `deployment` says how its tasks are replaced, as `FargateService` takes it."""
    service = ecs.FargateService(
        scope,
        "Service",
        cluster=cluster,
        task_definition=definition,
        security_groups=[security_group],
        vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_WITH_EGRESS),
        assign_public_ip=False,
        min_healthy_percent=100,
        max_healthy_percent=200,
        capacity_provider_strategies=[
            ecs.CapacityProviderStrategy(capacity_provider="FARGATE_SPOT" if spot else "FARGATE", weight=1)
        ],
        availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.ENABLED,
        circuit_breaker=ecs.DeploymentCircuitBreaker(enable=True, rollback=True),
        propagate_tags=ecs.PropagatedTagSource.SERVICE,
        **deployment,
    )
    # CDK waits for the application's role only. Tasks fail if they start before ECS may pull their image and read their
    # secrets. Three failures trip the circuit breaker, and ECS rolls the first deployment back.
    service.node.find_child("Service").node.add_dependency(definition.obtain_execution_role())
    return service


def run_until_released(
    definition: ecs.FargateTaskDefinition,
    image: ReleasedImage,
    placeholder: Sequence[str],
    command: Sequence[str] | None,
) -> None:
    """A plain Node.js image would end at once: until the first release it runs this, and then the image's command."""
    own = list(command) if command else cdk.Aws.NO_VALUE
    chosen = cdk.Fn.condition_if(image.is_bootstrap.logical_id, list(placeholder), own)
    resource = definition.node.default_child
    assert isinstance(resource, ecs.CfnTaskDefinition)
    resource.add_property_override("ContainerDefinitions.0.Command", chosen)


def scale(service: ecs.FargateService, tasks: Autoscaled) -> None:
    """Scales out fast and in slowly."""
    scaling = service.auto_scale_task_count(min_capacity=tasks.min_tasks, max_capacity=tasks.max_tasks)
    out, in_ = cdk.Duration.seconds(60), cdk.Duration.minutes(5)
    scaling.scale_on_cpu_utilization(
        "Cpu", target_utilization_percent=_CPU_TARGET_PERCENT, scale_out_cooldown=out, scale_in_cooldown=in_
    )
    scaling.scale_on_memory_utilization(
        "Memory", target_utilization_percent=_MEMORY_TARGET_PERCENT, scale_out_cooldown=out, scale_in_cooldown=in_
    )


def _placeholder(port: int) -> str:
    return f"require('http').createServer((q,r)=>r.end('not released yet\\n')).listen({port})"
