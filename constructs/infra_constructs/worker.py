"""One Fargate service without a host: it takes its work from a queue, a table or a schedule."""

from collections.abc import Sequence
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from constructs import Construct

from infra_constructs.container_task import ContainerEnvironment, ContainerTask
from infra_constructs.queue_scaling import QueueProps, QueueScaling
from infra_constructs.release.image import ReleasedImage
from infra_constructs.service import Autoscaled, fargate_service, run_until_released, scale
from infra_runtime.contract.revision import APP

# Fargate's longest (ECS API reference, ContainerDefinition, stopTimeout).
_STOP_TIMEOUT = cdk.Duration.seconds(120)
# The bootstrap image's command. Until the first release it only waits.
_IDLE = "setInterval(() => {}, 2 ** 30)"


@dataclass(frozen=True, kw_only=True)
class WorkerProps:
    """What an environment may choose."""

    command: Sequence[str] | None
    """Instead of the image's own."""
    cpu: int
    memory_mib: int
    tasks: Autoscaled
    spot: bool
    queue: QueueProps | None = None
    """None: as many tasks as CPU and memory ask for."""
    writable: Sequence[str] = ()
    """Folders that the application writes to besides /tmp."""
    health_command: Sequence[str] | None = None
    """Run in the container: 0 is healthy. None: a worker is healthy as long as it runs."""


class Worker(Construct):
    """A rolling deployment: ECS starts new tasks before it stops old ones, and rolls back when new ones do not start.

    Without a health command every running task counts as healthy: a worker that crashes later is not rolled back
    (aws/containers-roadmap #1206). ECS stops a task with SIGTERM and gives it two minutes to finish its jobs.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        cluster: ecs.ICluster,
        security_group: ec2.ISecurityGroup,
        image: ReleasedImage,
        settings: ContainerEnvironment,
        props: WorkerProps,
    ) -> None:
        super().__init__(scope, id_)
        task = ContainerTask(
            self,
            "Task",
            name=APP,
            image=image,
            settings=settings,
            cpu=props.cpu,
            memory_mib=props.memory_mib,
            writable=props.writable,
            stop_timeout=_STOP_TIMEOUT,
        )
        self.task_definition = task.definition
        run_until_released(task.definition, image, ["node", "-e", _IDLE], props.command)
        if props.health_command is not None:
            self._check_health_when_released(image, props.health_command)
        self.service = fargate_service(
            self, cluster=cluster, definition=task.definition, security_group=security_group, spot=props.spot
        )
        if props.queue is None:
            scale(self.service, props.tasks)
        else:
            QueueScaling(self, "Queue", cluster=cluster, service=self.service, tasks=props.tasks, props=props.queue)

    def _check_health_when_released(self, image: ReleasedImage, command: Sequence[str]) -> None:
        """The bootstrap image has no such command."""
        check = {"Command": ["CMD", *command], "Interval": 10, "Timeout": 5, "Retries": 3, "StartPeriod": 60}
        resource = self.task_definition.node.default_child
        assert isinstance(resource, ecs.CfnTaskDefinition)
        resource.add_property_override(
            "ContainerDefinitions.0.HealthCheck",
            cdk.Fn.condition_if(image.is_bootstrap.logical_id, cdk.Aws.NO_VALUE, check),
        )
