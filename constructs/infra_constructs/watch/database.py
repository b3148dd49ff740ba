"""What is watched of the database."""

import aws_cdk as cdk
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_rds as rds
from constructs import Construct

from infra_constructs.alarms import AlarmSpec, Missing, Severity, Threshold, Topics, add_alarm

_GIB = 2**30
_PERIOD = cdk.Duration.minutes(5)
# RDS default: max_connections = DBInstanceClassMemory in bytes / 9531392, at most 5000. That memory is some per cent
# less than the class's nominal one, hence an alarm well below the nominal limit.
_BYTES_PER_CONNECTION = 9_531_392
_MOST_CONNECTIONS = 5000
_CONNECTIONS_SHARE = 0.7
_GIB_AT_LARGE = {"t": 8, "m": 8, "r": 16}
_SIZES = {"micro": 1 / 8, "small": 1 / 4, "medium": 1 / 2, "large": 1.0, "xlarge": 2.0}


def memory_gib(instance_class: str) -> float:
    """Nominal memory of a class such as `r8g.2xlarge`, in GiB. Raises `KeyError` for families not known here."""
    family, _, size = instance_class.partition(".")
    factor = _SIZES[size] if size in _SIZES else 2.0 * int(size.removesuffix("xlarge"))
    return _GIB_AT_LARGE[family[0]] * factor


class DatabaseAlarms(Construct):
    """Full, slow, or out of connections."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        database: rds.IDatabaseInstance,
        instance_class: str,
        storage_gib: int,
        topics: Topics,
    ) -> None:
        super().__init__(scope, id_)
        memory = memory_gib(instance_class)
        limit = min(memory * _GIB / _BYTES_PER_CONNECTION, _MOST_CONNECTIONS)
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
                threshold=Threshold(value=memory * _GIB * 0.05, unit="bytes free", breaches=3, periods=3, below=True),
                missing=Missing.IS_IGNORED,
            ),
            "Connections": AlarmSpec(
                runbook="database-connections",
                means="New requests will soon find no database connection.",
                severity=Severity.CRITICAL,
                metric=_metric(database, "DatabaseConnections", "Maximum"),
                threshold=Threshold(
                    value=float(int(limit * _CONNECTIONS_SHARE)), unit="connections", breaches=2, periods=3
                ),
                missing=Missing.IS_BAD,
            ),
        }
        for name, spec in specs.items():
            add_alarm(self, name, topics=topics, spec=spec)


def _metric(database: rds.IDatabaseInstance, name: str, statistic: str) -> cloudwatch.Metric:
    return database.metric(name, period=_PERIOD, statistic=statistic)
