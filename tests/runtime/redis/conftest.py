"""Real servers on loopback, an authority they are trusted by, and ioredis as a second reader of URLs."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.redis.authority import Authority
from rehearsal.redis.server import Sentinels, Server, cluster, running, sentinels

ROOT = Path(__file__).resolve().parents[3]
PASSWORD = "s3cret-of-the-tests"
_READER = """
const { parseURL } = require('ioredis/built/utils');
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  let read;
  try { read = parseURL(JSON.parse(line)); } catch (error) { read = { error: String(error) }; }
  process.stdout.write(JSON.stringify(read) + '\\n');
});
"""
Read = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="session")
def ioredis_reads() -> Iterator[Read]:
    """How ioredis itself reads a URL; `error` where it does not."""
    with subprocess.Popen(
        ["node", "-e", _READER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def read(url: str) -> dict[str, Any]:
            process.stdin.write(json.dumps(url) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            found: dict[str, Any] = json.loads(process.stdout.readline())  # type: ignore[union-attr]
            return found

        yield read
        process.stdin.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Standalone, with a password."""
    one = Server(tmp_path / "server", password=PASSWORD)
    with running(one):
        yield one


@pytest.fixture(scope="module")
def three_sentinels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sentinels]:
    with sentinels(tmp_path_factory.mktemp("sentinels"), password=PASSWORD) as found:
        yield found


@pytest.fixture(scope="module")
def six_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    with cluster(tmp_path_factory.mktemp("cluster"), password=PASSWORD) as found:
        yield found


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """Trusted by every client of this process."""
    found = Authority()
    monkeypatch.setenv("SSL_CERT_FILE", str(found.write(tmp_path / "trusted.pem")))
    return found
