"""PostgreSQL that can be neither lost nor reached by accident."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra_constructs.findings import acknowledge, allows_on, uses_managed_policy
from infra_constructs.retention import Retention

# The major version alone: AWS upgrades the minor one in the maintenance window, and RDS refuses the downgrade that a
# full version would then ask for.
_ENGINES: Mapping[int, rds.IInstanceEngine] = MappingProxyType(
    {
        17: rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_17),
        18: rds.DatabaseInstanceEngine.postgres(version=rds.PostgresEngineVersion.VER_18),
    }
)
# The same for every version: restores and drills check that an instance has them.
PARAMETERS = {
    "rds.force_ssl": "1",
    # A release must never wait for ever behind a lock, nor make readers wait behind itself.
    "idle_in_transaction_session_timeout": "60000",
    "log_min_duration_statement": "1000",
    "log_lock_waits": "1",
    "log_temp_files": "10240",
    "log_autovacuum_min_duration": "10000",
    "log_disconnections": "1",
    "shared_preload_libraries": "pg_stat_statements",
    "track_io_timing": "1",
    # Rows tell when they were committed, and so how far a restored database reaches (database/inspection.py).
    "track_commit_timestamp": "1",
    # Major upgrades use it (docs/adr/0030). Turning it on takes a restart, so it is always on.
    "rds.logical_replication": "1",
}
# RDS refuses a switch since PostgreSQL 18, where this became a list of what to log.
_LOG_CONNECTIONS = {17: "1", 18: "all"}


@dataclass(frozen=True, kw_only=True)
class DatabaseProps:
    """What an environment may choose."""

    version: int
    """Major version of PostgreSQL."""
    instance_type: ec2.InstanceType
    multi_az: bool
    storage_gib: int
    max_storage_gib: int
    pitr_days: int
    insights: Literal["standard", "advanced"]
    retention: Retention


class Database(Construct):
    """Stateful: a new id, here or above, is a new, empty database (docs/runbooks/database-replace.md)."""

    name = "app"
    master_username = "postgres"
    port = 5432

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        vpc: ec2.IVpc,
        key: kms.IKey,
        clients: Sequence[ec2.ISecurityGroup],
        props: DatabaseProps,
    ) -> None:
        super().__init__(scope, id_)
        advanced = props.insights == "advanced"
        self.security_group = ec2.SecurityGroup(
            self, "SecurityGroup", vpc=vpc, description="PostgreSQL from the services", allow_all_outbound=False
        )
        for client in clients:
            self.allow_from(client)
        # For every version: an upgrade needs the next one's, and its rollback the one before.
        groups = {
            version: rds.ParameterGroup(
                self,
                f"Parameters{version}",
                engine=engine,
                parameters={**PARAMETERS, "log_connections": _LOG_CONNECTIONS[version]},
            )
            for version, engine in _ENGINES.items()
        }
        for each in groups.values():
            # CDK makes a group only when it is bound.
            each.bind_to_instance()
        self.instance = rds.DatabaseInstance(
            self,
            "Instance",
            engine=_ENGINES[props.version],
            instance_type=props.instance_type,
            vpc=vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[self.security_group],
            publicly_accessible=False,
            database_name=self.name,
            # RDS generates the password, keeps it in Secrets Manager and rotates it; no person enters or sees it.
            credentials=rds.Credentials.from_username(self.master_username),
            manage_master_user_password=True,
            multi_az=props.multi_az,
            storage_type=rds.StorageType.GP3,
            allocated_storage=props.storage_gib,
            max_allocated_storage=props.max_storage_gib,
            storage_encrypted=True,
            storage_encryption_key=key,
            # Times in UTC: the quiet hours of Europe and the Middle East, the backup before the maintenance.
            backup_retention=cdk.Duration.days(props.pitr_days),
            preferred_backup_window="00:30-01:30",
            preferred_maintenance_window="sun:02:00-sun:03:00",
            delete_automated_backups=not props.retention.is_kept,
            copy_tags_to_snapshot=True,
            auto_minor_version_upgrade=True,
            allow_major_version_upgrade=False,
            ca_certificate=rds.CaCertificate.RDS_CA_RSA2048_G1,
            iam_authentication=True,
            parameter_group=groups[props.version],
            database_insights_mode=(
                rds.DatabaseInsightsMode.ADVANCED if advanced else rds.DatabaseInsightsMode.STANDARD
            ),
            enable_performance_insights=True,
            performance_insight_encryption_key=key,
            performance_insight_retention=(
                rds.PerformanceInsightRetention.MONTHS_15 if advanced else rds.PerformanceInsightRetention.DEFAULT
            ),
            monitoring_interval=cdk.Duration.seconds(60),
            cloudwatch_logs_exports=["postgresql", "upgrade"],
            # RDS creates the log groups itself, and would keep them for ever.
            cloudwatch_logs_retention=logs.RetentionDays.THREE_MONTHS,
            deletion_protection=props.retention.is_kept,
            removal_policy=props.retention.snapshots,
        )
        login = self.instance.secret
        assert login is not None, "RDS manages the password, so there is a secret"
        self.login = login
        self._acknowledge(props)

    def allow_from(self, client: ec2.ISecurityGroup) -> None:
        self.security_group.connections.allow_from(client, ec2.Port.tcp(self.port))

    def _acknowledge(self, props: DatabaseProps) -> None:
        monitoring = self.instance.node.find_child("MonitoringRole")
        assert isinstance(monitoring, Construct)
        acknowledge(
            monitoring,
            uses_managed_policy("service-role/AmazonRDSEnhancedMonitoringRole"),
            reason="Enhanced monitoring takes exactly this policy, which writes to its own log group and nothing else.",
        )
        # CDK's singleton that sets the retention of log groups which RDS creates.
        setter = cdk.Stack.of(self).node.find_child("LogRetentionaae0aa3c5b4d4f87b02d85b201efdd8a")
        role = setter.node.find_child("ServiceRole")
        acknowledge(
            role,
            uses_managed_policy("service-role/AWSLambdaBasicExecutionRole"),
            reason="CDK gives its own function this role; it writes the function's log and nothing else.",
        )
        acknowledge(
            role.node.find_child("DefaultPolicy"),
            allows_on("*"),
            reason="CDK lets its own function set retentions of any log group: one function serves the whole stack.",
        )
        if not props.multi_az:
            acknowledge(
                self.instance,
                "AwsSolutions-RDS3",
                reason="The environment chose one zone: its data is disposable and an outage is acceptable.",
            )
        if not props.retention.is_kept:
            acknowledge(
                self.instance,
                "AwsSolutions-RDS10",
                reason=f"The environment declares its data disposable: {props.retention.reason}",
            )
        acknowledge(
            self.instance,
            "AwsSolutions-RDS11",
            reason="Port 5432 is only reachable from the services' security groups; another number hides nothing.",
        )
