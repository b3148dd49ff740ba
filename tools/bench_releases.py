"""Benchmark of releases and previews in a rehearsed dev, and of readers blocked by a waiting migration."""

import io
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from psycopg.errors import LockNotAvailable

from config import ENVIRONMENTS, load
from infra_runtime.contract.database_names import OWNER, USER, first_login
from infra_runtime.database.connection import Connection, Login, connect
from infra_runtime.database.previews import Databases
from infra_runtime.database.roles import MigrationLimits, prepare, set_password
from ops.console import Console
from ops.previews import commands as previews
from ops.releases import commands as releases
from rehearsal.account import Account, opened
from rehearsal.cdk_cli import CdkCli
from rehearsal.checks.releases import SECOND, first_release, place_of, release
from rehearsal.product import FIRST
from rehearsal.push import push
from rehearsal.traffic import traffic
from simulators.postgres.server import Postgres, running
from simulators.redis.authority import Authority

_RELEASES = 3
_READERS = 4
_LOCK_MS = 200


def _timed(do: Callable[[], object]) -> float:
    began = time.perf_counter()
    do()
    return time.perf_counter() - began


def deployed() -> dict[str, float]:
    """Seconds unless a name says otherwise. In a rehearsal, a minute of ECS takes a twentieth of a second."""
    with tempfile.TemporaryDirectory() as folder:
        return _deployed(Path(folder))


def _deployed(root: Path) -> dict[str, float]:
    environment, quiet = load(["dev"])["dev"], Console(file=io.StringIO())
    offline = CdkCli(environment.aws.account, environment.aws.region, root)
    options = ("--quiet", "--context", "env=dev", "--context", f"environments={ENVIRONMENTS}")
    offline.run("synth", *options, "--output", str(root / "cdk.out"), validated=False)
    with opened("dev", environment, root) as account:
        account.cdk.bootstrap(root / "cdk.out")
        account.prepare()
        deploy = _timed(lambda: account.cdk.deploy(root / "cdk.out", "dev/*"))
        first_release(account)
        images = [push(account, account.main, f"bench-{number}", (FIRST, SECOND)) for number in range(_RELEASES)]
        with traffic(account).flowing() as users:
            runs = [_timed(lambda image=image: release(account, image)) for image in images]  # type: ignore[misc]
            back = _timed(lambda: releases.rollback(place_of(account), None, quiet, accept_schema=False, note=None))
        return {
            "deploy every stack": deploy,
            "release, median": statistics.median(runs),
            "release, most": max(runs),
            "rollback": back,
            "requests meanwhile": users.requests,
            "requests lost": len(users.failures),
            **_preview(account, images, quiet),
        }


def _preview(account: Account, images: list[str], quiet: Console) -> dict[str, float]:
    place = previews.PreviewSlots(account.name, account.environment, account)

    def start(image: str) -> None:
        previews.start(place, "bench", account.main, image, quiet, as_json=False)

    return {
        "preview, the first, with its template": _timed(lambda: start(images[0])),
        "preview, pushed again": _timed(lambda: start(images[1])),
        "preview, ended": _timed(lambda: previews.end(place, "bench", quiet, wait=True)),
    }


def database(root: Path, *, rows: int) -> dict[str, float]:
    """Seconds unless a name says otherwise."""
    authority, authority_file = Authority(), root / "authority.pem"
    authority.write(authority_file)
    with running(Postgres(certificate=authority.certificate("127.0.0.1"))) as server:

        def variables(login: Login) -> dict[str, str]:
            return {**server.variables(login.username, login.password), "SSL_CERT_FILE": str(authority_file)}

        def as_(login: Login) -> Connection:
            return connect(login, variables(login))

        master = Login(server.user, server.password)
        owner, user = (Login(first_login(group), "what-stands-for-a-password") for group in (OWNER, USER))
        with as_(master) as connection:
            prepare(connection, MigrationLimits(lock_ms=_LOCK_MS, statement_ms=60_000))
            for login in (owner, user):
                set_password(connection, login)
        with as_(owner) as connection:
            connection.execute("create table held (id int)")
            connection.execute(f"create table rows as select generate_series(1, {rows}) as id")
        copies = Databases(master, server.database, variables(master))
        return _readers(as_, owner, user) | {
            f"template of {rows} rows": _timed(copies.refresh),
            "copy of it": _timed(lambda: copies.make(1, "what-stands-for-a-password")),
        }


def _readers(as_: Callable[[Login], Connection], owner: Login, user: Login) -> dict[str, float]:
    """How long readers wait behind an ALTER that waits for a long transaction until its lock timeout."""
    waits: list[float] = []
    over = threading.Event()

    def reads() -> None:
        with as_(user) as connection:
            while not over.is_set():
                waits.append(_timed(lambda: connection.execute("select from held")))
                time.sleep(0.002)

    with as_(owner) as long, long.transaction(), as_(owner) as migrating:
        long.execute("select from held")
        readers = [threading.Thread(target=reads) for _ in range(_READERS)]
        for each in readers:
            each.start()
        time.sleep(1)
        try:
            migrating.execute("alter table held add x int")
        except LockNotAvailable:
            pass
        else:
            raise SystemExit("the migration did not wait: this measures nothing")
        time.sleep(1)
        over.set()
        for each in readers:
            each.join()
    return {
        "lock time-out of migrations, ms": _LOCK_MS,
        "readers behind one, most, ms": max(waits) * 1000,
        "readers behind one, p99, ms": statistics.quantiles(waits, n=100)[98] * 1000,
        "reads": len(waits),
    }
