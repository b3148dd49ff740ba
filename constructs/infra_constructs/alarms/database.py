"""Alarms on the database."""

from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra_constructs.alarms.alarm import AlarmSpec, Severity, Threshold, Topics, TreatMissing, add_alarms
from infra_constructs.metrics import own_metric
from infra_runtime.contract.metrics import DATABASE, DatabaseMetric

_GIB = 2**30
_PERIOD, _MINUTE = cdk.Duration.minutes(5), cdk.Duration.minutes(1)
_CONNECTIONS_SHARE = 0.7


@dataclass(frozen=True, kw_only=True)
class RecoveryProps:
    """Recovery objectives, with which each restore drill is compared."""

    rpo_minutes: int
    rto_minutes: int


class DatabaseAlarms(Construct):
    """The database is full, slow, out of connections, or its password is not rotated."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        database: rds.IDatabaseInstance,
        memory_gib: float,
        connections: int,
        storage_gib: int,
        rotation: lambda_.IFunction,
        recovery: RecoveryProps | None,
        environment: str,
        topics: Topics,
    ) -> None:
        super().__init__(scope, id_)
        deadlocks = logs.MetricFilter(
            self,
            "DeadlocksInLog",
            # RDS has no metric for PostgreSQL's deadlocks, but PostgreSQL logs a line for each.
            log_group=logs.LogGroup.from_log_group_name(
                self, "Log", f"/aws/rds/instance/{database.instance_identifier}/postgresql"
            ),
            filter_pattern=logs.FilterPattern.literal('"deadlock detected"'),
            # A filter has no dimensions of its own, and environments may share an account.
            metric_namespace=f"{DATABASE}/{environment}",
            metric_name=DatabaseMetric.DEADLOCKS.value,
        )
        specs = {
            "Storage": AlarmSpec(
                runbook="database-storage",
                description="The database is about to run out of storage and then accepts no more writes.",
                severity=Severity.CRITICAL,
                paged_by_composite=True,
                metric=_metric(database, "FreeStorageSpace", "Minimum"),
                # RDS enlarges the storage itself at ten per cent left; below five it has not managed to.
                threshold=Threshold(
                    value=storage_gib * _GIB * 0.05, unit="bytes free", breaches=2, periods=2, below=True
                ),
                missing=TreatMissing.BREACHING,
            ),
            "Cpu": AlarmSpec(
                runbook="database-cpu",
                description="Queries wait for CPU; pages get slow.",
                severity=Severity.WARNING,
                metric=_metric(database, "CPUUtilization", "Average"),
                threshold=Threshold(value=80, unit="% CPU", breaches=3, periods=3),
                missing=TreatMissing.IGNORE,
            ),
            "Memory": AlarmSpec(
                runbook="database-memory",
                description="The database is short of memory; it will swap, then restart.",
                severity=Severity.WARNING,
                metric=_metric(database, "FreeableMemory", "Minimum"),
                threshold=Threshold(
                    value=memory_gib * _GIB * 0.05, unit="bytes free", breaches=3, periods=3, below=True
                ),
                missing=TreatMissing.IGNORE,
            ),
            "Connections": AlarmSpec(
                runbook="database-connections",
                description="New requests will soon get no database connection.",
                severity=Severity.CRITICAL,
                paged_by_composite=True,
                metric=_metric(database, "DatabaseConnections", "Maximum", _MINUTE),
                threshold=Threshold(
                    value=float(int(connections * _CONNECTIONS_SHARE)), unit="connections", breaches=3, periods=5
                ),
                missing=TreatMissing.BREACHING,
            ),
        }
        specs |= {
            "Deadlocks": AlarmSpec(
                runbook="database-deadlocks",
                description="The database aborts transactions in deadlocks; users see errors.",
                severity=Severity.WARNING,
                metric=deadlocks.metric(period=_PERIOD, statistic="Sum"),
                threshold=Threshold(value=1, unit="deadlocks in 5 minutes", breaches=3, periods=6),
                missing=TreatMissing.NOT_BREACHING,
            ),
            "ReplicationSlot": AlarmSpec(
                runbook="database-replication-lag",
                description="A replication slot's reader has stopped; the log that it has not read fills the storage.",
                severity=Severity.WARNING,
                metric=_metric(database, "OldestReplicationSlotLag", "Maximum"),
                threshold=Threshold(value=storage_gib * _GIB * 0.1, unit="bytes behind", breaches=3, periods=3),
                # Most of the time there is no data.
                missing=TreatMissing.NOT_BREACHING,
            ),
            "RestorePoint": AlarmSpec(
                runbook="database-backups",
                description="RDS is not saving the database's log: what is written now could not be restored.",
                severity=Severity.WARNING,
                metric=backup_metric(environment, DatabaseMetric.RESTORE_POINT_AGE),
                # RDS saves it every five minutes.
                threshold=Threshold(
                    value=recovery.rpo_minutes if recovery else 30, unit="minutes", breaches=2, periods=3
                ),
                missing=TreatMissing.BREACHING,
            ),
            "Snapshot": AlarmSpec(
                runbook="database-backups",
                description="There was no daily backup of the database; a restore takes longer with each day.",
                severity=Severity.WARNING,
                metric=backup_metric(environment, DatabaseMetric.SNAPSHOT_AGE),
                # A day, the hour of the backup window, and the hours that a large backup takes.
                threshold=Threshold(value=30, unit="hours", breaches=3, periods=3),
                missing=TreatMissing.BREACHING,
            ),
        }
        specs["Rotation"] = AlarmSpec(
            runbook="database-logins",
            description="A login of the database was not rotated; the old password stays in use.",
            severity=Severity.WARNING,
            metric=rotation.metric_errors(period=_PERIOD, statistic="Sum"),
            threshold=Threshold(value=0, unit="failed steps", breaches=1, periods=1),
            missing=TreatMissing.NOT_BREACHING,
        )
        if recovery is not None:
            specs |= _of_drills(environment, recovery)
        self.alarms = add_alarms(self, specs, topics=topics)


def _of_drills(environment: str, recovery: RecoveryProps) -> dict[str, AlarmSpec]:
    """Each drill publishes one number, so the alarm keeps its state until the next drill."""
    return {
        "Drill": AlarmSpec(
            runbook="restore-drill",
            description="The last restore drill failed: a backup of the database may not be restorable.",
            severity=Severity.WARNING,
            metric=backup_metric(environment, DatabaseMetric.DRILL_FAILED),
            threshold=Threshold(value=0, unit="failed drills", breaches=1, periods=1),
            missing=TreatMissing.IGNORE,
        ),
        "DrillAge": AlarmSpec(
            runbook="restore-drill-overdue",
            description="No restore drill of the database has succeeded for 35 days.",
            severity=Severity.WARNING,
            metric=backup_metric(environment, DatabaseMetric.DRILL_AGE),
            # A month, and the hours within which AWS Backup begins.
            threshold=Threshold(value=35, unit="days", breaches=3, periods=3),
            missing=TreatMissing.BREACHING,
        ),
        "DrillRpo": AlarmSpec(
            runbook="restore-objectives",
            description="A restore would lose more than rpo_minutes of writes.",
            severity=Severity.WARNING,
            metric=backup_metric(environment, DatabaseMetric.DRILL_RPO),
            threshold=Threshold(value=recovery.rpo_minutes, unit="minutes", breaches=1, periods=1),
            missing=TreatMissing.IGNORE,
        ),
        "DrillRto": AlarmSpec(
            runbook="restore-objectives",
            description="A restore of the database takes longer than rto_minutes.",
            severity=Severity.WARNING,
            metric=backup_metric(environment, DatabaseMetric.DRILL_RTO),
            threshold=Threshold(value=recovery.rto_minutes, unit="minutes", breaches=1, periods=1),
            missing=TreatMissing.IGNORE,
        ),
        "BackupJob": AlarmSpec(
            runbook="database-backups",
            description="AWS Backup could not back up the database, or could not copy its backup.",
            severity=Severity.WARNING,
            metric=backup_metric(environment, DatabaseMetric.BACKUP_JOB_FAILED),
            threshold=Threshold(value=0, unit="failed jobs", breaches=1, periods=1),
            missing=TreatMissing.NOT_BREACHING,
        ),
    }


def _metric(
    database: rds.IDatabaseInstance, name: str, statistic: str, period: cdk.Duration = _PERIOD
) -> cloudwatch.Metric:
    return database.metric(name, period=period, statistic=statistic)


def backup_metric(environment: str, name: DatabaseMetric) -> cloudwatch.Metric:
    """A metric of infra_runtime.database.backups, every five minutes, or of database.drills, after each drill."""
    return own_metric(environment, name, statistic="Maximum", period=_PERIOD)
