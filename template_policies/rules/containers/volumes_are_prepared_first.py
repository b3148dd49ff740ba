"""A container starts after its volumes are prepared, writes only to them, and needs nothing else in its image."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.containers import TASK, main_container, preparing, tasks_without_users, variables
from template_policies.graph import short

PATH = "ContainerDefinitions"
AUTHORITY = "/infra/rds-authority.pem"
# From reports, as AWS documents only a writable root: containers-roadmap #1359 and #2824.
ENTERED = {"/tmp", "/managed-agents", "/var/lib/amazon/ssm", "/var/log/amazon/ssm"}  # noqa: S108


@policy(
    reason="A new volume belongs to root: without preparation, a container fails at its first write. Without "
    "RDS's CA certificate it fails to connect to the database.",
    failure=Failure.TASK_DIES,
    reads={TASK: (PATH, "Volumes"), "AWS::ECS::Service": ("LoadBalancers", "TaskDefinition")},
)
def check(graph: Graph) -> Iterator[Violation]:
    workers = tasks_without_users(graph)
    for task in graph.of(TASK):
        container, prepare = main_container(task), preparing(task)
        name = container.get("Name")
        if container.get("DependsOn") != [{"ContainerName": "prepare", "Condition": "SUCCESS"}]:
            yield task.violation(f"{PATH}.{name}.DependsOn", "must wait for prepare to succeed")
        # ECS refuses a task definition whose init container is essential.
        if (prepare.get("Essential"), container.get("Essential")) != (False, True):
            yield task.violation(f"{PATH}.{name}.Essential", "must be true, and false for prepare")
        check_ = container.get("HealthCheck")
        if check_ is not None and (
            task.where not in workers or check_.get("Fn::If", [0, 0])[1] != {"Ref": "AWS::NoValue"}
        ):
            # A worker's own command, after its first release.
            yield task.violation(
                f"{PATH}.{name}.HealthCheck", f"is {short(check_)}: the image need not have the command"
            )
        prepared = {str(each.get("ContainerPath")): each.get("SourceVolume") for each in prepare.get("MountPoints", [])}
        mounts = container.get("MountPoints", [])
        mounted = {str(each.get("ContainerPath")): each.get("SourceVolume") for each in mounts}
        volumes = {each.get("Name") for each in task.items("Volumes")}
        if mounted != prepared or set(mounted.values()) != volumes:
            yield task.violation(f"{PATH}.{name}.MountPoints", f"are {short(mounted)}, prepare has {short(prepared)}")
        if [each.get("ContainerPath") for each in mounts if each.get("ReadOnly")] != ["/infra"]:
            yield task.violation(f"{PATH}.{name}.MountPoints", "must be read-only at /infra and nowhere else")
        if any(each.get("ReadOnly") for each in prepare.get("MountPoints", [])):
            yield task.violation(f"{PATH}.prepare.MountPoints", "must be writable")
        writable = [each.get("ContainerPath") for each in mounts if not each.get("ReadOnly")]
        if name == "one-off" and set(writable) != ENTERED:
            yield task.violation(f"{PATH}.{name}.MountPoints", f"must have what ECS Exec writes to: {sorted(ENTERED)}")
        command = prepare.get("Command") or []
        if not writable or command[-len(writable) :] != writable:
            yield task.violation(f"{PATH}.prepare.Command", f"must end with {short(writable)}")
        plain = variables(container)
        wanted = {"NODE_EXTRA_CA_CERTS": AUTHORITY, "PGSSLROOTCERT": AUTHORITY, "HOSTNAME": "0.0.0.0", "HOME": "/tmp"}  # noqa: S104, S108
        for key, value in wanted.items():
            if plain.get(key) != value:
                yield task.violation(
                    f"{PATH}.{name}.Environment", f"has {key} {short(plain.get(key))}, must be {value}"
                )
        if "SSL_CERT_FILE" in plain:
            yield task.violation(
                f"{PATH}.{name}.Environment", "has SSL_CERT_FILE: it hides the image's own authorities"
            )
        if "BEGIN CERTIFICATE" not in str(variables(prepare).get("RDS_AUTHORITY")):
            yield task.violation(f"{PATH}.prepare.Environment", "must have RDS's CA certificate")
