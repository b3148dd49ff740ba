"""`./infra job …`: with the function that runs jobs and its record in memory."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from config import load
from ops.__main__ import app
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.jobs import commands
from ops.jobs.commands import JobPlace
from tests.ops.every_command import conforms
from tests.runtime.jobs.test_control import World, job

JOB = '\n[jobs.clean]\nruns = "api"\nschedule = "rate(1 hour)"\ncommand = ["node", "clean.mjs"]\nretries = 1\n'
ORCHARD = Path(__file__).parents[1] / "rehearsal" / "orchard.toml"


class Account:
    """The stacks of an environment, as far as `infra job` looks for them."""

    def __init__(self, world: World) -> None:
        self.world = world

    def client(self, service: str) -> Any:
        if service == "sts":
            return boto3.client("sts", "eu-central-1", aws_access_key_id="AKIA", aws_secret_access_key="none")
        return self.world.dynamo if service == "dynamodb" else self

    def get_paginator(self, _: str) -> "Account":
        return self

    def paginate(self, StackName: str) -> list[Any]:  # noqa: N803
        kind = "AWS::DynamoDB::Table" if StackName.endswith("registry") else "AWS::Lambda::Function"
        return [{"StackResourceSummaries": [{"ResourceType": kind, "PhysicalResourceId": StackName}]}]

    def get_function_configuration(self, FunctionName: str) -> dict[str, Any]:  # noqa: N803
        assert FunctionName.endswith("-api")
        return {
            "Handler": "infra_runtime.jobs.control.handler",
            "Environment": {"Variables": {"SERVICE": "api"}},
        }

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:  # noqa: N803
        answer = self.world.control.asked(json.loads(Payload)["job"], by="arn:aws:iam::111122223333:role/me")
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


@pytest.fixture
def world() -> World:
    return World(job(retries=1))


@pytest.fixture
def place(world: World, tmp_path: Path) -> JobPlace:
    (tmp_path / "trial.toml").write_text(ORCHARD.read_text() + JOB)
    return JobPlace("trial", load(["trial"], directory=tmp_path)["trial"], Account(world))


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs a step each time that the command waits."""

    def happens(*steps: Callable[[], object]) -> None:
        left = list(steps)
        monkeypatch.setattr("ops.jobs.commands.time.sleep", lambda _: left.pop(0)())

    return happens


def printed(work: Callable[[Console], None]) -> str:
    out = io.StringIO()
    work(Console(file=out, width=200))
    return out.getvalue()


def test_run_follows_the_run_through_its_retries(place: JobPlace, world: World, meanwhile: Callable[..., None]) -> None:
    meanwhile(lambda: world.end(1), lambda: None, lambda: world.end(0))
    shown = printed(lambda console: commands.run(place, "clean", console))
    assert shown.splitlines() == ["clean: attempt 1 runs in 1", "clean: attempt 2 runs in 2", "clean succeeded"]


def test_run_is_not_confused_by_the_run_after_it(place: JobPlace, world: World, meanwhile: Callable[..., None]) -> None:
    def schedule_is_quicker() -> None:
        world.end(0)
        world.ask()

    world.clock.passes(milliseconds=1)
    meanwhile(schedule_is_quicker)
    assert "clean succeeded" in printed(lambda console: commands.run(place, "clean", console))
    assert world.runs.current("clean") is not None


def test_run_fails_with_the_log_and_the_reason(place: JobPlace, world: World, meanwhile: Callable[..., None]) -> None:
    world.logs.lines["clean:1", "job/job/2"] = ["no such table [jobs]"]
    meanwhile(lambda: world.end(1), lambda: world.end(3))
    with pytest.raises(OperatorError) as raised:
        printed(lambda console: commands.run(place, "clean", console))
    assert str(raised.value) == (
        "clean failed with exit code 3 at attempt 2:\nno such table [jobs]\nEssential container in task exited"
    )


def test_run_tells_why_it_cannot_start(place: JobPlace, world: World) -> None:
    world.ask()
    with pytest.raises(OperatorError, match="clean is running since 2026-11-26T03:30:00"):
        printed(lambda console: commands.run(place, "clean", console))


def test_run_ends_when_its_run_is_deleted_by_hand(
    place: JobPlace, world: World, meanwhile: Callable[..., None]
) -> None:
    meanwhile(world.dynamo.items.clear)
    with pytest.raises(OperatorError, match="was it deleted"):
        printed(lambda console: commands.run(place, "clean", console))


def test_an_unknown_job_is_answered_with_the_nearest_and_with_all(
    place: JobPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command needs no credentials for it."""
    monkeypatch.setattr("ops.__main__._environment", lambda _: place.environment)
    monkeypatch.setattr("ops.__main__.session_of", lambda *_: pytest.fail("credentials were asked for"))
    with pytest.raises(InputError, match=r"JOB 'claen': expected one of .*clean; did you mean clean\?"):
        app(["job", "run", "trial", "claen"], standalone_mode=False)


def test_list_shows_why_the_newest_run_failed(place: JobPlace, world: World) -> None:
    assert "never" in printed(lambda console: commands.show(place, console, as_json=False))
    world.logs.lines["clean:1", "job/job/2"] = ["[/api] refused", "no such table [jobs]"]
    world.ask()
    world.end(1)
    world.end(3)
    shown = printed(lambda console: commands.show(place, console, as_json=False))
    for each in ("[/api] refused", "no such table [jobs]", "Essential container in task exited", " 3 ", "rate(1 hour)"):
        assert each in shown
    world.clock.passes(hours=1)
    world.ask()
    assert "running" in printed(lambda console: commands.show(place, console, as_json=False))


def test_list_as_json_has_each_attempt(place: JobPlace, world: World) -> None:
    world.ask()
    world.end(1)
    found = conforms("job list", printed(lambda console: commands.show(place, console, as_json=True)))
    assert [(each["attempt"], each["outcome"]) for each in found["clean"]] == [(2, "running"), (1, "failed")]
