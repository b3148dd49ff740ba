"""Personal logins of the database, by IAM."""

from constructs import Construct

from infra_constructs.database_logins import DatabaseLogins


class DatabaseAccess(Construct):
    """A function that `infra db` invokes: it makes a personal login and logs that (infra_runtime.database.access)."""

    def __init__(self, scope: Construct, id_: str, *, logins: DatabaseLogins) -> None:
        super().__init__(scope, id_)
        logins.function(self, "Handler", "database.access", "Makes personal logins of the database")
