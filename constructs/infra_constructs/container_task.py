"""A Fargate task with one application container, sandboxed like every other one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_logs as logs
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.findings import acknowledge
from infra_constructs.release.image import ReleasedImage
from infra_constructs.task_preparation import AUTHORITY, prepare

_USER = "1000:1000"  # `node` and `bun` in the official images; other images need no such user
_TMP = "/tmp"  # noqa: S108
_ARCHITECTURES = {"arm64": ecs.CpuArchitecture.ARM64, "x86_64": ecs.CpuArchitecture.X86_64}
_STOP_TIMEOUT = cdk.Duration.seconds(60)
_ENVIRONMENT = {
    "NODE_ENV": "production",
    # The user has no home in most images, and npm, bun and others write into it.
    "HOME": _TMP,
    # ECS would set the task's own host name, and Next.js would listen on its address only. Others do not read it:
    # Node's os.hostname(), Python's socket.gethostname() and Go's os.Hostname() ask the kernel.
    "HOSTNAME": "0.0.0.0",  # noqa: S104
    # In addition to the CA certificates of Node.js and Bun. SSL_CERT_FILE would replace them.
    "NODE_EXTRA_CA_CERTS": AUTHORITY,
    # libpq's, and so psycopg's.
    "PGSSLROOTCERT": AUTHORITY,
}
"""Variables of every container, unless its own settings override them."""


@dataclass(frozen=True)
class SecretValue:
    """The whole value of a secret, or one field of its JSON."""

    secret: secretsmanager.ISecret
    field: str | None = None


@dataclass(frozen=True, kw_only=True)
class ContainerEnvironment:
    """Environment variables of the application. Secrets are references, so no template contains their values."""

    values: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, SecretValue] = field(default_factory=dict)


class ContainerTask(Construct):
    """A task definition. Its container writes only to /tmp and `writable`, has no capabilities, and is not root.

    The image needs to contain nothing but the program (infra_constructs.task_preparation).
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        name: str,
        image: ReleasedImage,
        settings: ContainerEnvironment,
        cpu: int,
        memory_mib: int,
        command: Sequence[str] | None = None,
        entry_point: Sequence[str] | None = None,
        port: int | None = None,
        labels: Mapping[str, str] | None = None,
        writable: Sequence[str] = (),
        keeps_every_line: bool = False,
        stop_timeout: cdk.Duration = _STOP_TIMEOUT,
    ) -> None:
        super().__init__(scope, id_)
        self.definition = ecs.FargateTaskDefinition(
            self,
            "Definition",
            cpu=cpu,
            memory_limit_mib=memory_mib,
            runtime_platform=ecs.RuntimePlatform(
                cpu_architecture=_ARCHITECTURES[image.architecture],
                operating_system_family=ecs.OperatingSystemFamily.LINUX,
            ),
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
            entry_point=list(entry_point) if entry_point else None,
            command=list(command) if command else None,
            port_mappings=[ecs.PortMapping(container_port=port)] if port else None,
            environment={**_ENVIRONMENT, "RELEASE": image.uri, **settings.values},
            secrets={
                name: ecs.Secret.from_secrets_manager(each.secret, each.field)
                for name, each in settings.secrets.items()
            },
            stop_timeout=stop_timeout,
            docker_labels=dict(labels) if labels else None,
            logging=ecs.LogDriver.aws_logs(
                stream_prefix=name,
                log_group=self.logs,
                # Losing log lines is better than a service that waits for its log.
                mode=ecs.AwsLogDriverMode.BLOCKING if keeps_every_line else ecs.AwsLogDriverMode.NON_BLOCKING,
                max_buffer_size=None if keeps_every_line else cdk.Size.mebibytes(25),
            ),
        )
        prepare(
            container,
            helper=image.helper,
            writable=(_TMP, *writable),
            log=ecs.LogDriver.aws_logs(stream_prefix=name, log_group=self.logs, mode=ecs.AwsLogDriverMode.BLOCKING),
        )
        image.allow_pulling(self.definition)
        acknowledge(
            self.definition,
            "AwsSolutions-ECS2",
            reason="The variables contain only names and numbers; every secret is a reference.",
        )
