"""`./infra` and the sandbox of its clone: which of the two a command reaches, and that it says so."""

import json
import os
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from config import ENVIRONMENTS
from ops import sandbox
from ops.errors import InputError
from ops.sandbox import Sandbox
from simulators.http_server import send, serving

OWN = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566", "AWS_ACCESS_KEY_ID": "of-the-sandbox"}


@pytest.fixture
def page() -> Iterator[str]:
    """A sandbox of dev, as far as `./infra` reads it."""

    def respond(handler: BaseHTTPRequestHandler, _: bytes) -> None:
        is_known = handler.command == "GET" or handler.headers["X-Sandbox"] == "t"
        send(handler, 200 if is_known else 403, (b"dev" if handler.path == "/alive" else handler.path.encode()))

    with serving(respond) as url:
        yield url


@pytest.fixture(autouse=True)
def environ(monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy, which the command may change."""
    monkeypatch.setattr(
        os, "environ", {"AWS_PROFILE": "mine", "AWS_SESSION_TOKEN": "t", "https_proxy": "p", "HOME": "/"}
    )


def written(folder: Path, page: str) -> Path:
    file = folder / "sandbox.json"
    Sandbox("dev", str(ENVIRONMENTS), page, "t", OWN).write(file)
    return file


def test_its_environment_is_reached_without_the_persons_own_settings_and_the_command_says_so(
    page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.enter("dev", written(tmp_path, page))
    assert {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")} == {"HOME": "/", **OWN}
    assert "SANDBOX: dev on this machine" in capsys.readouterr().err


def test_another_environment_is_the_real_one_and_the_command_says_so(
    page: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It makes no difference whether the sandbox still runs: an incident cannot wait for that."""
    before = dict(os.environ)
    for url in (page, "http://127.0.0.1:9"):
        sandbox.enter("production", written(tmp_path, url))
        assert os.environ == before
        assert "this is the real production" in capsys.readouterr().err


def test_without_a_sandbox_nothing_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = dict(os.environ)
    sandbox.enter("dev", tmp_path / "none.json")
    assert os.environ == before
    assert capsys.readouterr().err == ""


def test_one_that_has_died_stops_commands_for_its_environment(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"does not answer at http://127\.0\.0\.1:9.*delete the file"):
        sandbox.enter("dev", written(tmp_path, "http://127.0.0.1:9"))


def test_a_sandbox_of_another_environments_folder_is_ignored(page: str, tmp_path: Path) -> None:
    """For example the tests' environments, while a sandbox runs in the clone."""
    before = dict(os.environ)
    Sandbox("dev", "/elsewhere", page, "t", OWN).write(tmp_path / "sandbox.json")
    sandbox.enter("dev", tmp_path / "sandbox.json")
    assert os.environ == before


def test_an_invalid_sandbox_file_is_named(tmp_path: Path) -> None:
    for text in ("", "{}", "[]"):
        (tmp_path / "sandbox.json").write_text(text)
        with pytest.raises(InputError, match="delete it"):
            sandbox.enter("dev", tmp_path / "sandbox.json")


def test_its_file_is_for_its_owner_only(page: str, tmp_path: Path) -> None:
    file = written(tmp_path, page)
    assert file.stat().st_mode & 0o077 == 0
    assert json.loads(file.read_text())["environment"] == "dev"


def test_the_fault_is_requested_from_the_sandbox(page: str, tmp_path: Path) -> None:
    assert sandbox.required(written(tmp_path, page)).ask("break", "redis") == "/break/redis"


def test_without_a_sandbox_the_command_names_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make sandbox ENV=dev"):
        sandbox.required(tmp_path / "none.json")
