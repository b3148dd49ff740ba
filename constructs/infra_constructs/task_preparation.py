"""A container that prepares each task, so that any image can run: volumes, Amazon's CA, a shell."""

from collections.abc import Sequence
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_ecs as ecs
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import infra_runtime.contract
from infra_constructs.helper_image import HelperImage
from infra_runtime.contract.revision import BUSYBOX, SHARED

AUTHORITY = f"{SHARED}/rds-authority.pem"
"""The authority that signs RDS's certificates in the region."""

_NAME = "prepare"
# By its path: a shell that prefers its own applets may answer `command -v busybox` without one.
_OWN_BUSYBOX = "/bin/busybox"
_SCRIPT = """set -eu
umask 022
authority=$1 from=$2 to=$3
shift 3
chmod 1777 "$@"
printf '%s\\n' "$RDS_AUTHORITY" > "$authority"
cp "$from" "$to"
"""
# What Fargate gives (aws/containers-roadmap #409), but FOWNER: an image may have given a volume another owner. Dropping
# all and adding one is not possible: Fargate adds SYS_PTRACE only (ECS API reference, KernelCapabilities).
_DROPPED = (
    *(ecs.Capability.AUDIT_WRITE, ecs.Capability.CHOWN, ecs.Capability.DAC_OVERRIDE, ecs.Capability.FSETID),
    *(ecs.Capability.KILL, ecs.Capability.MKNOD, ecs.Capability.NET_BIND_SERVICE, ecs.Capability.NET_RAW),
    *(ecs.Capability.SETFCAP, ecs.Capability.SETGID, ecs.Capability.SETPCAP, ecs.Capability.SETUID),
    ecs.Capability.SYS_CHROOT,
)


def prepare(
    container: ecs.ContainerDefinition, *, helper: HelperImage, writable: Sequence[str], log: ecs.LogDriver
) -> None:
    """Adds a container to the task that ends before `container` starts; when it fails, the task does.

    Everyone may write to the paths in `writable`: an empty volume of Fargate is root's, with mode 0755 (ECS Developer
    Guide, "Use bind mounts with Amazon ECS").
    """
    task = container.task_definition
    isolation = ecs.LinuxParameters(task, "PrepareIsolation")
    isolation.drop_capabilities(*_DROPPED)
    preparation = task.add_container(
        _NAME,
        image=ecs.ContainerImage.from_registry(helper.uri),
        essential=False,
        user="0:0",
        readonly_root_filesystem=True,
        linux_parameters=isolation,
        command=["sh", "-c", _SCRIPT, _NAME, AUTHORITY, _OWN_BUSYBOX, BUSYBOX, *writable],
        environment={"RDS_AUTHORITY": authority_of(cdk.Stack.of(task).region)},
        logging=log,
    )
    for path in (SHARED, *writable):
        volume = path.strip("/").replace("/", "-").replace(".", "_")
        task.add_volume(name=volume)
        mount = ecs.MountPoint(source_volume=volume, container_path=path, read_only=False)
        preparation.add_mount_points(mount)
        container.add_mount_points(ecs.MountPoint(source_volume=volume, container_path=path, read_only=path == SHARED))
    helper.allow_pulling(task.obtain_execution_role())
    container.add_container_dependencies(
        ecs.ContainerDependency(container=preparation, condition=ecs.ContainerDependencyCondition.SUCCESS)
    )


def authority_of(region: str) -> str:
    """PEM of one region's authority: a task definition has at most 64 KiB (ECS service quotas), Amazon's list has 39.

    Raises `ValueError` for a region that the list does not have.
    """
    bundle = Path(infra_runtime.contract.__file__).with_name("rds-authorities.pem").read_bytes()
    for each in x509.load_pem_x509_certificates(bundle):
        if f"CN=Amazon RDS {region} Root CA " in each.subject.rfc4514_string():
            return each.public_bytes(Encoding.PEM).decode().strip()
    raise ValueError(f"rds-authorities.pem has no authority of {region}; see tools/rds_authorities.mjs")
