"""What is watched of the database."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra_constructs.alarms import AlarmSpec, Missing, Severity, Threshold, Topics, add_alarm

_GIB = 2**30
_PERIOD = cdk.Duration.minutes(5)
_CONNECTIONS_SHARE = 0.7


class DatabaseAlarms(Construct):
    """Full, slow, out of connections, or with a password that does not change."""

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
        topics: Topics,
    ) -> None:
        super().__init__(scope, id_)
        specs = {
            "Storage": AlarmSpec(
                runbook="database-storage",
                means="The database is about to run out of storage and then accepts no more writes.",
                severity=Severity.CRITICAL,
                metric=_metric(database, "FreeStorageSpace", "Minimum"),
                # RDS enlarges the storage itself at ten per cent left; below five it has not managed to.
                threshold=Threshold(
                    value=storage_gib * _GIB * 0.05, unit="bytes free", breaches=2, periods=2, below=True
                ),
                missing=Missing.IS_BAD,
            ),
            "Cpu": AlarmSpec(
                runbook="database-cpu",
                means="Queries wait for CPU; pages get slow.",
                severity=Severity.WARNING,
                metric=_metric(database, "CPUUtilization", "Average"),
                threshold=Threshold(value=80, unit="% CPU", breaches=3, periods=3),
                missing=Missing.IS_IGNORED,
            ),
            "Memory": AlarmSpec(
                runbook="database-memory",
                means="The database is short of memory; it will swap, then restart.",
                severity=Severity.WARNING,
                metric=_metric(database, "FreeableMemory", "Minimum"),
                threshold=Threshold(
                    value=memory_gib * _GIB * 0.05, unit="bytes free", breaches=3, periods=3, below=True
                ),
                missing=Missing.IS_IGNORED,
            ),
            "Connections": AlarmSpec(
                runbook="database-connections",
                means="New requests will soon find no database connection.",
                severity=Severity.CRITICAL,
                metric=_metric(database, "DatabaseConnections", "Maximum"),
                threshold=Threshold(
                    value=float(int(connections * _CONNECTIONS_SHARE)), unit="connections", breaches=2, periods=3
                ),
                missing=Missing.IS_BAD,
            ),
        }
        specs["Rotation"] = AlarmSpec(
            runbook="database-logins",
            means="A login of the database was not rotated; the old password goes on.",
            severity=Severity.WARNING,
            metric=rotation.metric_errors(period=_PERIOD, statistic="Sum"),
            threshold=Threshold(value=0, unit="failed steps", breaches=1, periods=1),
            missing=Missing.IS_GOOD,
        )
        for name, spec in specs.items():
            add_alarm(self, name, topics=topics, spec=spec)


def _metric(database: rds.IDatabaseInstance, name: str, statistic: str) -> cloudwatch.Metric:
    return database.metric(name, period=_PERIOD, statistic=statistic)
