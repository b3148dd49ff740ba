"""Connects this machine to the database: Session Manager forwards a port through a task of a service that uses it.

There is no bastion host: the task is one like `infra exec`'s, and ends with the block (SSM user guide, "Starting a
session (port forwarding to remote host)"). Its target name is the one that the AWS CLI uses for ECS Exec.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from config import services
from config.model import Environment
from infra_runtime import contract
from infra_runtime.contract.database_names import Mode
from infra_runtime.contract.names import stack_name
from infra_runtime.contract.revision import ONE_OFF, named
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.functions import Clients, ask_as_myself, find
from ops.releases.one_off import agent_runs, started
from ops.releases.target import ReleaseTarget

_AUTHORITIES = Path(contract.__file__).with_name("rds-authorities.pem")
_DOCUMENT = "AWS-StartPortForwardingSessionToRemoteHost"
_OPEN_SECONDS = 60.0
_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class DatabaseSession:
    """A personal login and where to use it, as the function `database.access` returns them."""

    user: str
    host: str
    port: str
    database: str

    def token(self, clients: Clients) -> str:
        """A token that replaces the password for 15 minutes; an open session outlives it."""
        found: str = clients.client("rds").generate_db_auth_token(
            DBHostname=self.host, Port=int(self.port), DBUsername=self.user
        )
        return found

    def variables(self, local_port: int, authorities: str | None = None) -> dict[str, str]:
        """libpq's variables for this machine. TLS checks the database's own host name, and trusts only Amazon's CAs."""
        return {
            "PGHOST": self.host,
            "PGHOSTADDR": "127.0.0.1",
            "PGPORT": str(local_port),
            "PGDATABASE": self.database,
            "PGUSER": self.user,
            "PGSSLMODE": "verify-full",
            "PGSSLROOTCERT": authorities or str(_AUTHORITIES),
        }


def access(name: str, environment: Environment, clients: Clients, mode: Mode, reason: str) -> DatabaseSession:
    """Asks for a personal login. Raises `OperatorError`."""
    stack, what = stack_name(environment.product, name, "data"), "function that creates personal logins"
    function = find(clients, stack, "database.access", {}, what=what)
    return DatabaseSession(**ask_as_myself(clients, function, {"mode": mode, "reason": reason}, what=what))


@contextmanager
def forwarded(
    place: ReleaseTarget, to: DatabaseSession, console: Console, *, port: int, reason: str, variables: Mapping[str, str]
) -> Iterator[int]:
    """Port of 127.0.0.1 that leads to the database; `port` 0 takes a free one. Raises `InputError`, `OperatorError`.

    `variables` are those of the AWS CLI, PATH among them.
    """
    local = _port(port)
    with started(place, entered=True) as task, tempfile.TemporaryFile("w+") as log:
        console.print(f"waits for {task.arn.rpartition('/')[2]} to run", highlight=False)
        task.wait(agent_runs)
        target = "_".join((task.cluster.rpartition("/")[2], task.arn.rpartition("/")[2], _runtime_id(task)))
        parameters = {"host": [to.host], "portNumber": [to.port], "localPortNumber": [str(local)]}
        session = subprocess.Popen(
            [
                *("aws", "ssm", "start-session", "--region", place.environment.aws.region, "--target", f"ecs:{target}"),
                *("--document-name", _DOCUMENT, "--parameters", json.dumps(parameters), "--reason", reason[:256]),
            ],
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches only psql, where it ends the query: the session goes on.
            start_new_session=True,
        )
        try:
            _wait_until_open(session, local, log)
            yield local
        finally:
            with suppress(ProcessLookupError):
                os.killpg(session.pid, signal.SIGTERM)  # The plugin is a child of the AWS CLI.
            session.wait()


def service_with_database(environment: Environment) -> str:
    found = next((each for each, one in services.released(environment).items() if "database" in one.needs), None)
    if found is None:
        raise InputError('services: expected one with its own image and needs = ["database"]')
    return found


def _runtime_id(task: Any) -> str:
    found: str = named(task.described()["containers"], ONE_OFF)["runtimeId"]
    return found


def _port(wanted: int) -> int:
    """`wanted`, or a free port for 0. Raises `InputError` if `wanted` is not free."""
    with closing(socket.socket()) as probe:
        try:
            probe.bind(("127.0.0.1", wanted))
        except (OSError, OverflowError) as error:
            raise InputError(f"--port {wanted}: expected a free port of this machine: {error}") from None
        return int(probe.getsockname()[1])


def _wait_until_open(session: "subprocess.Popen[bytes]", port: int, log: IO[str]) -> None:
    give_up = time.monotonic() + _OPEN_SECONDS
    while session.poll() is None and time.monotonic() < give_up:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(_POLL_SECONDS)
    log.seek(0)
    raise OperatorError(f"Session Manager did not connect to the database: {log.read().strip() or 'no answer'}")


def client_tool(name: str, *, path: str | None) -> str:
    """Path of one of PostgreSQL's client programs, found in `path`. Raises `OperatorError`."""
    if (found := shutil.which(name, path=path)) is None:
        raise OperatorError(f"missing on this machine: {name} (PostgreSQL's client: apt-get install postgresql-client)")
    return found
