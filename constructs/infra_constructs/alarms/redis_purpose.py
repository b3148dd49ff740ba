"""Alarm texts and thresholds that differ between a cache and a queue."""

from dataclasses import dataclass

from infra_constructs.alarms.alarm import Severity


@dataclass(frozen=True, kw_only=True)
class Purpose:
    """What users notice of each fault, and the memory usage at which the alarm fires."""

    evicts: bool
    unusable: str
    slow: str
    slow_engine: str
    full: str
    full_percent: int
    full_severity: Severity
    evicted: str
    evicted_severity: Severity
    no_connections: str
    lag: str
    bandwidth: str
    memory_runbook: str
    evictions_runbook: str


CACHE = Purpose(
    evicts=True,
    unusable="Rate limiting is off: the service goes on without Redis.",
    slow="Every request that is rate limited waits longer for it.",
    slow_engine="Redis answers late; rate limiting starts to fail open.",
    full="Redis is nearly full; soon it evicts rate limits that should still count.",
    full_percent=80,
    full_severity=Severity.WARNING,
    evicted="Rate limits are forgotten before their time.",
    evicted_severity=Severity.WARNING,
    no_connections="New tasks will soon find no connection to Redis, and not limit rates.",
    lag="A failover now would lose the last seconds of rate limits.",
    bandwidth="The day's bandwidth is nearly used up; then Upstash refuses.",
    memory_runbook="redis-memory",
    evictions_runbook="redis-evictions",
)
QUEUE = Purpose(
    evicts=False,
    unusable="No job can be added to the queue or taken from it.",
    slow="Adding a job and taking one take longer.",
    slow_engine="Redis answers late; jobs are added and taken slowly.",
    full="The queue's Redis is nearly full; then no job can be added, and no worker can finish one.",
    # Nothing gives way here: what is left of the memory is the time to act.
    full_percent=70,
    full_severity=Severity.CRITICAL,
    evicted="Jobs are lost: Redis evicts keys of the queue.",
    evicted_severity=Severity.CRITICAL,
    no_connections="New tasks will soon find no connection to Redis, and neither add jobs nor take them.",
    lag="A failover now would lose the last seconds of jobs.",
    bandwidth="The day's bandwidth is nearly used up; then no job can be added or taken.",
    memory_runbook="queue-memory",
    evictions_runbook="queue-memory",
)
