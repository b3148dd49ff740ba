"""Every experiment in a sandbox of production: real minutes, alarms, traffic through the edge, and the runbook.

`GAME_DAYS` names some of them; each takes between two and twenty-five minutes. A sandbox of production that runs in
this clone already is used, and left running.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest

from config import ENVIRONMENTS, game_days, load
from config.game_days import Experiment
from config.services import hosts
from ops import alarms
from ops.console import Console
from ops.game_days import GameDayPlace
from ops.sandbox import Sandbox, running
from rehearsal.account import main_service
from rehearsal.checks.game_days import Mailbox, Stage, carry_out_experiment, hold
from rehearsal.lock import locked
from rehearsal.progress import Progress
from rehearsal.sandbox.command import WORKSPACES
from rehearsal.sandbox.lifecycle import MAILBOX, sandbox
from rehearsal.traffic import UserTraffic
from simulators.aws.process import ROOT
from simulators.ports import LOOPBACK

NAME = "production"
WANTED = os.environ.get("GAME_DAYS", "").replace("all", "").split()
# The longest window of an alarm that pages, and of what it waits for.
_QUIET_SECONDS = 20 * 60.0


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path]]:
    known = running()
    if known is not None and (known.environment, known.environments) == (NAME, str(ENVIRONMENTS)):
        yield known, WORKSPACES / NAME
        return
    workspace = tmp_path_factory.mktemp("sandbox")
    with locked("sandbox", folder=ROOT / "build"), sandbox(NAME, workspace, Progress(Console())) as found:
        yield found, workspace


@pytest.fixture
def stage(up: tuple[Sandbox, Path], monkeypatch: pytest.MonkeyPatch) -> Stage:
    found, workspace = up
    for name, value in found.variables.items():
        monkeypatch.setenv(name, value)
    environment = load([NAME])[NAME]
    service, session = main_service(environment), boto3.Session(region_name=environment.aws.region)
    port = urlsplit(found.read("addresses")[service]).port
    assert port is not None
    return Stage(
        place=GameDayPlace(NAME, environment, session),
        service=service,
        traffic=UserTraffic(hosts(environment)[service], LOOPBACK, port),
        variables=found.variables,
        minute_seconds=60.0,
        mailbox=Mailbox(workspace / "deliveries.jsonl", MAILBOX),
    )


@pytest.mark.parametrize(
    "experiment",
    [each for each in game_days.EXPERIMENTS if not WANTED or each.name in WANTED],
    ids=lambda each: each.name,
)
def test_each_experiment_stays_within_its_bounds(experiment: Experiment, stage: Stage) -> None:
    place, give_up = stage.place, time.monotonic() + _QUIET_SECONDS
    while alarms.firing(place.clients, place.environment.product, NAME):
        assert time.monotonic() < give_up, "the one before has not ended"
        time.sleep(5)
    output = hold(experiment, carry_out_experiment(stage, experiment), with_alarms=True)
    print(f"{experiment.name}: {output}")  # noqa: T201  (figures for docs/sandbox.md)
