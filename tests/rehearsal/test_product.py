"""The rehearsed product runs on Node.js and on Bun, and answers what an environment's file asks for."""

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis as redis_py

from infra_runtime.database.connection import Login
from rehearsal.product import build, command, programs_of_bun
from rehearsal.product.asked import CONTRACT, ImageContract, write_scripts
from simulators.ports import free_port
from simulators.redis.server import Server
from tests.databases import Database

# Answers of server.mjs itself.
PRODUCT = ImageContract(
    alive="/health",
    release="/api/health",
    version=None,
    expect={"services.database": "up", "services.redis": "up"},
    redis=None,
)
# Another application's answers.
OTHER = ImageContract(
    alive="/healthz", release="/ready", version="build.image", expect={"cache.redis": "fine", "db": "fine"}, redis=None
)


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.kill()


@pytest.fixture(params=["node", "bun"])
def runtime(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@dataclass(frozen=True)
class Task:
    """Runs an image's program as a container would."""

    folder: Path
    variables: Mapping[str, str]

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(words, cwd=self.folder, env=self.variables, capture_output=True, text=True, check=False)

    @contextmanager
    def serving(self, command: Sequence[str]) -> Iterator[Callable[[str], Any]]:
        """The answer at a path. The program must exit by itself on SIGTERM."""
        port = free_port()
        process = subprocess.Popen(command, cwd=self.folder, env={**self.variables, "PORT": str(port)})

        def ask(path: str) -> Any:
            give_up = time.monotonic() + 20
            while True:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                        return json.loads(answer.read())
                except urllib.error.HTTPError:
                    raise
                except OSError:
                    assert time.monotonic() < give_up, "it does not listen"
                    time.sleep(0.05)

        try:
            yield ask
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


Made = Callable[..., Task]


@pytest.fixture
def task(database: Database, redis: Server, runtime: str, tmp_path: Path) -> Made:
    programs = f"{programs_of_bun(tmp_path / 'bun')}:" if runtime == "bun" else ""

    def make(login: Login, asked: ImageContract, *, redis_port: int = redis.port) -> Task:
        folder = tmp_path / "image"
        variables = database.variables(login)
        return Task(
            folder if folder.exists() else build(folder, asked=asked),
            {
                "PATH": f"{programs}/usr/local/bin:/usr/bin:/bin",
                "HOME": str(tmp_path),
                "NODE_EXTRA_CA_CERTS": variables["NODE_EXTRA_CA_CERTS"],
                "DATABASE_URL": login.url(variables),
                "REDIS_URL": f"redis://127.0.0.1:{redis_port}",
                "RELEASE": "one",
            },
        )

    return make


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (PRODUCT, {"status": "healthy", "services": {"database": "up", "redis": "up"}}),
        (CONTRACT, {"version": "one", "checks": {"database": "ok", "redis": "ok"}}),
        (OTHER, {"build": {"image": "one"}, "cache": {"redis": "fine"}, "db": "fine"}),
    ],
    ids=["the product's own", "the contract's", "somebody else's"],
)
def test_it_migrates_answers_requests_and_ends_at_sigterm(
    asked: ImageContract, answer: object, task: Made, database: Database, runtime: str
) -> None:
    assert "successfully" in task(database.owner, asked).run("node", "migrate.mjs").stdout
    with task(database.user, asked).serving(command(asked, bun=runtime == "bun")) as ask:
        ask(asked.alive)
        assert ask(str(asked.release)) == answer
        assert ask("/") == {"version": "one", "visitors": 0, "runtime": runtime}


def test_it_answers_200_and_says_what_it_lacks(task: Made, database: Database, runtime: str) -> None:
    task(database.owner, PRODUCT).run("node", "migrate.mjs")
    without = task(database.user, PRODUCT, redis_port=free_port())
    with without.serving(command(PRODUCT, bun=runtime == "bun")) as ask:
        assert ask("/api/health") == {"status": "degraded", "services": {"database": "up", "redis": "down"}}


def test_a_worker_without_redis_runs_until_sigterm(task: Made, database: Database, runtime: str) -> None:
    """A worker need not name Redis among its needs: its queue may be a table."""
    made = task(database.user, CONTRACT)
    variables = {name: value for name, value in made.variables.items() if name != "REDIS_URL"}
    process = subprocess.Popen((runtime, "worker.mjs"), cwd=made.folder, env=variables)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(2)
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()


def test_a_worker_takes_jobs_from_the_redis_of_its_queue(
    task: Made, database: Database, runtime: str, redis: Server
) -> None:
    """docs/queues.md: a worker whose only need is the queue has no REDIS_URL."""
    made = task(database.user, PRODUCT)
    variables = {name: value for name, value in made.variables.items() if name != "REDIS_URL"}
    client = redis_py.Redis(port=redis.port)
    client.lpush("mail", "one")
    process = subprocess.Popen(
        (runtime, "worker.mjs"), cwd=made.folder, env={**variables, "REDIS_QUEUE_URL": made.variables["REDIS_URL"]}
    )
    try:
        give_up = time.monotonic() + 10
        while (sent := client.rpop("sent")) is None and time.monotonic() < give_up:
            time.sleep(0.1)
        assert sent == b"one by one"
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()


def test_scripts_have_the_names_that_commands_give_them(task: Made, database: Database, runtime: str) -> None:
    migrate, job = ("src/db/migrate.ts", "src/report.ts") if runtime == "bun" else ("dist/migrate.js", "dist/report.js")
    made = task(database.owner, PRODUCT)
    write_scripts(made.folder, [((runtime, migrate), "migrate.mjs"), ((runtime, job, "visitors"), "job.mjs")])
    assert "successfully" in made.run(runtime, migrate).stdout
    assert "visitors: 0 rows" in made.run(runtime, job, "visitors").stdout
    failed = made.run(runtime, job, "reports")
    assert (failed.returncode, failed.stderr.strip()) == (3, 'relation "reports" does not exist')
