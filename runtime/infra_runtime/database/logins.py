"""Custom resource: the roles of the database, and the logins that the secrets hold."""

import json
from collections.abc import Mapping
from typing import Any

from infra_runtime.aws import client
from infra_runtime.contract.database_names import URL
from infra_runtime.contract.secret_values import Secrets
from infra_runtime.custom_resource import Request, Result, serve
from infra_runtime.database.connection import Login, connect
from infra_runtime.database.instance import master_secret, serving
from infra_runtime.database.roles import MigrationLimits, prepare, set_password
from infra_runtime.reporting import reported


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    secrets = Secrets(client("secretsmanager"))
    serve(event, lambda request: converge(request, secrets, client("rds")), redact=secrets.redact)


def converge(request: Request, secrets: Secrets, rds: Any) -> Result:
    """Deletes nothing: roles go with the database, and are needed as long as it is there."""
    declared = json.loads(request.properties["Declared"])
    if request.kind != "Delete":
        with connect(Login.of(secrets.read(master_secret(rds, serving())))) as connection:
            prepare(connection, MigrationLimits(**declared["limits"]))
            for secret in declared["logins"]:
                # As it is now, which after a rotation is not what it was at first.
                value = secrets.read(secret)
                login = Login.of(value)
                set_password(connection, login)
                # Secrets Manager generates the secret without the address. A rotation that ends between this read and
                # the write is overwritten by the login before it, which stays valid (docs/adr/0013).
                if json.loads(value).get(URL) != login.url():
                    secrets.manager.put_secret_value(SecretId=secret, SecretString=login.secret())
    return Result(physical_id=request.physical_id or "database-logins")
