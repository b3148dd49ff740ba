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
    slow="Redis answers slowly: so does every request with a rate limit.",
    slow_engine="Redis answers slowly; rate limiting starts to fail open.",
    full="Redis is nearly full; soon it evicts rate limits that should still count.",
    full_percent=80,
    full_severity=Severity.WARNING,
    evicted="Rate limits are forgotten before their time.",
    evicted_severity=Severity.WARNING,
    no_connections="New tasks will soon get no connection to Redis, and will not limit rates.",
    lag="A failover now would lose the last seconds of rate limits.",
    bandwidth="The day's bandwidth is nearly used up; then Upstash refuses commands.",
    memory_runbook="redis-memory",
    evictions_runbook="redis-evictions",
)
QUEUE = Purpose(
    evicts=False,
    unusable="No job can be added to the queue or taken from it.",
    slow="Redis answers slowly: so does adding or taking a job.",
    slow_engine="Redis answers slowly; jobs are added and taken slowly.",
    full="The queue's Redis is nearly full; then no job can be added, and no worker can finish one.",
    # Nothing is evicted here: act before the rest of the memory is used up.
    full_percent=70,
    full_severity=Severity.CRITICAL,
    evicted="Jobs are lost: Redis evicts keys of the queue.",
    evicted_severity=Severity.CRITICAL,
    no_connections="New tasks will soon get no connection to Redis, and will neither add nor take jobs.",
    lag="A failover now would lose the last seconds of jobs.",
    bandwidth="The day's bandwidth is nearly used up; then no job can be added or taken.",
    memory_runbook="queue-memory",
    evictions_runbook="queue-memory",
)
