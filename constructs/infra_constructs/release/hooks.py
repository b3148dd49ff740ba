"""ECS's deployment hooks: migrations before new tasks start, checks before users reach them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from constructs import Construct, IDependable

from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import InVpc, RuntimeFunction
from infra_constructs.release.image import ReleasedImage
from infra_constructs.release.ledger import ReleaseLedger
from infra_constructs.release.migration import MigrationTask

# Lambda gives a function of this size one vCPU (its guide, "Memory and computing power"): layers are unpacked here.
_ONE_CPU_MIB = 1769
# By libpq's names; PGUSER only where the secret does not name the login.
_CONNECTION = ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER")


@dataclass(frozen=True, kw_only=True)
class ReleaseCheckProps:
    """What each new task has to answer: 200 at the path and, if there are any, the expected fields of its JSON."""

    path: str
    version_field: str | None = None
    """Dotted name of the field that repeats the variable RELEASE."""
    expect: Mapping[str, str] = field(default_factory=dict)
    """Values of fields, by dotted name."""


class ReleaseHook(Construct):
    """A function that ECS calls at one stage, again and again until it has an answer (infra_runtime.release)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        handler: RuntimeFunction,
        stage: ecs.DeploymentLifecycleStage,
        cluster: ecs.ICluster,
        needs: Sequence[IDependable] = (),
    ) -> None:
        super().__init__(scope, id_)
        self.handler = handler
        # Not CDK's own role: that one may call every version of the function.
        caller = iam.Role(self, "Caller", assumed_by=iam.ServicePrincipal("ecs.amazonaws.com"))
        caller.add_to_policy(
            iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[handler.function.function_arn])
        )
        policy = caller.node.find_child("DefaultPolicy")
        assert isinstance(policy, iam.Policy)
        self.needs: tuple[IDependable, ...] = (policy, handler.policy, *needs)
        """Permissions without which ECS cannot invoke the hook, or the function cannot answer."""
        self.target = ecs.DeploymentLifecycleLambdaTarget(
            handler.function, id_, lifecycle_stages=[stage], role=caller.without_policy_updates()
        )
        # A revision is read only by someone who may read its service, too (AWS's Service Authorization Reference).
        revisions = [arn_of(self, "ecs", f"{kind}/*") for kind in ("service", "service-revision")]
        reads = {
            "ecs:DescribeServiceRevisions": revisions,
            "ecs:DescribeTaskDefinition": ["*"],  # neither resource-level permissions nor the condition ecs:cluster
        }
        for action, resources in reads.items():
            handler.role.add_to_policy(iam.PolicyStatement(actions=[action], resources=resources))
            for each in resources:
                acknowledge(handler.policy, allows_on(each), reason="Reads only; each release brings a new revision.")
        handler.role.add_to_policy(
            iam.PolicyStatement(
                actions=["ecs:ListTasks", "ecs:DescribeTasks"],
                resources=["*"],
                conditions={"ArnEquals": {"ecs:cluster": cluster.cluster_arn}},
            )
        )


def migrate_hook(
    scope: Construct,
    id_: str,
    *,
    service: str,
    migration: MigrationTask,
    vpc: ec2.IVpc,
    security_group: ec2.ISecurityGroup,
    cluster: ecs.ICluster,
    ledger: ReleaseLedger,
    image: ReleasedImage,
) -> ReleaseHook:
    """Runs before any task of the new version starts; the database admits `security_group`."""
    connection = {name: value for name, value in migration.settings.values.items() if name in _CONNECTION}
    handler = RuntimeFunction(
        scope,
        f"{id_}Handler",
        module="release.migrate",
        description="Runs the migrations of a new version, before it starts",
        # Of these, at most three minutes for the image's layers.
        timeout=cdk.Duration.minutes(5),
        memory_mib=_ONE_CPU_MIB,
        environment={
            "SERVICE": service,
            "LEDGER": ledger.table.table_name,
            "REPOSITORY": image.repository_uri,
            "MINUTES": str(int(migration.longest.to_minutes())),
            "LOGIN_SECRET": migration.login.secret_arn,
            **connection,
        },
        uses_libraries=True,
        place=InVpc(vpc=vpc, security_group=security_group),
    )
    migration.login.grant_read(handler.role)
    definition, stack = migration.task.definition, cdk.Stack.of(scope)
    every_revision = arn_of(stack, "ecs", f"task-definition/{definition.family}:*")
    handler.role.add_to_policy(
        iam.PolicyStatement(
            actions=["ecs:RunTask"],
            resources=[every_revision],
            conditions={"ArnEquals": {"ecs:cluster": cluster.cluster_arn}},
        )
    )
    acknowledge(
        handler.policy, allows_on(every_revision), reason="Each release has a revision of its own to migrate with."
    )
    handler.role.add_to_policy(
        iam.PolicyStatement(
            actions=["iam:PassRole"],
            resources=[definition.task_role.role_arn, definition.obtain_execution_role().role_arn],
            conditions={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}},
        )
    )
    tasks = arn_of(stack, "ecs", "task/*")
    handler.role.add_to_policy(
        iam.PolicyStatement(
            actions=["ecs:StopTask"],
            resources=[tasks],
            conditions={"ArnEquals": {"ecs:cluster": cluster.cluster_arn}},
        )
    )
    acknowledge(handler.policy, allows_on(tasks), reason="Of this cluster only; ECS makes a task's id.")
    # A deployment is read only by someone who may read its service, too (AWS's Service Authorization Reference).
    deployments = [arn_of(stack, "ecs", f"{kind}/*") for kind in ("service", "service-deployment")]
    handler.role.add_to_policy(iam.PolicyStatement(actions=["ecs:DescribeServiceDeployments"], resources=deployments))
    for each in deployments:
        acknowledge(handler.policy, allows_on(each), reason="Reads only; any service may hold the lock.")
    migration.task.logs.grant(handler.role, "logs:GetLogEvents")
    migration.image.allow_reading(handler.role)
    ledger.grant_writing(handler)
    ledger.table.grant(handler.role, "dynamodb:GetItem")
    return ReleaseHook(
        scope,
        id_,
        handler=handler,
        stage=ecs.DeploymentLifecycleStage.PRE_SCALE_UP,
        cluster=cluster,
        # A stack that is created again migrates at once: its image was released before.
        needs=[definition.obtain_execution_role()],
    )


def verify_hook(
    scope: Construct,
    id_: str,
    *,
    service: str,
    ledger: ReleaseLedger,
    vpc: ec2.IVpc,
    security_group: ec2.ISecurityGroup,
    cluster: ecs.ICluster,
    port: int,
    check: ReleaseCheckProps,
    image: ReleasedImage,
) -> ReleaseHook:
    """Checks each task of the new version by its own address, before users reach it."""
    handler = RuntimeFunction(
        scope,
        f"{id_}Handler",
        module="release.verify",
        description="Checks each task of a new version before users reach it",
        timeout=cdk.Duration.minutes(2),
        environment={
            "SERVICE": service,
            "LEDGER": ledger.table.table_name,
            "RELEASE_PATH": check.path,
            "PORT": str(port),
            **({"VERSION_FIELD": check.version_field} if check.version_field else {}),
            **({"EXPECT": json.dumps(dict(check.expect))} if check.expect else {}),
            "REPOSITORY": image.repository_uri,
        },
        place=InVpc(vpc=vpc, security_group=security_group),
    )
    ledger.grant_writing(handler)
    return ReleaseHook(
        scope, id_, handler=handler, stage=ecs.DeploymentLifecycleStage.POST_TEST_TRAFFIC_SHIFT, cluster=cluster
    )
