"""Traces of an environment: a value per minute for each metric that alarms use, quiet unless the caller sets it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from simulators.aws.cloudwatch.alarms import MetricQuery, Trace
from simulators.aws.cloudwatch.metric_math import Series

OUTAGES = Path(__file__).parent / "outages"
"""Recordings by tools/record_outages.py, a file each."""
MINUTES, BEGINS, ENDS = 60, 15, 35
"""Length of a recording, and the minutes in which its outage begins and ends."""
_GIB = float(2**30)
# Values of a quiet minute. None: the metric is published only when something happens. A metric that is missing here is
# an error.
_QUIET: dict[str, float | None] = {
    "RequestCount": 600,
    "HTTPCode_Target_5XX_Count": None,
    "HTTPCode_ELB_5XX_Count": None,
    "TargetResponseTime": 0.12,
    # Percentage of requests that are answered in time.
    "Fast": 99.8,
    "RejectedConnectionCount": None,
    "HealthyHostCount": 3,
    "DesiredTaskCount": 3,
    "RunningTaskCount": 3,
    "CPUUtilization": 30,
    "MemoryUtilization": 50,
    "FreeStorageSpace": 60 * _GIB,
    "FreeableMemory": 8 * _GIB,
    "DatabaseConnections": 20,
    "Deadlocks": None,
    "OldestReplicationSlotLag": None,
    "RestorePointMinutes": 4,
    "SnapshotHours": 10,
    "RestoreDrillDays": 12,
    "RestoreDrillFailed": None,
    "RestoreDrillRpoMinutes": None,
    "RestoreDrillRtoMinutes": None,
    "BackupJobFailed": None,
    "Unusable": 0,
    "PingMilliseconds": 0.6,
    "ErrorRatePercent": 0,
    "KeysWithoutExpiry": 3,
    "ConnectionsPercent": 5,
    "EngineCPUUtilization": 2,
    "DatabaseMemoryUsagePercentage": 4,
    "Evictions": 0,
    "CurrConnections": 40,
    "ReplicationLag": 0,
    "ErrorPortAllocation": 0,
    "Errors": None,
    "Throttles": None,
    "Released": None,
    "WentBack": None,
    "RequestHitPercent": 91,
    "ByteHitPercent": 86,
    "MemoryUsedPercent": 5,
    "Duration": 900,
    "FailedInvocations": None,
    "MatchedEvents": None,
    "TasksBehindSecretHours": 0,
    "DriftedRules": 0,
    "MissingRules": 0,
    "RangesAdded": None,
    "ClientCertificateDays": 200,
    "DaysToExpiry": 150,
    "CheckFailed": 0,
    "CheckMilliseconds": 300,
    "Requests": 3000,
    "ServerErrors": 2,
    "SecurityEvents": 40,
    "DdosEvents": 0,
    "Windows": 0.2,  # one in five minutes
    "ServedMediaBytes": 20 * _GIB / 1440,
    "GetRequests": 200,
    "BytesDownloaded": 3 * _GIB / 1440,
    "AllRequests": 400,
    "4xxErrors": 4,
    "5xxErrors": None,
    "UploadsWithThreats": None,
    "UploadsNotScanned": None,
    "ApproximateAgeOfOldestMessage": 1,
    "ApproximateNumberOfMessagesVisible": 0,
}


def trace(minutes: int, changed: Mapping[str, Series] | None = None) -> Trace:
    """`changed` by metric, or by metric and subject: a service, a check."""
    known = dict(changed or {})

    def answer(asked: MetricQuery) -> Series | None:
        # Blue serves; green has no data.
        if "Green" in asked.dimensions:
            return None
        name = "Fast" if asked.statistic.startswith("PR(") else asked.name
        for key in (*(f"{name} {each}" for each in _subjects(asked)), name):
            if key in known:
                return known[key]
        if name not in _QUIET:
            raise KeyError(f"{name}: its value in a quiet minute is missing in _QUIET of {__name__}")
        if (value := _QUIET[name]) is None:
            return None
        return np.full(minutes, float(value))

    return answer


def _subjects(asked: MetricQuery) -> list[str]:
    """Possible subjects of a metric: from its dimensions, from the stacks that they refer to, or from its path."""
    if found := re.search(r'"Name": "(?:Check|Host|Service)", "Value": "([^"]+)"', asked.dimensions):
        return [found[1]]
    return [*re.findall(r"-([a-z0-9]+):Exports", asked.dimensions), *asked.where.lower().split("/")]


def recorded(outage: str, *, connections: int) -> dict[str, Series]:
    """A recording. It holds the database's connections as a share of its limit, which is `connections` here."""
    rows: dict[str, list[float | None]] = json.loads((OUTAGES / f"{outage}.json").read_text())
    series = {
        key: np.array([np.nan if each is None else each for each in values], dtype=float)
        for key, values in rows.items()
    }
    series["DatabaseConnections"] = series["DatabaseConnections"] * connections
    return series
