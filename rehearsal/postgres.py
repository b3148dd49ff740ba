"""PostgreSQL as a child of ours, set up as RDS sets up its own: with a master who is no superuser."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from rehearsal.ports import LOOPBACK, free_port
from rehearsal.redis.authority import Certificate

_START_SECONDS = 30
_OWNER = "postgres"  # Debian's user for it: PostgreSQL refuses to run as root


class PostgresMissing(Exception):
    """There is no PostgreSQL on this machine."""

    def __init__(self) -> None:
        super().__init__("PostgreSQL is missing: make setup installs it as root (Debian: apt-get install postgresql)")


def binaries() -> Path:
    """The folder with `initdb` and `postgres`; Debian keeps them off the path. Raises `PostgresMissing`."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda each: int(each.parts[4]))
    if not versions:
        raise PostgresMissing
    return versions[-1].parent


@dataclass
class Postgres:
    """One server with one database. `user` may create roles and owns the database, and is no superuser, as in RDS."""

    user: str = "postgres"
    password: str = "what-stands-for-a-password-here"  # noqa: S105
    database: str = "app"
    address: str = LOOPBACK
    port: int = 0
    certificate: Certificate | None = None
    """With one, it speaks TLS, and nothing else over the network."""
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _home: Path | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.port = self.port or free_port(self.address)

    def start(self) -> "Postgres":
        """Returns once it answers. Its files lie where its own user reaches them, and go with `remove`."""
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="postgres-"))
            self._initialize(self._home)
        data = self._home / "data"
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binaries() / "postgres", "-D", data, "-k", self._home],
                # Where its user may be: this process's own folder can be anybody's.
                cwd=self._home,
                stdout=log,
                stderr=log,
                **_as_owner(),
            )
        self._wait()
        return self

    def _initialize(self, home: Path) -> None:
        if os.getuid() == 0:
            shutil.chown(home, _OWNER, _OWNER)
        data = home / "data"
        subprocess.run(
            [
                binaries() / "initdb",
                *("-D", data, "-U", "rdsadmin", "--no-sync", "--encoding", "UTF8", "--locale", "C.UTF-8"),
                *("--auth", "scram-sha-256", "--auth-local", "trust"),
            ],
            check=True,
            capture_output=True,
            cwd=home,
            **_as_owner(),
        )
        settings = {
            "listen_addresses": self.address,
            "port": self.port,
            # Nothing here is to survive the machine.
            "fsync": "off",
            "full_page_writes": "off",
            "max_connections": 200,
            # In its folder, not in /dev/shm, where it would remain if the server is killed.
            "dynamic_shared_memory_type": "mmap",
            # As RDS has it.
            "log_line_prefix": "%t:%r:%u@%d:[%p]:",
            "log_lock_waits": "on",
        }
        if self.certificate is not None:
            files = self.certificate.write(home)
            files.key.chmod(0o600)
            if os.getuid() == 0:
                for each in (files.chain, files.key):
                    shutil.chown(each, _OWNER, _OWNER)
            settings |= {"ssl": "on", "ssl_cert_file": files.chain, "ssl_key_file": files.key}
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{key} = '{value}'\n" for key, value in settings.items())
        way = "host" if self.certificate is None else "hostssl"
        (data / "pg_hba.conf").write_text(f"local all all trust\n{way} all all all scram-sha-256\n")

    def _wait(self) -> None:
        give_up = time.monotonic() + _START_SECONDS
        while True:
            try:
                with self.inside("postgres") as connection:
                    if not connection.execute("select 1 from pg_roles where rolname = %s", [self.user]).fetchone():
                        connection.execute(
                            f"create role {self.user} login createrole createdb password '{self.password}'"
                        )
                        connection.execute(f"grant pg_signal_backend to {self.user} with admin option")
                        connection.execute(f"create database {self.database} owner {self.user}")
                    return
            except psycopg.OperationalError:
                if time.monotonic() > give_up or self._process is None or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    def inside(self, database: str | None = None) -> "psycopg.Connection[tuple[object, ...]]":
        """As the superuser, over the socket: what nobody can do at RDS, for looking and for breaking."""
        assert self._home is not None
        return psycopg.connect(
            host=str(self._home),
            port=self.port,
            user="rdsadmin",
            dbname=database or self.database,
            autocommit=True,
        )

    def variables(self, user: str | None = None, password: str | None = None) -> dict[str, str]:
        """As the application reads them."""
        return {
            "PGHOST": self.address,
            "PGPORT": str(self.port),
            "PGDATABASE": self.database,
            "PGUSER": user or self.user,
            "PGPASSWORD": password or self.password,
        }

    def log(self, after: int = 0) -> str:
        """What it has written, from that byte on."""
        if self._home is None:
            return ""
        with (self._home / "log").open("rb") as file:
            file.seek(after)
            return file.read().decode(errors="replace")

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        self.kill()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None


@contextmanager
def running(server: Postgres) -> Iterator[Postgres]:
    try:
        yield server.start()
    finally:
        server.remove()


def _as_owner() -> dict[str, Any]:
    return {"user": _OWNER, "group": _OWNER, "extra_groups": []} if os.getuid() == 0 else {}
