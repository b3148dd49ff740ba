"""What a person's shell has set does not reach a rehearsal or a test."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.clean_environment import ROOT, clean
from rehearsal.lock import AlreadyRunning, locked
from simulators.postgres.server import Postgres
from simulators.postgres.server import running as running_postgres
from simulators.redis.authority import Authority
from simulators.redis.server import Server, running

A_PERSONS = {
    **dict.fromkeys(("AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL", "AWS_CA_BUNDLE", "AWS_CONFIG_FILE"), "theirs"),
    **dict.fromkeys(("HTTP_PROXY", "https_proxy", "ALL_PROXY", "NO_PROXY", "no_proxy"), "theirs"),
    **dict.fromkeys(("PGHOST", "PGSERVICE", "REDIS_URL", "NODE_OPTIONS", "PYTHONWARNINGS", "SSL_CERT_FILE"), "theirs"),
    **dict.fromkeys(("AUTH", "DEBUG", "SERVICES", "GATEWAY_PORT", "PERSIST_STATE"), "theirs"),
}


def test_nothing_that_tools_read_by_themselves_is_kept() -> None:
    found = clean({**os.environ, **A_PERSONS, "PATH": "/bin", "LC_TIME": "de_DE.UTF-8"})
    assert "theirs" not in found.values()
    assert (found["PATH"], found["LC_TIME"]) == ("/bin", "de_DE.UTF-8")


def test_a_home_that_cannot_be_written_to_is_replaced() -> None:
    found = clean({"HOME": "/proc/nowhere"})
    for name in ("HOME", "JSII_RUNTIME_PACKAGE_CACHE_ROOT"):
        assert found[name].startswith(f"{ROOT}/build/")


def test_this_process_has_a_clean_environment() -> None:
    """Besides variables that pytest and tests/conftest.py set."""
    probe = f"import tests.conftest, os; print(sorted(set(os.environ) & set({list(A_PERSONS)!r})))"
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=ROOT,
        env={**os.environ, **A_PERSONS, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


def test_every_variable_that_tests_are_run_with_is_kept() -> None:
    """A new variable that clean_environment.py does not name would be dropped silently."""
    sources = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").glob("*.py")]
    read = {
        name
        for source in sources
        if source != Path(__file__)
        for name in re.findall(r"""os\.environ(?:\.get\(|\[)["'](\w+)""", source.read_text())
    }
    assert {"HISTORIES", "MIGRATIONS", "PATH"} <= read
    assert read - {"CDK_OUTDIR", "CDK_VALIDATION"} <= clean(dict.fromkeys(read, "here")).keys()


@pytest.fixture
def awkward(tmp_path: Path) -> Path:
    folder = tmp_path / 'my "clone" isn\'t $HOME/#1'
    folder.mkdir(parents=True)
    return folder


def test_redis_serves_from_any_path(awkward: Path) -> None:
    certificate = Authority().certificate("127.0.0.1")
    with running(one := Server(awkward / "redis", certificate=certificate)):
        assert one.client().ping()


def test_postgresql_serves_whatever_the_umask(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o077)
    try:
        with running_postgres(Postgres(certificate=Authority().certificate("127.0.0.1"))) as server:
            assert "ready to accept connections" in server.log()
    finally:
        os.umask(before)


def test_a_lock_names_who_holds_it_and_ends_with_its_block(tmp_path: Path) -> None:
    with (
        locked("dev", folder=tmp_path),
        locked("staging", folder=tmp_path),
        pytest.raises(AlreadyRunning, match=f"dev .* by process {os.getpid()}"),
        locked("dev", folder=tmp_path),
    ):
        pass
    with locked("dev", folder=tmp_path):
        pass
