"""PostgreSQL as a child of ours, set up as RDS sets up its own: with a master who is no superuser.

With `is_backed_up` it saves its log as RDS does, and another server can be restored from it to any second.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from simulators.ports import LOOPBACK, free_port
from simulators.redis.authority import Certificate

_START_SECONDS = 30
_OWNER = "postgres"  # Debian's user for PostgreSQL, which refuses to run as root.


class RestoreFailed(Exception):
    """PostgreSQL did not reach the time that was asked for; the message is the end of its log."""


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
    """With a certificate, the server accepts only TLS over the network."""
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Parameters of its parameter group; read at each start."""
    is_backed_up: bool = False
    is_read_only: bool = False
    """Whether sessions are read-only by default."""
    by_token: str = ""
    """How members of `rds_iam` are authenticated, as in pg_hba.conf; empty: by their password, like everybody."""
    backed_up_at: datetime | None = field(default=None, init=False)
    """When its base backup was complete: the earliest time that can be restored."""
    _backups: int = field(default=0, repr=False)
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _home: Path | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.port = self.port or free_port(self.address)

    def start(self) -> "Postgres":
        """Starts the server and waits until it answers. Its own user can reach its files, which `remove` deletes."""
        if self._home is None:
            self._home = _new_home()
            self._initialize(self._home)
        self._run()
        if self.is_backed_up and self.backed_up_at is None:
            self.back_up()
        return self

    def _run(self) -> None:
        assert self._home is not None
        self._configure(self._home)
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [binaries() / "postgres", "-D", self._home / "data", "-k", self._home],
                # Where its user may be: this process's own folder can be anybody's.
                cwd=self._home,
                stdout=log,
                stderr=log,
                **_as_owner(),
            )
        self._wait()

    def _initialize(self, home: Path) -> None:
        data = home / "data"
        options: list[str | Path] = [
            "-D",
            data,
            "-U",
            "rdsadmin",
            "--no-sync",
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
        ]
        if self.is_backed_up:
            # PostgreSQL archives a whole segment, however little is in it.
            options.append("--wal-segsize=1")
        _do(home, binaries() / "initdb", *options, "--auth", "scram-sha-256", "--auth-local", "trust")
        with (data / "postgresql.conf").open("a") as file:
            file.write("include 'instance.conf'\n")

    def _configure(self, home: Path) -> None:
        data, settings = (
            home / "data",
            {
                **self.parameters,
                "listen_addresses": self.address,
                "port": self.port,
                # The data need not survive a crash of the machine.
                "fsync": "off",
                "full_page_writes": "off",
                "max_connections": 200,
                # In its folder, not in /dev/shm, where it would remain if the server is killed.
                "dynamic_shared_memory_type": "mmap",
                # As in RDS.
                "log_line_prefix": "%t:%r:%u@%d:[%p]:",
                "log_lock_waits": "on",
            },
        )
        if self.parameters.get("rds.logical_replication") == "1":
            settings |= {"wal_level": "logical"}
        if self.is_read_only:
            settings |= {"default_transaction_read_only": "on"}
        if self.is_backed_up:
            archive = home / "archive"
            archive.mkdir(exist_ok=True)
            _give(archive)
            command = f"cp %p {archive}/%f.part && mv {archive}/%f.part {archive}/%f"
            settings |= {"archive_mode": "on", "archive_command": command}
        if self.certificate is not None:
            files = self.certificate.write(home)
            files.key.chmod(0o600)
            _give(files.chain, files.key)
            settings |= {"ssl": "on", "ssl_cert_file": files.chain, "ssl_key_file": files.key}
        (data / "instance.conf").write_text("".join(f"{key} = '{value}'\n" for key, value in settings.items()))
        way = "host" if self.certificate is None else "hostssl"
        (data / "pg_hba.conf").write_text(
            "local all all trust\nlocal replication all trust\n"
            # Indirect members, too, which is why RDS's master must not become one.
            + (f"hostssl all +rds_iam all {self.by_token}\n" if self.by_token else "")
            + f"{way} all all all scram-sha-256\n"
        )
        _give(data / "instance.conf", data / "pg_hba.conf")

    def back_up(self) -> None:
        """Makes a base backup, as RDS does for a new instance. Waits until the log that belongs to it is saved."""
        assert self._home is not None
        self._backups += 1
        _do(
            self._home, binaries() / "pg_basebackup", "-D", self.base, "-h", self._home,
            "-p", str(self.port), "-U", "rdsadmin", "--wal-method=none", "--checkpoint=fast", "--no-sync",
        )  # fmt: skip
        self.backed_up_at = datetime.now(UTC)

    @property
    def archive(self) -> Path:
        assert self._home is not None
        return self._home / "archive"

    @property
    def base(self) -> Path:
        assert self._home is not None
        return self._home / f"base-{self._backups}"

    def save_log(self) -> datetime:
        """Saves the log that was written until now; everything before the returned time can be restored."""
        with self.inside("postgres") as connection:
            (until,) = connection.execute("select clock_timestamp()").fetchone() or (None,)
            # PostgreSQL only knows that it has reached a time when it sees a later commit.
            connection.execute("select pg_logical_emit_message(true, 'saved', '')")
            (segment,) = connection.execute("select pg_walfile_name(pg_switch_wal())").fetchone() or (None,)
        assert isinstance(until, datetime)
        give_up = time.monotonic() + _START_SECONDS
        while not (self.archive / str(segment)).exists():
            if time.monotonic() > give_up:
                raise TimeoutError(f"{segment} was not saved: {self.log()[-500:]}")
            time.sleep(0.02)
        return until

    def written(self) -> str:
        """Current WAL position: another value after each write."""
        with self.inside("postgres") as connection:
            (position,) = connection.execute("select pg_current_wal_insert_lsn()::text").fetchone() or (None,)
        return str(position)

    def restore(self, base: Path, archive: Path, to: datetime | str | None = None) -> "Postgres":
        """Starts with a base backup and the log that was saved since, until that time, that position or its end.

        Raises `RestoreFailed` where PostgreSQL itself sees that it cannot. It does not see a base backup that is
        younger than `to`, nor, without `to`, that log is missing.
        """
        self._home = home = _new_home()
        shutil.copytree(base, home / "data", symlinks=True)
        for each in [home / "data", *(home / "data").rglob("*")]:
            _give(each)
        recovery = {"restore_command": f"cp {archive}/%f %p", "hot_standby": "off"}
        match to:
            case datetime():
                recovery |= {"recovery_target_time": to.isoformat(), "recovery_target_action": "promote"}
            case str():
                recovery |= {
                    "recovery_target_lsn": to,
                    "recovery_target_inclusive": "off",
                    "recovery_target_action": "promote",
                }
        automatic = home / "data" / "postgresql.auto.conf"
        before = automatic.read_text()
        automatic.write_text(before + "".join(f"{key} = '{value}'\n" for key, value in recovery.items()))
        (home / "data" / "recovery.signal").touch()
        _give(home / "data" / "recovery.signal")
        try:
            self._run()
        except psycopg.OperationalError:
            text = self.log()[-2000:]
            self.remove()
            raise RestoreFailed(text) from None
        automatic.write_text(before)
        if self.is_backed_up:
            self.back_up()
        return self

    def set_read_only(self, *, is_on: bool) -> None:
        """Turns read-only mode on or off, without a restart."""
        assert self._home is not None
        assert self._process is not None
        self.is_read_only = is_on
        self._configure(self._home)
        self._process.send_signal(signal.SIGHUP)

    def restart(self) -> None:
        """Restarts with the address, certificate and parameters that were set in the meantime."""
        self.kill(signal.SIGINT)
        self._run()

    def _wait(self) -> None:
        give_up = time.monotonic() + _START_SECONDS
        while True:
            try:
                with self.inside("postgres") as connection:
                    if not connection.execute("select 1 from pg_roles where rolname = %s", [self.user]).fetchone():
                        connection.execute(
                            f"create role {self.user} login createrole createdb password '{self.password}'"
                        )
                        # As `rds_superuser` has them (RDS guide, "Understanding the rds_superuser role").
                        connection.execute(f"grant pg_signal_backend, pg_monitor to {self.user} with admin option")
                        connection.execute(f"create database {self.database} owner {self.user}")
                        connection.execute("create role rds_iam nologin")
                    return
            except psycopg.OperationalError:
                if time.monotonic() > give_up or self._process is None or self._process.poll() is not None:
                    raise
                time.sleep(0.05)

    @property
    def process_id(self) -> int | None:
        return self._process.pid if self._process else None

    def inside(
        self, database: str | None = None, *, seconds: int | None = None
    ) -> "psycopg.Connection[tuple[object, ...]]":
        """Connects as the superuser over the socket, which RDS does not allow: for tests, metrics and faults. `seconds`
        is the time-out for the connection."""
        assert self._home is not None
        return psycopg.connect(
            host=str(self._home),
            port=self.port,
            user="rdsadmin",
            dbname=database or self.database,
            autocommit=True,
            connect_timeout=seconds,
        )

    @property
    def socket(self) -> Path:
        """The folder with its socket, where its own user may connect as anybody."""
        assert self._home is not None
        return self._home

    def variables(self, user: str | None = None, password: str | None = None) -> dict[str, str]:
        """Environment variables for the application."""
        return {
            "PGHOST": self.address,
            "PGPORT": str(self.port),
            "PGDATABASE": self.database,
            "PGUSER": user or self.user,
            "PGPASSWORD": password or self.password,
        }

    def log(self, after: int = 0) -> str:
        """The server's log output from that byte on."""
        if self._home is None:
            return ""
        with (self._home / "log").open("rb") as file:
            file.seek(after)
            return file.read().decode(errors="replace")

    def kill(self, how: signal.Signals = signal.SIGQUIT) -> None:
        if self._process is not None:
            self._process.send_signal(how)
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


def _give(*paths: Path) -> None:
    """Makes PostgreSQL's user the owner of the paths."""
    if os.getuid() == 0:
        for each in paths:
            shutil.chown(each, _OWNER, _OWNER)


def _new_home() -> Path:
    home = Path(tempfile.mkdtemp(prefix="postgres-"))
    _give(home)
    return home


def _do(home: Path, *words: str | Path) -> None:
    subprocess.run(words, check=True, capture_output=True, cwd=home, **_as_owner())
