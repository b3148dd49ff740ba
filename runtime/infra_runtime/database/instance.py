"""An RDS instance by its name: its endpoint and its master login.

Looked up at each use: after a restore, another instance with another secret has the name.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra_runtime.aws import client
from infra_runtime.contract.database_names import MASTER_DURING_UPGRADES
from infra_runtime.database.connection import Connection, Login, connect


class NoMasterLogin(Exception):
    """The instance has no master login that we can read; the message is its name."""


@dataclass(frozen=True)
class RestoredInstance:
    master: Login
    variables: Mapping[str, str]
    """libpq's variables: PGHOST, PGPORT, PGDATABASE and others."""

    def connect(self, database: str | None = None) -> Connection:
        """Connects to the product's database, or to another one of the instance."""
        return connect(self.master, {**self.variables, **({"PGDATABASE": database} if database else {})})


def master_secret(rds: Any, name: str) -> str:
    """ARN of the secret with the master login. Raises `NoMasterLogin`."""
    return _secret(_described(rds, name))


def serving() -> str:
    """Name of the instance that serves."""
    return os.environ["DATABASE"]


def instance_called(name: str) -> RestoredInstance:
    """Raises `NoMasterLogin`, and what boto3 raises where there is no such instance."""
    found = _described(client("rds"), name)
    endpoint = {"PGHOST": found["Endpoint"]["Address"], "PGPORT": str(found["Endpoint"]["Port"])}
    value = client("secretsmanager").get_secret_value(SecretId=_secret(found))["SecretString"]
    return RestoredInstance(Login.of(value), {**os.environ, **endpoint})


def _described(rds: Any, name: str) -> Mapping[str, Any]:
    (found,) = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"]
    return dict(found)


def _secret(described: Mapping[str, Any]) -> str:
    """RDS's secret, or ours during a major upgrade, when RDS manages none (docs/adr/0030)."""
    if (found := described.get("MasterUserSecret")) is not None:
        return str(found["SecretArn"])
    if (during_upgrades := os.environ.get(MASTER_DURING_UPGRADES)) is None:
        raise NoMasterLogin(described["DBInstanceIdentifier"])
    return during_upgrades
