"""Whatever is wrong with credentials, network or deployment: each command says it at once, with what to do."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from config import InvalidEnvironments, load
from config.model import Environment
from ops import __main__ as infra
from ops import progress
from tests.ops.every_command import ARGUMENTS, BEFORE_A_DEPLOYMENT, ELSEWHERE, ENV, commands, with_json

ROOT = Path(__file__).resolve().parents[2]


class Failing:
    """An AWS client whose calls all fail."""

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


def test_every_command_is_tried() -> None:
    known = ARGUMENTS.keys() | ELSEWHERE.keys()
    assert commands().keys() == known, "tests/ops/every_command.py: what a test gives each command"


@pytest.fixture(scope="module")
def environment() -> Environment:
    return load([ENV])[ENV]


def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]) -> tuple[int, str]:
    """(exit code, standard error). Within ten seconds, and with nothing on standard output."""
    monkeypatch.setattr(sys, "argv", ["infra", *words])
    monkeypatch.setattr(progress._Wanted, "by_this_process", False)  # main() turns it on
    began = time.monotonic()
    with pytest.raises(SystemExit) as end:
        infra.main()
    assert time.monotonic() - began < 10
    out, err = capsys.readouterr()
    assert out == ""
    return int(end.value.code or 0), err


def forms(arguments: Mapping[str, Sequence[str]], environment: str) -> list[Any]:
    """Words of each command, for people and, where there is one, as JSON; an option comes before a `--`."""
    return [
        pytest.param([*command.split(), environment, *more, *words], id=" ".join([command, *more]))
        for command, words in arguments.items()
        for more in ([], ["--json"])
        if not more or command in with_json()
    ]


def reports(wrong: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    raises, value = WRONG[wrong]
    for name in ("HTTPS_PROXY", "https_proxy", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    fake = type("Session", (), {"__init__": lambda self, **_: None, "client": lambda self, *_, **__: Failing(raises)})
    monkeypatch.setattr(boto3, "Session", fake)
    began = time.monotonic()
    code, text = said(monkeypatch, capsys, words)
    assert value in text, text
    assert (code, text.count("\n")) == (1, 1)
    assert time.monotonic() - began < 5


@pytest.fixture
def loaded(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(infra, "load", lambda *_, **__: {ENV: environment})


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("wrong", ["expired", "unreachable", "another account"])
@pytest.mark.parametrize("words", forms(ARGUMENTS, ENV))
def test_an_error_is_one_line_with_its_remedy(
    words: list[str], wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reports(wrong, words, monkeypatch, capsys)


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize(
    "words", forms({name: words for name, words in ARGUMENTS.items() if name not in BEFORE_A_DEPLOYMENT}, ENV)
)
def test_commands_that_need_a_deployment_say_so(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """tests/ops/test_first_day.py has the other commands, in an empty account."""
    reports("not deployed", words, monkeypatch, capsys)


def of_an_environment() -> dict[str, Sequence[str]]:
    """Every command that is given one."""
    return {
        name: words
        for name, words in {**ARGUMENTS, **ELSEWHERE}.items()
        if any(each.name == "environment" for each in commands()[name].params)
    }


@pytest.fixture(scope="module")
def refusal() -> InvalidEnvironments:
    with pytest.raises(InvalidEnvironments) as raised:
        load(["prodcution"], is_deployed=True)
    return raised.value


@pytest.mark.parametrize("words", forms(of_an_environment(), "prodcution"))
def test_a_wrong_environment_is_exit_code_2_before_anybody_is_asked(
    words: list[str],
    refusal: InvalidEnvironments,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(names: list[str], **_: Any) -> None:
        assert names == ["prodcution"]
        raise refusal

    monkeypatch.setattr(infra, "load", refuse)
    monkeypatch.setattr(boto3, "Session", None)
    code, text = said(monkeypatch, capsys, words)
    assert code == 2
    assert "prodcution" in text
    assert "production" in text


@pytest.mark.parametrize("command", ["", *sorted(commands())])
def test_help_names_the_exit_codes(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["infra", *command.split(), "--help"])
    with pytest.raises(SystemExit) as end:
        infra.main()
    printed = " ".join(capsys.readouterr().out.split())
    assert end.value.code == 0
    assert "0 success" in printed
    assert "2 wrong input" in printed
    assert command or "--install-completion" in printed


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("infra stat", {"status"}),
        ("infra status prod", {"production"}),
        ("infra follow production ap", {"api"}),
        ("infra releases production --service fro", {"frontend"}),
    ],
)
def test_the_shell_completes_commands_environments_and_services(
    words: str, completed: set[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("_INFRA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    monkeypatch.setattr(sys, "argv", ["infra"])
    with pytest.raises(SystemExit):
        infra.main()
    assert set(capsys.readouterr().out.split()) == completed


def test_it_works_from_any_folder_and_by_a_link(tmp_path: Path) -> None:
    link = tmp_path / "infra"
    link.symlink_to(ROOT / "infra")
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "BROWSER")}
    done = subprocess.run(
        [link, "id", "nowhere", "database"], cwd=tmp_path, env=clean, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "production" in done.stderr
