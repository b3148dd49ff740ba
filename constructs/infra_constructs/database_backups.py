"""How old the newest backup and the last restore drill are, published as metrics."""

import aws_cdk as cdk
from aws_cdk import aws_iam as iam
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra_constructs.arns import arn_of
from infra_constructs.findings import acknowledge, allows_on
from infra_constructs.function import RuntimeFunction
from infra_constructs.state_store import StateStore


class BackupWatch(Construct):
    """Reads RDS every five minutes (infra_runtime.database.backups)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        environment: str,
        database: rds.IDatabaseInstance,
        drills: StateStore | None,
    ) -> None:
        """`drills` holds the results of restore drills; None without drills."""
        super().__init__(scope, id_)
        self.handler = RuntimeFunction(
            self,
            "Handler",
            module="database.backups",
            description="Publishes the age of the database's newest backup",
            timeout=cdk.Duration.seconds(30),
            environment={
                "ENVIRONMENT": environment,
                "DATABASE": database.instance_identifier,
                **({"DRILLS": drills.prefix} if drills else {}),
            },
        )
        if drills is not None:
            drills.grant(self.handler, writes=False)
        snapshots = arn_of(self, "rds", "snapshot:*")
        for actions, resource in (
            (["rds:DescribeDBInstances"], database.instance_arn),
            (["rds:DescribeDBSnapshots"], database.instance_arn),
            (["rds:DescribeDBSnapshots"], snapshots),
        ):
            self.handler.role.add_to_policy(iam.PolicyStatement(actions=actions, resources=[resource]))
        acknowledge(self.handler.policy, allows_on(snapshots), reason="It only reads; RDS names its own snapshots.")
        self.handler.run_every(
            cdk.Duration.minutes(5), self, "Often", description="Publishes the age of the database's newest backup"
        )
