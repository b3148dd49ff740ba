"""Records outages for tests/stacks/test_incidents.py: `python -m tools.record_outages`.

Runs two processes of the product behind nginx, with PostgreSQL, Redis, users, and our own checks and probes, and breaks
them. Each second is recorded as one minute of CloudWatch's metrics.
"""

import json
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import psycopg

from infra_runtime import checks
from infra_runtime.contract.check_targets import CheckTarget
from infra_runtime.contract.redis_url import parse
from infra_runtime.redis import probe as redis_probe
from rehearsal.product import build, command
from simulators.aws.cloudwatch.traces import BEGINS, ENDS, MINUTES, OUTAGES
from simulators.ports import free_port
from simulators.postgres.server import Postgres, running
from simulators.redis.server import Server

_USERS, _TASKS = 4, 2
_LIMIT = 40  # Most connections to the database.


@dataclass
class Product:
    """One task: a process that is restarted a while after it died, as by ECS."""

    folder: Path
    port: int
    environment: dict[str, str]
    process: "subprocess.Popen[bytes] | None" = None
    may_start: bool = True

    def restart_if_dead(self) -> bool:
        """Restarts the process if it may. Returns whether it had crashed."""
        crashed = self.process is not None and self.process.poll() is not None
        if (self.process is None or crashed) and self.may_start:
            self.process = subprocess.Popen(
                command(),
                cwd=self.folder,
                env={**self.environment, "PORT": str(self.port)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        elif crashed:
            self.process = None
        return crashed

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/health/live", timeout=0.5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


@dataclass
class RecordedWorld:
    root: Path
    postgres: Postgres
    redis: Server
    tasks: list[Product]
    port: int
    held: "list[psycopg.Connection[tuple[object, ...]]]" = field(default_factory=list)

    def hold(self, count: int) -> None:
        """Opens connections that are not closed."""
        for _ in range(count):
            with suppress(psycopg.OperationalError):
                self.held.append(_connect(self.postgres))

    def release(self) -> None:
        while self.held:
            self.held.pop().close()


Act = Callable[[RecordedWorld, int], None]
"""What happens in each minute of a scenario."""


def _at(begin: Callable[[RecordedWorld], object], end: Callable[[RecordedWorld], object]) -> Act:
    def act(world: RecordedWorld, minute: int) -> None:
        if minute == BEGINS:
            begin(world)
        if minute == ENDS:
            end(world)

    return act


def _do_nothing(_: RecordedWorld) -> None:
    return


def _stop_all(world: RecordedWorld) -> None:
    for task in world.tasks:
        task.may_start = False
        task.kill()


def _start_all(world: RecordedWorld) -> None:
    for task in world.tasks:
        task.may_start = True


def _crash_loop(world: RecordedWorld, minute: int) -> None:
    if BEGINS <= minute < ENDS and minute % 4 == 0:
        world.tasks[0].kill()


def _leak(world: RecordedWorld, minute: int) -> None:
    if BEGINS <= minute < ENDS:
        world.hold(2)
    if minute == ENDS:
        world.release()


def _locked(world: RecordedWorld, minute: int) -> None:
    """A person's transaction holds a lock on a table for the whole outage."""
    if minute == BEGINS:
        connection = _connect(world.postgres)
        connection.execute("lock table visitors in access exclusive mode")
        world.held.append(connection)
    if minute == ENDS:
        world.release()


def _connect(postgres: Postgres) -> "psycopg.Connection[tuple[object, ...]]":
    """Connects as the product does."""
    at = postgres.variables()
    return psycopg.connect(
        host=at["PGHOST"],
        port=int(at["PGPORT"]),
        user=at["PGUSER"],
        password=at["PGPASSWORD"],
        dbname=at["PGDATABASE"],
        connect_timeout=1,
    )


SCENARIOS: dict[str, Act] = {
    "nothing": _at(_do_nothing, _do_nothing),
    "service-gone": _at(_stop_all, _start_all),
    "one-task-dies": _at(lambda w: w.tasks[0].kill(), _do_nothing),
    "crash-loop": _crash_loop,
    "database-gone": _at(lambda w: w.postgres.kill(), lambda w: w.postgres.start()),
    "connections-leak": _leak,
    "table-locked": _locked,
    "redis-gone": _at(lambda w: w.redis.kill(), lambda w: w.redis.start()),
}


def main() -> None:
    OUTAGES.mkdir(exist_ok=True)
    for name, act in SCENARIOS.items():
        with tempfile.TemporaryDirectory(prefix="outage-") as folder, _world(Path(folder)) as world:
            series = _recorded(world, act)
        rows = ",\n".join(f"  {json.dumps(key)}: {json.dumps(values)}" for key, values in sorted(series.items()))
        (OUTAGES / f"{name}.json").write_text(f"{{\n{rows}\n}}\n")
        print(name, "recorded")


@contextmanager
def _world(root: Path) -> Iterator[RecordedWorld]:
    with ExitStack() as stack:
        postgres = stack.enter_context(running(Postgres()))
        with postgres.inside() as connection:
            connection.execute(f"alter system set max_connections = {_LIMIT}")
            connection.execute("create table visitors (id bigint)")
            connection.execute(f"alter table visitors owner to {postgres.user}")
        postgres.kill()
        postgres.start()
        redis = Server(root / "redis").start()
        stack.callback(redis.kill)
        environment = {
            **postgres.variables(),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "PG_POOL_MAX": "5",
            "REDIS_URL": f"redis://127.0.0.1:{redis.port}",
            "RELEASE": "one",
        }
        image = build(root / "image")
        tasks = [Product(image, free_port(), environment) for _ in range(_TASKS)]
        port = free_port()
        world = RecordedWorld(root, postgres, redis, tasks, port)
        stack.callback(world.release)
        for task in tasks:
            stack.callback(task.kill)
            task.restart_if_dead()
        stack.enter_context(_nginx(world))
        give_up = time.monotonic() + 20
        while not all(task.is_healthy() for task in tasks):
            if time.monotonic() > give_up:
                raise RuntimeError("the product does not start")
            time.sleep(0.1)
        yield world


@contextmanager
def _nginx(world: RecordedWorld) -> Iterator[None]:
    folder = world.root / "nginx"
    folder.mkdir()
    servers = " ".join(f"server 127.0.0.1:{task.port} max_fails=2 fail_timeout=2s;" for task in world.tasks)
    (folder / "nginx.conf").write_text(
        "user root; daemon off; worker_processes 1; pid nginx.pid; events { worker_connections 512; }\n"
        "http { log_format seen '$msec $status $upstream_header_time $request_time'; access_log access.log seen;\n"
        "client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;\n"
        "proxy_read_timeout 5s; proxy_connect_timeout 1s; proxy_next_upstream off;\n"
        f"upstream tasks {{ {servers} }}\n"
        f"server {{ listen 127.0.0.1:{world.port}; location / {{ proxy_pass http://tasks; }} }} }}\n"
    )
    process = subprocess.Popen(["/usr/sbin/nginx", "-p", folder, "-c", "nginx.conf", "-e", "error.log"])
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _recorded(world: RecordedWorld, act: Act) -> dict[str, list[float | None]]:
    over = threading.Event()
    users = [threading.Thread(target=_user, args=(world.port, over), daemon=True) for _ in range(_USERS)]
    for each in users:
        each.start()
    series: dict[str, list[float | None]] = {}
    began = time.time()
    for minute in range(MINUTES):
        act(world, minute)
        crashed = sum(task.restart_if_dead() for task in world.tasks)
        for key, value in (_metrics(world) | {"MatchedEvents": float(crashed)}).items():
            series.setdefault(key, []).append(value)
        time.sleep(max(0.0, began + minute + 1 - time.time()))
    over.set()
    for each in users:
        each.join(6)
    return series | _load_balancer(world.root / "nginx" / "access.log", began)


def _user(port: int, over: threading.Event) -> None:
    while not over.is_set():
        connection = HTTPConnection("127.0.0.1", port, timeout=6)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except (OSError, HTTPException):
            pass
        finally:
            connection.close()
        time.sleep(0.05)


def _metrics(world: RecordedWorld) -> dict[str, float | None]:
    """Metrics of our own checks and probes, of ECS and of RDS."""
    seen: dict[str, float | None] = {}
    # In parallel: one after the other takes longer than a second.
    measurements: dict[str, Callable[[], float | None]] = {
        "CheckFailed site": lambda: float(_check(world, "/")),
        "CheckFailed api": lambda: float(_check(world, "/api/health/live")),
        "Unusable": lambda: float(
            not redis_probe.probe(parse(f"redis://127.0.0.1:{world.redis.port}"), seconds=0.7).usable
        ),
        "HealthyHostCount api": lambda: float(sum(task.is_healthy() for task in world.tasks)),
        "RunningTaskCount api": lambda: float(sum(task.runs for task in world.tasks)),
        "DesiredTaskCount api": lambda: float(_TASKS),
        "DatabaseConnections": lambda: _connections(world.postgres),
    }
    threads = [
        threading.Thread(target=lambda key=key, measure=measure: seen.__setitem__(key, measure()), daemon=True)
        for key, measure in measurements.items()
    ]
    for each in threads:
        each.start()
    give_up = time.monotonic() + 0.9
    for each in threads:
        each.join(max(0.0, give_up - time.monotonic()))
    # A check that does not return within its minute has failed; any other metric is missing.
    late = {"CheckFailed site": 1.0, "CheckFailed api": 1.0, "Unusable": 1.0}
    return {key: seen.get(key, late.get(key)) for key in measurements}


def _check(world: RecordedWorld, path: str) -> bool:
    return checks.check(CheckTarget("it", f"http://127.0.0.1:{world.port}{path}")).trouble is not None


def _connections(postgres: Postgres) -> float | None:
    """Open connections, as a share of the limit. None when the database does not answer."""
    try:
        with postgres.inside("postgres") as connection:
            row = connection.execute("select count(*) from pg_stat_activity where datname = 'app'").fetchone()
    except psycopg.OperationalError:
        return None
    return float(str(row[0])) / _LIMIT if row else None


def _load_balancer(log: Path, began: float) -> dict[str, list[float | None]]:
    """Metrics of the load balancer, from nginx's log. A request that no task answered counts as the balancer's 5xx."""
    minutes: list[list[tuple[int, bool, float]]] = [[] for _ in range(MINUTES)]
    for line in log.read_text().splitlines():
        at, status, answered, took = line.split()
        minute = int(float(at) - began)
        if 0 <= minute < MINUTES:
            minutes[minute].append((int(status), answered != "-", float(took)))
    series: dict[str, list[float | None]] = {
        key: []
        for key in (
            "RequestCount api",
            "HTTPCode_Target_5XX_Count api",
            "HTTPCode_ELB_5XX_Count",
            "TargetResponseTime api",
        )
    }
    for requests in minutes:
        durations = [took for _, by_task, took in requests if by_task]
        series["RequestCount api"].append(float(len(requests)) or None)
        series["HTTPCode_Target_5XX_Count api"].append(float(sum(s >= 500 and t for s, t, _ in requests)) or None)
        series["HTTPCode_ELB_5XX_Count"].append(float(sum(s >= 500 and not t for s, t, _ in requests)) or None)
        slowest = statistics.quantiles(durations, n=20)[-1] if len(durations) > 1 else None
        series["TargetResponseTime api"].append(None if slowest is None else round(slowest, 4))
    return series


if __name__ == "__main__":
    main()
