"""`./infra redis …`, as a person types it: with a Redis on this machine, and with an account that was deployed to."""

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra_runtime.redis import readonly_commands
from rehearsal.account import Account
from simulators.redis.server import Server, running
from tests.ops.command import Answer, infra_says

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "s3cret-of-the-tests"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = Server(tmp_path / "server", password=PASSWORD)
    with running(one):
        yield one


def asks(*words: str, **environment: str) -> Answer:
    return without_secrets(infra_says("redis", *words, COLUMNS="160", **environment))


def without_secrets(answer: Answer) -> Answer:
    assert "Traceback" not in answer.stdout + answer.stderr
    assert PASSWORD not in answer.stdout + answer.stderr
    return answer


def test_url_shows_how_it_is_read_and_no_secret() -> None:
    done = asks("url", "--json", REDIS_URL=f"rediss://u:{PASSWORD}@cache.example.com:6379", REDIS_DB="3")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "form": "single",
        "nodes": "cache.example.com:6379",
        "tls": "on",
        "username": "u",
        "password": "********",
        "database": "3",
    }
    assert "cache.example.com:6379" in asks("url", REDIS_URL="redis://cache.example.com").stdout


def test_the_command_works_in_any_folder() -> None:
    done = subprocess.run(
        [ROOT / "infra", "redis", "url"],
        env={**os.environ, "REDIS_URL": f"redis://:{PASSWORD}@h@h"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    without_secrets(Answer(done.returncode, done.stdout, done.stderr))
    assert (done.returncode, "REDIS_URL: expected one @ at most" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "REDIS_URL: expected in the environment"),
        ({"REDIS_URL": f"redis://:{PASSWORD}@h@h"}, "REDIS_URL: expected one @ at most"),
        ({"REDIS_URL": "redis://h/1", "REDIS_DB": "2"}, "REDIS_DB: expected the database that REDIS_URL names"),
        ({"REDIS_PASSWORD": PASSWORD}, "REDIS_PASSWORD: expected REDIS_URL beside it"),
    ],
)
def test_an_unreadable_value_is_reported_in_one_line(environment: dict[str, str], message: str) -> None:
    for word in ("url", "check"):
        done = asks(word, **environment)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith(message)


def test_check_from_here(server: Server) -> None:
    variables = {"REDIS_URL": f"redis://127.0.0.1:{server.port}", "REDIS_PASSWORD": PASSWORD}
    done = asks("check", "--json", **variables)
    assert (done.returncode, json.loads(done.stdout)["level"]) == (0, "ok")
    server.kill()
    done = asks("check", **variables)
    assert done.returncode == 3
    assert "nothing listens on the port" in done.stdout
    assert "docs/runbooks/redis-connection-failure.md" in done.stdout


def test_check_from_inside_the_vpc(production: Account) -> None:
    reach = {**production.cdk.credentials, "AWS_ENDPOINT_URL": production.cdk.endpoint or ""}
    done = asks("check", "production", "--json", **reach)
    assert (done.returncode, json.loads(done.stdout)["level"]) == (0, "ok"), done.stderr
    done = asks("check", "production", "--instance", "mian", **reach)
    assert (done.returncode, done.stderr) == (
        2,
        "--instance 'mian': expected one of main, the instances of production\n",
    )
    other = {**reach, "AWS_ACCESS_KEY_ID": "999988887777"}
    done = asks("check", "production", **other)
    assert done.returncode == 1
    assert "your credentials are of 999988887777" in done.stderr


def test_ask_from_inside_the_vpc(production: Account) -> None:
    reach = {**production.cdk.credentials, "AWS_ENDPOINT_URL": production.cdk.endpoint or ""}
    done = asks("ask", "production", "info", "memory", **reach)
    assert done.returncode == 0, done.stderr
    assert "used_memory_human:" in done.stdout
    done = asks("ask", "production", "--json", "config", "get", "*", **reach)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("'config get *': expected one of INFO, DBSIZE")


def test_redis_commands_of_runbooks_are_allowed() -> None:
    asked = [
        shlex.split(words.partition("|")[0])
        for path in (ROOT / "docs").rglob("*.md")
        for words in re.findall(r"`\./infra redis ask production ([^`]+)`", path.read_text())
    ]
    assert len(asked) > 5
    for words in asked:
        readonly_commands.check(words[2:] if words[0] == "--instance" else words)
