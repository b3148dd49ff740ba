"""Obstacles to a major upgrade by logical replication, in each database of an instance.

RDS reports some of them itself, hours later; despite others it makes a copy, which silently lacks something.

Sources: RDS guide, "RDS for PostgreSQL limitations for blue/green deployments with logical replication"; PostgreSQL
documentation, "Logical Replication: Restrictions" and "pg_upgrade"; aws/agent-toolkit-for-aws,
upgrade-prechecks-postgresql.md.
"""

from collections.abc import Iterator

from infra_runtime.database.connection import Connection

_DATABASES = "select datname from pg_database where datallowconn and not datistemplate and datname <> 'rdsadmin'"
_SETTINGS = ("max_logical_replication_workers", "max_replication_slots", "max_wal_senders")
# Each has to be removed before, or brings replication of its own.
_EXTENSIONS = ["pg_partman", "pg_cron", "pglogical", "pgactive"]
_OBJECTS = """
create temporary view ours as select c.*, format('%I.%I', n.nspname, c.relname) as name
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')"""
_OF_DATABASE = (
    (
        "has no primary key: give it one, or alter table … replica identity full",
        """select name from ours where relkind in ('r', 'p') and relpersistence = 'p' and (relreplident = 'n' or
        relreplident = 'd' and not exists (select from pg_index i where i.indrelid = ours.oid and i.indisprimary))""",
    ),
    (
        "is unlogged, and would be empty: alter table … set logged",
        "select name from ours where relkind = 'r' and relpersistence = 'u'",
    ),
    (
        "is of a type that pg_upgrade does not take over",
        """select format('%s.%I', name, attname) from ours join pg_attribute a on a.attrelid = ours.oid
        where attnum > 0 and not attisdropped and relkind in ('r', 'p', 'm') and atttypid = any(
          '{regcollation,regconfig,regdictionary,regnamespace,regoper,regoperator,regproc,regprocedure,unknown}'
          ::regtype[])""",
    ),
    (
        "large objects are not replicated: move them into columns of type bytea",
        "select count(*)::text from pg_largeobject_metadata having count(*) > 0",
    ),
    ("is a publication of its own: drop it", "select pubname from pg_publication"),
    (
        "is a subscription of its own: drop it",
        "select subname from pg_subscription s join pg_database d on d.oid = s.subdbid"
        " where d.datname = current_database()",
    ),
)
_EXTENSIONS_THERE = "select extname from pg_extension where extname = any(%s)"
_OF_INSTANCE = (
    ("is another program's replication slot: drop it", "select slot_name from pg_replication_slots"),
    ("is a prepared transaction: commit it or roll it back", "select gid from pg_prepared_xacts"),
)


def databases(connection: Connection) -> list[str]:
    return sorted(name for (name,) in connection.execute(_DATABASES).fetchall())


def of_instance(connection: Connection) -> Iterator[str]:
    if connection.execute("show wal_level").fetchone() != ("logical",):
        yield "rds.logical_replication is not in effect: reboot the instance once (aws rds reboot-db-instance)"
    needed = len(databases(connection)) + 1
    for name in _SETTINGS:
        ((found,),) = connection.execute("select current_setting(%s)::int", [name]).fetchall()
        if found < needed:
            yield f"{name} is {found}: {needed} are needed, one for each database and one more"
    for label, query in _OF_INSTANCE:
        yield from (f"{name} {label}" for (name,) in connection.execute(query).fetchall())


def of_database(connection: Connection) -> Iterator[str]:
    database = connection.info.dbname
    connection.execute(_OBJECTS)
    for value, query in _OF_DATABASE:
        yield from (f"{database}: {name} {value}" for (name,) in connection.execute(query).fetchall())
    for (name,) in connection.execute(_EXTENSIONS_THERE, [_EXTENSIONS]).fetchall():
        yield f"{database}: the extension {name} does not go with it: drop it, and create it again afterwards"
