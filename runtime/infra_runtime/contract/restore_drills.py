"""What is remembered of restore drills."""

from dataclasses import dataclass, field

STARTED, LAST, SUCCEEDED = "started", "last", "succeeded"
"""The drill that somebody has started and that has not ended; the last result; the last result without a problem."""


@dataclass(frozen=True, kw_only=True)
class Drill:
    """A result. Times are ISO 8601 in UTC, durations in minutes."""

    job: str
    """Restore job of AWS Backup."""
    began: str
    ended: str
    problems: list[str] = field(default_factory=list)
    rpo: float | None = None
    """Age of the oldest commit that the restore lacks, when the drill began: what would have been lost."""
    rto: float | None = None
    """From the order to restore until the data was verified. Leading the services to it is not in it."""
    told: str = ""
    """What was looked at."""
