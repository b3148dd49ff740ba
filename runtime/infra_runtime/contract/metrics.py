"""Metrics through the log: CloudWatch extracts them (embedded metric format) without an API call."""

import json
import time
from collections.abc import Mapping
from enum import StrEnum
from typing import Any

EDGE, REDIS, CHECKS = "Infra/Edge", "Infra/Redis", "Infra/Checks"
DATABASE, RELEASES, JOBS, SECRETS = "Infra/Database", "Infra/Releases", "Infra/Jobs", "Infra/Secrets"
QUEUES, MEDIA = "Infra/Queues", "Infra/Media"


class EdgeMetric(StrEnum):
    """Metrics of the edge, by Environment. Alarms take the names from here: a misspelled one would never fire."""

    DRIFTED_RULES = "DriftedRules"
    MISSING_RULES = "MissingRules"
    FOREIGN_RULES = "ForeignRules"
    RANGES_ADDED = "RangesAdded"
    RANGES_REMOVED = "RangesRemoved"
    CLIENT_CERTIFICATE_LEFT = "ClientCertificateDays"


class TrafficMetric(StrEnum):
    """What Cloudflare has counted, five minutes at a time, under the edge's namespace: the data point of each window is
    written once. By Environment and Host, but for the last six, which are by Environment."""

    REQUESTS = "Requests"
    """Also by CacheStatus."""
    BYTES = "EdgeBytes"
    HITS = "CachedRequests"
    HIT_BYTES = "CachedBytes"
    SERVER_ERRORS = "ServerErrors"
    """What users got as 5xx, Cloudflare's own 52x included."""
    REQUEST_HIT_RATIO = "RequestHitPercent"
    BYTE_HIT_RATIO = "ByteHitPercent"
    SECURITY_EVENTS = "SecurityEvents"
    """Also by Action and Source."""
    DDOS_EVENTS = "DdosEvents"
    MEDIA_REQUESTS = "ServedMediaRequests"
    """Requests to the media host that got 200 or 206: without a cache, S3 would have answered them."""
    MEDIA_BYTES = "ServedMediaBytes"
    """Sent in these answers."""
    SAMPLE_INTERVAL = "SampleInterval"
    """Cloudflare counted one request in so many; 1 is all."""
    WINDOWS = "Windows"
    """1 for each window that was published."""


class RedisMetric(StrEnum):
    """Metrics of one Redis, by Environment and Instance."""

    UNUSABLE = "Unusable"
    CONNECTION_FAILURE = "ConnectionFailure"
    SERVICE_CONNECTION_FAILURE = "ServiceConnectionFailure"
    WRITE_OK = "WriteOk"
    PING = "PingMilliseconds"
    ERROR_RATE = "ErrorRatePercent"
    KEYS_WITHOUT_EXPIRY = "KeysWithoutExpiry"
    MEMORY_USED_BYTES = "MemoryUsedBytes"
    MEMORY_USED = "MemoryUsedPercent"
    CONNECTIONS = "ConnectionsPercent"
    STORAGE_USED = "StorageUsedPercent"
    BANDWIDTH_USED = "BandwidthUsedPercent"


class MediaMetric(StrEnum):
    """Metrics of uploads in quarantine, by Environment: results of GuardDuty's scans."""

    THREATS = "UploadsWithThreats"
    UNSCANNED = "UploadsNotScanned"


class QueueMetric(StrEnum):
    """Metrics of one worker's queue, by Environment and Service."""

    WAITING = "WaitingJobs"
    STUCK = "StuckMinutes"
    """Since a job was last taken from it; 0 while none waits."""


class CheckMetric(StrEnum):
    """Metrics of the checks from outside, by Environment and Check."""

    FAILED = "CheckFailed"
    TIME = "CheckMilliseconds"
    LOST = "LostDependency"
    """1 when the service itself says that it does not reach something."""


class DatabaseMetric(StrEnum):
    """Metrics of the database, by Environment; deadlocks have no dimension: a filter of its log counts them."""

    RESTORE_POINT_AGE = "RestorePointMinutes"
    SNAPSHOT_AGE = "SnapshotHours"
    DEADLOCKS = "Deadlocks"
    DRILL_AGE = "RestoreDrillDays"
    """Since the last restore drill without a problem; before the first, since the instance was made."""
    DRILL_FAILED = "RestoreDrillFailed"
    """1 or 0, when a drill ends."""
    DRILL_RPO = "RestoreDrillRpoMinutes"
    DRILL_RTO = "RestoreDrillRtoMinutes"
    BACKUP_JOB_FAILED = "BackupJobFailed"


class SecretMetric(StrEnum):
    """Metrics of the secrets that a service's tasks read, by Environment and Service."""

    TASKS_BEHIND = "TasksBehindSecretHours"
    """How long tasks have been older than a secret that they read at start; 0 when none is."""


class ReleaseMetric(StrEnum):
    """Metrics of releases, by Environment and Service: 1 when one ends."""

    SUCCEEDED = "Released"
    FAILED = "WentBack"


class JobMetric(StrEnum):
    """Metrics of one job, by Environment and Job."""

    SUCCEEDED = "JobSucceeded"
    FAILED = "JobFailed"
    """After its last attempt."""
    SKIPPED = "JobSkipped"
    """Not started, because the run before had not ended."""
    OVERDUE = "JobOverdueMinutes"
    """Since a success was due; 0 when none is."""


# CloudWatch's unit by the end of a metric's name; all others are counts.
_UNITS = {"Milliseconds": "Milliseconds", "Percent": "Percent", "Bytes": "Bytes"}


def emit(namespace: str, dimensions: Mapping[str, str], values: Mapping[str, float], **logged: Any) -> None:
    """Publishes one data point for each name, now. `logged` is only in the log line."""
    print(  # noqa: T201  (standard output is where CloudWatch looks for it)
        json.dumps(
            {
                "_aws": {
                    "Timestamp": int(time.time() * 1000),
                    "CloudWatchMetrics": [
                        {
                            "Namespace": namespace,
                            "Dimensions": [list(dimensions)],
                            "Metrics": [{"Name": name, "Unit": unit_of(name)} for name in values],
                        }
                    ],
                },
                **logged,
                **dimensions,
                **values,
            }
        ),
        flush=True,
    )


def unit_of(name: str) -> str:
    """CloudWatch's unit of a metric."""
    return next((unit for end, unit in _UNITS.items() if name.endswith(end)), "Count")
