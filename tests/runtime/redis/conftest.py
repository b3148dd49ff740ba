"""Real servers on loopback, and an authority they are trusted by."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from simulators.redis.authority import Authority
from simulators.redis.server import Sentinels, Server, cluster, running, sentinels

PASSWORD = "s3cret-of-the-tests"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A standalone server with a password."""
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
    """A CA that every client of this process trusts."""
    found = Authority()
    monkeypatch.setenv("SSL_CERT_FILE", str(found.write(tmp_path / "trusted.pem")))
    return found
