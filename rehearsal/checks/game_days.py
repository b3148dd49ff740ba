"""A game day: runs an experiment under traffic, then follows its runbook."""

import io
import json
import math
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.game_days import Experiment, redundant
from infra_runtime.contract.names import stack_name
from ops.console import Console
from ops.game_days import GameDayPlace, run
from rehearsal.checks.assertions import require, wait_until
from rehearsal.runbook import carry_out
from rehearsal.traffic import UserTraffic
from simulators.aws.deliveries import read

_RECOVERED_SECONDS = 120.0
_POLL_SECONDS = 2.0
# Share of an experiment's time after which its runbook begins even without an alarm.
_LATE_ENOUGH = 0.75
# Cloudflare's numbers of a window of five minutes are published ten to fifteen minutes after its beginning.
_LAST_NUMBERS_SECONDS = 16 * 60.0
# Mostly paths that use PostgreSQL, as pages of a product do; then Redis, and a slow answer.
_PATHS = ("/", "/", "/", "/limited", "/", "/", "/", "/slow")
_RUNBOOK = re.compile(r"docs/runbooks/([\w-]+)\.md")
_SEVERITY = re.compile(r"Critical|Warning")


@dataclass(frozen=True)
class Mailbox:
    """Received notifications, if alarms are evaluated."""

    file: Path
    address: str
    """Address that is subscribed to every topic."""

    def notified(self, *, since: float) -> dict[str, list[float]]:
        """Times of notifications to the topics for warnings and on-call, by runbook; seconds since 1970."""
        found: dict[str, list[float]] = {}
        for each in read(self.file):
            # Parts of an incident notify as info, not with their own severity.
            if each.to != self.address or each.at < since or not _SEVERITY.search(each.topic):
                continue
            message = json.loads(each.text)
            content = message.get("content", {})
            said = message.get("AlarmDescription") or content.get("nextSteps", [""])[0]
            if message.get("NewStateValue", "ALARM") == "ALARM" and (runbook := _RUNBOOK.search(said)):
                found.setdefault(runbook[1], []).append(each.at)
        return found


@dataclass(frozen=True)
class Stage:
    """Environment in which game days run."""

    place: GameDayPlace
    service: str
    """Service that gets the traffic, and whose runbooks are followed."""
    traffic: UserTraffic
    variables: Mapping[str, str]
    """Environment variables of a shell that reaches the account."""
    minute_seconds: float
    """How long a minute of an experiment takes."""
    mailbox: Mailbox | None = None
    """None where no alarm is evaluated."""


@dataclass(frozen=True)
class Outcome:
    requests: int
    lost: list[str]
    notified: dict[str, list[float]]
    """Seconds from the beginning of the experiment to each notification, by runbook."""
    commands: list[tuple[str, str]]
    """Commands of the runbook, each with its output."""

    @property
    def lost_percent(self) -> float:
        return 100 * len(self.lost) / self.requests


def carry_out_experiment(stage: Stage, experiment: Experiment) -> Outcome:
    """Runs the experiment. Raises errors of the experiment, its runbook or the recovery; does not check its bounds."""
    scale_out(stage.place)
    began, lasts = time.time(), experiment.minutes * stage.minute_seconds
    runbook = carry_out(stage.place, stage.service, experiment.runbook, stage.variables)
    with stage.traffic.arriving(_PATHS) as users, ThreadPoolExecutor(1) as executor:
        running = executor.submit(run, stage.place, experiment.name, Console(file=io.StringIO(), width=200))
        _wait_for_alarm(stage, experiment, began=began, seconds=_LATE_ENOUGH * lasts)
        commands = [next(runbook)]
        running.result()
        time.sleep(max(0.0, began + lasts - time.time()))
        wait_until(lambda: missing(stage.place) == [], lambda: f"{missing(stage.place)}", seconds=_RECOVERED_SECONDS)
    over = time.time()
    commands += runbook
    if stage.mailbox is None:
        return Outcome(users.requests, users.failures, {}, commands)
    if experiment.alarms:
        time.sleep(max(0.0, over + _LAST_NUMBERS_SECONDS - time.time()))
    notified = stage.mailbox.notified(since=began)
    after = {name: [round(each - began, 1) for each in those] for name, those in notified.items()}
    return Outcome(users.requests, users.failures, after, commands)


def _wait_for_alarm(stage: Stage, experiment: Experiment, *, began: float, seconds: float) -> None:
    """Waits for the first expected notification, or so many seconds."""
    while time.time() < began + seconds:
        if stage.mailbox and set(experiment.alarms) & set(stage.mailbox.notified(since=began)):
            return
        time.sleep(min(_POLL_SECONDS, seconds / 10))


def hold(experiment: Experiment, found: Outcome, *, with_alarms: bool) -> str:
    """What was observed. Raises `Failed` if it exceeds the bounds that the experiment declares."""
    command, output = found.commands[0]
    text = (
        f"{len(found.lost)} of {found.requests} requests lost, {found.lost_percent:.2f} %; "
        f"notified after seconds: {found.notified or 'nothing'}; {command}; {len(found.commands)} commands"
    )
    # In CI an experiment is short: of 87 requests, one is more than a hundredth, and less than one cannot be lost.
    most = math.ceil(found.requests * experiment.lost_percent / 100)
    require(len(found.lost) <= most, f"{text}: {found.lost[:3]}")
    require(re.search(experiment.names_cause, output), f"{text}: it does not name the cause: {output}")
    expected = set(experiment.alarms)
    if with_alarms:
        may = expected | ({"incident"} if experiment.may_page else set())
        require(expected <= set(found.notified) <= may, f"{text}: expected {sorted(expected) or 'nothing'}")
        require(len(found.notified.get("incident", [])) <= 1, f"{text}: one incident is several pages")
    return text


def scale_out(place: GameDayPlace) -> None:
    """Starts the tasks that autoscaling would start; here only a deployment does."""
    ecs = place.clients.client("ecs")
    for name in missing(place):
        service = _service(place, name)
        ecs.update_service(cluster=service["clusterArn"], service=service["serviceName"], forceNewDeployment=True)
    wait_until(lambda: missing(place) == [], lambda: f"{missing(place)}", seconds=_RECOVERED_SECONDS)


def missing(place: GameDayPlace) -> list[str]:
    """Services that run fewer tasks than their minimum."""
    return [
        name
        for name, each in redundant(place.environment).items()
        if _service(place, name)["runningCount"] < each.min_tasks
    ]


def _service(place: GameDayPlace, name: str) -> Mapping[str, Any]:
    from infra_runtime.release.preflight import service_of

    found: Mapping[str, Any] = service_of(place.clients, stack_name(place.environment.product, place.name, name))
    return found
