"""The database has the standby, backups, size and storage of the environment's file."""

from collections.abc import Iterator

from template_policies import Failure, Graph, Violation, policy
from template_policies.graph import number

DATABASE = "AWS::RDS::DBInstance"


@policy(
    reason="Without a standby it is down as long as its zone; without backups an hour of a bad migration is lost "
    "for ever.",
    failure=Failure.DATABASE_FAILS,
    reads={
        DATABASE: ("MultiAZ", "BackupRetentionPeriod", "AllocatedStorage", "MaxAllocatedStorage", "DBInstanceClass",
                   "StorageType", "CopyTagsToSnapshot", "PreferredBackupWindow", "PreferredMaintenanceWindow",
                   "AvailabilityZone"),
    },
)  # fmt: skip
def check(graph: Graph) -> Iterator[Violation]:
    wanted = graph.environment.database
    databases = graph.of(DATABASE)
    if len(databases) != 1:
        yield graph.missing(DATABASE, f"there are {len(databases)}, must be one", stack="Data")
    for each in databases:
        yield from each.expect("MultiAZ", wanted.multi_az)
        yield from each.expect("BackupRetentionPeriod", wanted.pitr_days)
        yield from each.expect("DBInstanceClass", f"db.{wanted.instance}")
        for path, size in (("AllocatedStorage", wanted.storage_gib), ("MaxAllocatedStorage", wanted.max_storage_gib)):
            if number(each.get(path)) != size:
                yield each.violation(path, f"is {each.get(path)}, must be {size}")
        # gp2 has a budget of operations that a busy hour uses up.
        yield from each.expect("StorageType", "gp3")
        yield from each.expect("CopyTagsToSnapshot", True)
        # The backup ends before the maintenance begins, both in the quiet hours (UTC).
        yield from each.expect("PreferredBackupWindow", "00:30-01:30")
        yield from each.expect("PreferredMaintenanceWindow", "sun:02:00-sun:03:00")
