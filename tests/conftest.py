"""Set before the first import of aws_cdk and of our configuration, and shared by all tests."""

import fcntl
import gc
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest

from rehearsal import clean_environment

if TYPE_CHECKING:
    from config import Environment
    from rehearsal.account import Account
    from tests.databases import Database

ROOT = Path(__file__).resolve().parent.parent

clean_environment.enter()
# With Python's default, a quarter of the tests' processor time goes into collecting garbage (docs/performance.md).
gc.set_threshold(50_000)
# Only here: all processes of the tests use the tests' environments. Only
# tests/own_environments/ and the snapshots read environments/, which its owner may edit.
os.environ["INFRA_ENVIRONMENTS"] = str(ROOT / "tests" / "environments")
# CDK's own validation costs three seconds a process; tests/own_environments/ runs it once, in full.
os.environ["CDK_VALIDATION"] = "false"
# Each command of a test opens a session of its own, which would read the services' models again.
botocore.session.create_loader = cache(botocore.session.create_loader)


def pytest_collection_finish() -> None:
    """Keeps what was imported out of collections of garbage: pytest runs two at the end of each process."""
    gc.freeze()


@pytest.fixture(scope="session")
def context() -> dict[str, Any]:
    """The feature flags of cdk.json, without which CDK creates other templates."""
    loaded: dict[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
    return loaded


@pytest.fixture(scope="session")
def assembly(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' environments, synthesized here, without validation; once for the processes of `tools.suite`."""
    import aws_cdk as cdk

    import app
    from config import load

    def make(output: Path) -> None:
        root = cdk.App(context=context, outdir=str(output))
        app.build(root, load())
        root.synth()

    return _once("assembly", make, tmp_path_factory)


def _once(name: str, make: Callable[[Path], None], temporary: pytest.TempPathFactory) -> Path:
    """The folder that `make` fills, once for all processes of the suite."""
    folder = Path(os.environ.get(clean_environment.SHARED) or temporary.mktemp("made")) / name
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "whole").exists():
            make(folder / "cdk.out")
            (folder / "whole").touch()
    return folder / "cdk.out"


@pytest.fixture(scope="session")
def templates(assembly: Path) -> dict[str, dict[str, Any]]:
    """Every template, by "environment/Stack"."""
    return _templates(assembly)


def _templates(assembly: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for nested in sorted(assembly.glob("assembly-*")):
        manifest = json.loads((nested / "manifest.json").read_text())
        for artifact in manifest["artifacts"].values():
            if artifact["type"] == "aws:cloudformation:stack":
                path = nested / artifact["properties"]["templateFile"]
                found[artifact["displayName"]] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="session")
def loaded() -> "dict[str, Environment]":
    """The environments of `templates`."""
    from config import load

    return load()


@pytest.fixture(scope="session")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The owner's environments/, synthesized by the CDK CLI with strict validation: CDK's own rules and cdk-nag."""
    from config.loader import OWN

    def make(output: Path) -> None:
        done = _synth(output, "--context", f"environments={OWN}")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "end-of-life" not in done.stderr, "eleven lines of banner"

    return _once("validated", make, tmp_path_factory)


@pytest.fixture(scope="session")
def own_templates(validated: Path) -> dict[str, dict[str, Any]]:
    """Every template of the owner's environments/, by "environment/Stack"."""
    return _templates(validated)


@pytest.fixture(scope="session")
def every_redis(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Templates of an environment with every kind of Redis and a queue; validated like all others."""
    from config import ENVIRONMENTS
    from rehearsal.variants import with_queue, with_redis

    folder = tmp_path_factory.mktemp("every-redis")
    ways = {"main": "cluster", "next": "upstash", "last": "external"}
    caches = with_redis(ENVIRONMENTS, "dev", ways, serves="next", into=folder / "caches")
    environments = with_queue(caches, "dev", into=folder / "environments")
    output = folder / "cdk.out"
    done = _synth(output, "--context", "env=dev", "--context", f"environments={environments}")
    assert done.returncode == 0, done.stdout + done.stderr
    return _templates(output)


def _synth(output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Validates without network: its proxy does not exist. Temporary files go to a folder beside `output`."""
    clean = {key: value for key, value in os.environ.items() if key != "CDK_VALIDATION"}
    clean.pop("JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION")
    nowhere = "http://127.0.0.1:9"
    temporary = output.parent / "temporary"
    temporary.mkdir(exist_ok=True)
    return subprocess.run(
        [ROOT / "node_modules" / ".bin" / "cdk", "synth", "--quiet", "--no-notices", "-o", output, *options],
        cwd=ROOT,
        env={
            **clean,
            "HTTPS_PROXY": nowhere,
            "HTTP_PROXY": nowhere,
            "HOME": str(output.parent),
            "TMPDIR": str(temporary),
        },
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip


@pytest.fixture
def environments(tmp_path: Path) -> Path:
    """A copy of the tests' environments that a test may change."""
    from config import ENVIRONMENTS

    copy = tmp_path / "environments"
    shutil.copytree(ENVIRONMENTS, copy)
    return copy


@pytest.fixture(scope="session")
def production(assembly: Path, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Account]":
    from config import load
    from tests import deployed

    environment = load(["production"])["production"]
    with deployed.deployed("production", environment, assembly, tmp_path_factory.mktemp("rehearsal")) as account:
        yield account


@pytest.fixture(scope="session")
def development(context: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Account]":
    """dev, with a queue and secrets."""
    from tests import deployed

    with deployed.development(context, tmp_path_factory.mktemp("dev")) as account:
        yield account


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Callable[..., Database]]":
    """Creates databases in one real PostgreSQL server with TLS."""
    from simulators.postgres.server import Postgres, running
    from simulators.redis.authority import Authority
    from tests.databases import make

    authority = Authority()
    trusted = authority.write(tmp_path_factory.mktemp("postgres") / "authority.pem")
    with running(Postgres(certificate=authority.certificate("127.0.0.1", "localhost"))) as server:
        yield lambda **options: make(server, str(trusted), **options)


@pytest.fixture
def database(databases: "Callable[..., Database]") -> "Database":
    """A database with production's roles."""
    return databases()
