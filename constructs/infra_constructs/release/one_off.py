"""A task that a person starts for one command, with the service's image and settings."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra_constructs.container_task import ContainerEnvironment, ContainerTask
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.release.image import ReleasedImage
from infra_runtime.contract.revision import BUSYBOX, ONE_OFF

# Where the agent of ECS Exec writes. AWS documents that it needs a writable root filesystem; with these three paths it
# works without one (aws/containers-roadmap #1359, #2824; amazon-ecs-exec-checker #71).
_AGENT = ("/managed-agents", "/var/lib/amazon/ssm", "/var/log/amazon/ssm")


class OneOffTask(Construct):
    """A task definition for `infra run` and `infra exec`, so that no person enters a container that serves users."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        image: ReleasedImage,
        settings: ContainerEnvironment,
        cpu: int,
        memory_mib: int,
    ) -> None:
        super().__init__(scope, id_)
        self.task = ContainerTask(
            self,
            "Task",
            name=ONE_OFF,
            image=image,
            settings=settings,
            cpu=cpu,
            memory_mib=memory_mib,
            # Replaces the image's own, so that a command runs as it was given.
            entry_point=[BUSYBOX, "env"],
            # Waits for a person, and ends after a working day if it is forgotten.
            command=[BUSYBOX, "sleep", str(cdk.Duration.hours(8).to_seconds())],
            writable=_AGENT,
            keeps_every_line=True,
        )
        role = self.task.definition.task_role
        role.add_to_principal_policy(
            iam.PolicyStatement(
                actions=[
                    "ssmmessages:CreateControlChannel",
                    "ssmmessages:CreateDataChannel",
                    "ssmmessages:OpenControlChannel",
                    "ssmmessages:OpenDataChannel",
                ],
                resources=["*"],
            )
        )
        policy = role.node.find_child("DefaultPolicy")
        assert isinstance(policy, Construct)
        acknowledge(
            policy,
            allows_on("*"),
            reason="Channels of ECS Exec have no ARN, nor resource-level permissions.",
        )
