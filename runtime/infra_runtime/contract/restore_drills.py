"""What the state store holds about restore drills."""

from dataclasses import dataclass, field

STARTED, LAST, SUCCEEDED = "started", "last", "succeeded"
"""A drill that was started by hand and has not ended; the last result; the last successful result."""


@dataclass(frozen=True, kw_only=True)
class Drill:
    """Result of a drill. Times are ISO 8601 in UTC, durations in minutes."""

    job: str
    """Restore job of AWS Backup."""
    began: str
    ended: str
    problems: list[str] = field(default_factory=list)
    rpo: float | None = None
    """Minutes of writes that would have been lost: age of the oldest commit that the restore lacks, at its start."""
    rto: float | None = None
    """From the start of the restore until the data was verified, without the switchover of the services."""
    told: str = ""
    """What was verified, as a sentence."""
