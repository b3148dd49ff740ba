"""`infra db shell`, `dump` and `tunnel`."""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from config.model import Environment
from infra_runtime.contract.database_names import Mode
from ops.console import Console
from ops.db.session import DatabaseSession, access, client_tool, forwarded, service_with_database
from ops.errors import InputError, OperatorError
from ops.functions import Clients
from ops.releases.one_off import TOOLS, require_tools
from ops.releases.target import ReleaseTarget


@dataclass(frozen=True, kw_only=True)
class DatabasePlace:
    name: str
    """Name of the environment."""
    environment: Environment
    clients: Clients
    variables: Mapping[str, str] = field(default_factory=lambda: os.environ)
    """Environment of the programs that it starts; PGSSLROOTCERT replaces Amazon's certificate authorities."""

    def tool(self, name: str) -> str:
        """Path of one of PostgreSQL's programs. Raises `OperatorError`."""
        return client_tool(name, path=self.variables.get("PATH"))

    @contextmanager
    def opened(
        self, mode: Mode, reason: str, console: Console, *, port: int = 0
    ) -> "Iterator[tuple[DatabaseSession, dict[str, str]]]":
        """The login, and variables with which libpq reaches the database with it."""
        if not reason.strip():
            raise InputError("--reason is empty: expected why you need the database; the log keeps it")
        require_tools(TOOLS, path=self.variables.get("PATH"))
        place = ReleaseTarget(self.name, self.environment, service_with_database(self.environment), self.clients)
        found = access(self.name, self.environment, self.clients, mode, reason)
        with forwarded(place, found, console, port=port, reason=reason, variables=self.variables) as local:
            yield found, found.variables(local, self.variables.get("PGSSLROOTCERT"))

    def environment_of(self, found: DatabaseSession, variables: dict[str, str]) -> dict[str, str]:
        """Environment of PostgreSQL's programs. The token is signed last: it is valid for 15 minutes."""
        return {**self.variables, **variables, "PGPASSWORD": found.token(self.clients), "PGAPPNAME": "infra db"}


def shell(place: DatabasePlace, mode: Mode, reason: str, command: str | None, console: Console) -> int:
    """psql's own exit code."""
    psql = place.tool("psql")
    with place.opened(mode, reason, console) as (found, variables):
        rights = "reads and writes rows" if mode == "write" else "reads only"
        console.print(f"{found.user} in {place.name}: {rights}", highlight=False)
        words = [psql, "--no-psqlrc", *(("--command", command) if command is not None else ())]
        with _left_to_the_child():
            return subprocess.run(words, env=place.environment_of(found, variables), check=False).returncode


def dump(place: DatabasePlace, into: Path, reason: str, console: Console) -> None:
    """Creates the file only when the dump is complete. Raises `InputError` and `OperatorError`."""
    if into.exists() or not into.parent.is_dir():
        raise InputError(f"FILE {into}: expected a name in a folder that exists, and no file of that name")
    pg_dump = place.tool("pg_dump")
    handle, partial = tempfile.mkstemp(prefix=f".{into.name}-", dir=into.parent)  # Readable by its owner alone.
    os.close(handle)
    try:
        with place.opened("read", reason, console) as (found, variables):
            words = [pg_dump, "--format=custom", "--no-owner", "--no-privileges", "--file", partial]
            code = subprocess.run(words, env=place.environment_of(found, variables), check=False).returncode
        if code != 0:
            raise OperatorError(f"pg_dump ended with {code}; nothing is left in {into.parent}")
        Path(partial).rename(into)
    finally:
        Path(partial).unlink(missing_ok=True)
    size = into.stat().st_size
    console.print(f"{into}: {size:,} bytes; to restore it: pg_restore --dbname=… {into}", highlight=False)


def tunnel(
    place: DatabasePlace,
    mode: Mode,
    reason: str,
    port: int,
    console: Console,
    *,
    wait: Callable[[], object] = lambda: threading.Event().wait(),
) -> None:
    """Open until Ctrl-C."""
    with place.opened(mode, reason, console, port=port) as (found, variables):
        for key, value in variables.items():
            console.print(f"{key}={value}", highlight=False)
        console.print(
            f"password, for 15 minutes: aws rds generate-db-auth-token --hostname {found.host} --port {found.port}"
            f" --username {found.user} --region {place.environment.aws.region}",
            highlight=False,
        )
        console.print("open until Ctrl-C", highlight=False)
        try:
            wait()
        except KeyboardInterrupt:
            console.print("closed", highlight=False)


@contextmanager
def _left_to_the_child() -> Iterator[None]:
    """Leaves Ctrl-C to psql, where it ends the query."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
