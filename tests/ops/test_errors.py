"""Whatever is wrong with credentials, network or deployment: each command says it at once, with what to do."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer
from botocore.exceptions import ClientError, EndpointConnectionError

from config import load
from config.model import Environment
from ops import __main__ as infra

ROOT = Path(__file__).resolve().parents[2]
ENV = "production"
IMAGE = f"111122223333.dkr.ecr.eu-central-1.amazonaws.com/api@sha256:{'a' * 64}"
# What each command is given; ENV comes first. Those without credentials of ours are not here.
ARGUMENTS: dict[str, list[str]] = {
    "release": ["--service", "api", "--image", IMAGE],
    "releases": ["--service", "api"],
    "rollback": ["--service", "api"],
    "status": [],
    "follow": ["api"],
    "alarms": [],
    "drift": [],
    "run": ["--service", "api", "--", "true"],
    "doctor": [],
    "verify": ["--live", "--only", "weights"],
    "github": [],
    "logs": ["api"],
    "restart": ["api"],
    "id": ["database"],
    "call": ["drift"],
    "secret list": [],
    "restore drill": [],
    "restore list": [],
    "restore back": [],
    "restore point": ["--to", "latest"],
    "restore table": ["visitors", "--from", "daadaar-production-restored"],
    "restore objects": ["avatars/", "--to", "2026-11-26T07:59:59Z"],
    "database upgrade": ["--to", "18"],
    "effects": [],
    "edge plan": [],
    "edge drift": [],
    "edge show": [],
    "edge apply": [],
    "edge purge": ["https://media.daadaar.com/a.avif"],
    "maintenance on": [],
    "maintenance off": [],
    "maintenance show": [],
    "redis check": [],
    "redis rotate": [],
    "redis ask": ["INFO"],
}
# Those that need no account, those that need a terminal or AWS's plugin for sessions (exec, db, secret set), and those
# that need what production has not (jobs, previews).
ELSEWHERE = {
    "db dump", "db shell", "db tunnel", "egress model", "exec", "job list", "job run", "open", "preview end",
    "preview list", "preview start", "preview take", "redis url", "review", "sandbox break", "sandbox end",
    "sandbox repair", "secret set",
}  # fmt: skip


def commands() -> set[str]:
    found = set()
    for name, command in typer.main.get_group(infra.app).commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {each}" for each in inner} if inner else {name}
    return found


class Failing:
    """A client of AWS, none of whose calls succeeds."""

    exceptions = type("exceptions", (), {"__getattr__": lambda self, name: type(name, (Exception,), {})})()

    def __init__(self, raises: Callable[[str], Any]) -> None:
        self._raises = raises
        self.meta = self

    def __getattr__(self, operation: str) -> Any:
        return lambda *_, **__: self._raises(operation)


def expired(operation: str) -> Any:
    raise ClientError({"Error": {"Code": "ExpiredToken", "Message": "The security token is expired"}}, operation)


def unreachable(_: str) -> Any:
    raise EndpointConnectionError(endpoint_url="https://sts.eu-central-1.amazonaws.com")


def not_deployed(operation: str) -> Any:
    if operation == "get_caller_identity":
        return {"Account": "111122223333", "Arn": "arn:aws:iam::111122223333:user/zara"}
    if operation == "get_paginator":
        return Failing(not_deployed)
    message = "Stack with id daadaar-production-api does not exist"
    raise ClientError({"Error": {"Code": "ValidationError", "Message": message}}, operation)


def another_account(operation: str) -> Any:
    assert operation == "get_caller_identity"
    return {"Account": "999999999999"}


WRONG: dict[str, tuple[Callable[[str], Any], str]] = {
    "expired": (expired, "your credentials have expired: aws sso login"),
    "unreachable": (unreachable, "AWS cannot be reached from here"),
    "another account": (another_account, "your credentials are of 999999999999"),
    "not deployed": (not_deployed, "deploy it first: make deploy ENV=production"),
}
# Needs no stack of ours, or explains more than that it is missing.
BEFORE_A_DEPLOYMENT = {"doctor", "drift", "edge plan", "secret list", "github", "verify", "effects"}


def test_every_command_is_tried() -> None:
    assert commands() == ARGUMENTS.keys() | ELSEWHERE


@pytest.fixture(scope="module")
def environment() -> Environment:
    return load([ENV])[ENV]


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]) -> tuple[int, str]:
    """(exit code, standard error)."""
    monkeypatch.setattr(sys, "argv", ["infra", *words])
    with pytest.raises(SystemExit) as end:
        infra.main()
    return int(end.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("command", ARGUMENTS)
def test_it_is_told_in_one_line_with_what_to_do(
    command: str,
    wrong: str,
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(infra, "load", lambda *_, **__: {ENV: environment})
    if wrong == "not deployed" and command in BEFORE_A_DEPLOYMENT:
        return
    for name in ("HTTPS_PROXY", "https_proxy", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    raises, told = WRONG[wrong]
    fake = type("Session", (), {"__init__": lambda self, **_: None, "client": lambda self, *_, **__: Failing(raises)})
    monkeypatch.setattr(boto3, "Session", fake)
    began = time.monotonic()
    code, text = said(monkeypatch, capsys, [*command.split(), ENV, *ARGUMENTS[command]])
    assert told in text, text
    assert (code, text.count("\n")) == (1, 1)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("command", ["status", "edge show", "redis check"])
def test_a_wrong_environment_is_exit_code_2(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = said(monkeypatch, capsys, [*command.split(), "prodcution", *ARGUMENTS[command]])
    assert code == 2
    assert "production" in text


def test_help_names_the_exit_codes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["infra", "--help"])
    with pytest.raises(SystemExit):
        infra.main()
    told = " ".join(capsys.readouterr().out.split())
    assert "0 done" in told
    assert "2 wrong input" in told
    assert "--install-completion" in told


def test_it_works_from_any_folder_and_by_a_link(tmp_path: Path) -> None:
    link = tmp_path / "infra"
    link.symlink_to(ROOT / "infra")
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "BROWSER")}
    done = subprocess.run(
        [link, "id", "nowhere", "database"], cwd=tmp_path, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "production" in done.stderr
