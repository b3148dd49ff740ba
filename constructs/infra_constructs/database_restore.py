"""What a restore does inside of the database, from within the VPC."""

import aws_cdk as cdk
from constructs import Construct

from infra_constructs.database import PARAMETERS
from infra_constructs.database_logins import DatabaseLogins

# Longer than its longest action (infra_runtime.database.restore).
_LONGEST = cdk.Duration.minutes(2)


class DatabaseRestore(Construct):
    """Reads the databases of the stack's instances, and lets logins in (infra_runtime.database.restore)."""

    def __init__(self, scope: Construct, id_: str, *, logins: DatabaseLogins) -> None:
        super().__init__(scope, id_)
        stack = cdk.Stack.of(self)
        secrets = [logins.owner, logins.user]
        self.handler = logins.function(
            self,
            "Handler",
            "database.restore",
            "Verifies a restored database, and lets the logins in",
            timeout=_LONGEST,
            environment={
                "PARAMETERS": stack.to_json_string(PARAMETERS),
                "LIMITS": stack.to_json_string(logins.limits),
                "LOGINS": stack.to_json_string([each.secret_arn for each in secrets]),
            },
        )
        for each in secrets:
            each.grant_read(self.handler.role)
