"""PostgreSQL's parameters, also those of the next version, are the tested ones."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import shown_or

PARAMETERS = "AWS::RDS::DBParameterGroup"
WANTED = {
    # An abandoned transaction keeps locks, and old rows from being cleaned up.
    "idle_in_transaction_session_timeout": "60000",
    # Blue/green upgrades replicate logically (docs/adr/0030); it takes effect at a restart only.
    "rds.logical_replication": "1",
    # Restore drills measure by the time of the last commit.
    "track_commit_timestamp": "1",
    "shared_preload_libraries": "pg_stat_statements",
    "log_lock_waits": "1",
    "log_disconnections": "1",
    "log_min_duration_statement": "1000",
    "log_autovacuum_min_duration": "10000",
    "log_temp_files": "10240",
    "track_io_timing": "1",
    "rds.force_ssl": "1",
}
# A switch until PostgreSQL 17, a list of what to log since; RDS refuses each in the other's group.
LOG_CONNECTIONS = {"postgres17": "1", "postgres18": "all"}


@policy(
    reason="Each was chosen for an alarm, a drill or an upgrade that needs it, and most take effect at a restart only.",
    failure=Failure.DATABASE_FAILS,
    reads={PARAMETERS: ("Family", "Parameters")},
)
def check(graph: Graph) -> Iterator[Violation]:
    for group in graph.of(PARAMETERS):
        yield from group.expect("Family", *LOG_CONNECTIONS)
        found = group.get("Parameters", {})
        wanted = {**WANTED, "log_connections": LOG_CONNECTIONS.get(group.get("Family"))}
        for name in sorted(set(found) | set(wanted)):
            if found.get(name) != wanted.get(name):
                yield group.violation("Parameters", f"has {name} {found.get(name)}, must be {wanted.get(name)}")
        if not found:
            yield group.violation("Parameters", f"is missing, must be {shown_or(wanted)}")
