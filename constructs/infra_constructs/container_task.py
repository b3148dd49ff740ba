"""One container of ours on Fargate, confined in the one way in which all of ours are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra_constructs.findings import acknowledge
from infra_constructs.release.image import ReleasedImage

_USER = "1000:1000"  # `node` in the official Node.js images
_TMP = "/tmp"  # noqa: S108
_STOP_TIMEOUT = cdk.Duration.seconds(60)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the application reads from its environment. Secrets arrive by reference and never stand in a template."""

    values: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, ecs.Secret] = field(default_factory=dict)


class ContainerTask(Construct):
    """A task definition: nothing but /tmp and `writable` can be written, no capability is left, and nobody is root."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        image: ReleasedImage,
        settings: Settings,
        cpu: int,
        memory_mib: int,
        command: Sequence[str] | None = None,
        port: int | None = None,
        health_check: ecs.HealthCheck | None = None,
        labels: Mapping[str, str] | None = None,
        writable: Sequence[str] = (),
        keeps_every_line: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        self.definition = ecs.FargateTaskDefinition(
            self,
            "Definition",
            cpu=cpu,
            memory_limit_mib=memory_mib,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=ecs.CpuArchitecture.ARM64, operating_system_family=ecs.OperatingSystemFamily.LINUX
            ),
            volumes=[ecs.Volume(name=_volume(path)) for path in (_TMP, *writable)],
        )
        self.logs = logs.LogGroup(
            self, "Logs", retention=logs.RetentionDays.THREE_MONTHS, removal_policy=cdk.RemovalPolicy.DESTROY
        )
        isolation = ecs.LinuxParameters(self, "Isolation", init_process_enabled=True)
        isolation.drop_capabilities(ecs.Capability.ALL)
        container = self.definition.add_container(
            name,
            image=ecs.ContainerImage.from_registry(image.uri),
            essential=True,
            user=_USER,
            readonly_root_filesystem=True,
            linux_parameters=isolation,
            command=list(command) if command else None,
            port_mappings=[ecs.PortMapping(container_port=port)] if port else None,
            environment={"NODE_ENV": "production", "RELEASE": image.uri, **settings.values},
            secrets=dict(settings.secrets),
            stop_timeout=_STOP_TIMEOUT,
            health_check=health_check,
            docker_labels=dict(labels) if labels else None,
            logging=ecs.LogDriver.aws_logs(
                stream_prefix=name,
                log_group=self.logs,
                # Losing log lines is better than a service that waits for its log.
                mode=ecs.AwsLogDriverMode.BLOCKING if keeps_every_line else ecs.AwsLogDriverMode.NON_BLOCKING,
                max_buffer_size=None if keeps_every_line else cdk.Size.mebibytes(25),
            ),
        )
        for path in (_TMP, *writable):
            mount = ecs.MountPoint(source_volume=_volume(path), container_path=path, read_only=False)
            container.add_mount_points(mount)
        image.allow_pulling(self.definition)
        acknowledge(
            self.definition,
            "AwsSolutions-ECS2",
            reason="Only names and numbers stand in the environment; every secret arrives by reference.",
        )


def _volume(path: str) -> str:
    return path.strip("/").replace("/", "-")
