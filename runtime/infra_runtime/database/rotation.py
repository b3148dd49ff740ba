"""Rotation of a login of ours: the other login gets a new password, and the secret then names that one.

The one that was used until now stays as it is until the next rotation: a task that has read it goes on connecting.
"""

from collections.abc import Callable, Mapping
from typing import Any

from infra_runtime.aws import client
from infra_runtime.contract.database_names import other_login
from infra_runtime.database.connection import Login, connect
from infra_runtime.database.instance import master_secret, serving
from infra_runtime.database.roles import set_password
from infra_runtime.reporting import reported
from infra_runtime.secret_rotation import Rotation

_LETTERS = 40


@reported
def handler(event: Mapping[str, Any], context: object) -> None:
    """Handles one step of a rotation by Secrets Manager."""
    rotation = LoginRotation(
        client("secretsmanager"),
        master=lambda: master_secret(client("rds"), serving()),
        secret=event["SecretId"],
        version=event["ClientRequestToken"],
    )
    rotation.step(event["Step"])


class LoginRotation(Rotation):
    def __init__(self, manager: Any, *, master: Callable[[], str], secret: str, version: str) -> None:
        super().__init__(manager, secret=secret, version=version)
        self._master = master

    def new_value(self) -> str:
        username = other_login(Login.of(self.current()).username)
        return Login(username, self.random(_LETTERS)).secret()

    def set(self, pending: str) -> None:
        master = self._manager.get_secret_value(SecretId=self._master())["SecretString"]
        with connect(Login.of(master)) as connection:
            set_password(connection, Login.of(pending))

    def test(self, pending: str) -> None:
        with connect(Login.of(pending)) as connection:
            connection.execute("select 1")
