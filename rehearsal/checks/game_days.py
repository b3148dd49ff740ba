"""A game day: the experiment, under traffic, and afterwards its runbook."""

import io
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from config.game_days import Experiment, several
from ops.console import Console
from ops.game_days import GameDayPlace, run
from rehearsal.checks.assertions import require, wait_until
from rehearsal.runbook import carry_out
from rehearsal.traffic import UserTraffic
from simulators.aws.deliveries import read

_RECOVERED_SECONDS = 120.0
_POLL_SECONDS = 2.0
# Budgets of errors look at a day, which in a sandbox has only had minutes.
_OF_A_DAY = {"objective"}
_RUNBOOK = re.compile(r"docs/runbooks/([\w-]+)\.md")


@dataclass(frozen=True)
class Stage:
    """Where game days are carried out."""

    place: GameDayPlace
    service: str
    """That the traffic goes to, and that runbooks are followed for."""
    traffic: UserTraffic
    variables: Mapping[str, str]
    """Of a shell that reaches the account."""
    minute_seconds: float
    """How long a minute of an experiment takes."""
    mailbox: Path | None = None
    """Everything that was notified, where alarms are evaluated."""


@dataclass(frozen=True)
class Outcome:
    requests: int
    lost: list[str]
    notified: set[str]
    """Runbooks of what was notified as a warning or worse."""
    commands: list[tuple[str, str]]
    """Of the runbook, each with what it printed."""
    took_seconds: float

    @property
    def lost_percent(self) -> float:
        return 100 * len(self.lost) / self.requests


def carry_out_experiment(stage: Stage, experiment: Experiment) -> Outcome:
    """Raises what the experiment, its runbook or the recovery fails with; holds nothing against its bounds yet."""
    scale_out(stage.place)
    began, now = time.monotonic(), datetime.now(UTC).timestamp()
    with stage.traffic.flowing() as users:
        run(stage.place, experiment.name, Console(file=io.StringIO(), width=200))
        took = time.monotonic() - began
        time.sleep(max(0.0, experiment.minutes * stage.minute_seconds - took))
        wait_until(lambda: missing(stage.place) == [], lambda: f"{missing(stage.place)}", seconds=_RECOVERED_SECONDS)
    commands = list(carry_out(stage.place, stage.service, experiment.runbook, stage.variables))
    notified = set(_notified(stage.mailbox, since=now)) if stage.mailbox else set()
    return Outcome(users.requests, users.failures, notified, commands, took)


def hold(experiment: Experiment, found: Outcome, *, with_alarms: bool) -> str:
    """What was seen. Raises `Failed` where it is not as the experiment declares."""
    told = f"{len(found.lost)} of {found.requests} requests lost, {found.lost_percent:.2f} %"
    require(found.lost_percent <= experiment.lost_percent, f"{told}: {found.lost[:3]}")
    command, output = found.commands[0]
    require(re.search(experiment.names_cause, output), f"{command} does not name the cause: {output}")
    expected = {experiment.alarm} if experiment.alarm else set()
    if with_alarms:
        require(found.notified == expected, f"notified: {found.notified}, expected: {expected}")
    return f"{told}; notified: {', '.join(found.notified) or 'nothing'}; {len(found.commands)} commands"


def _notified(mailbox: Path, *, since: float) -> Iterator[str]:
    for each in read(mailbox):
        if each.at < since or each.dropped is not None:
            continue
        try:
            message = json.loads(each.text)
        except ValueError:
            continue
        content = message.get("content", {})
        told = message.get("AlarmDescription") or f"{content.get('title', '')} {content.get('nextSteps', '')}"
        if message.get("NewStateValue", "ALARM") == "ALARM" and told.startswith(("CRITICAL", "WARNING")):
            yield from set(_RUNBOOK.findall(told)) - _OF_A_DAY


def scale_out(place: GameDayPlace) -> None:
    """As autoscaling does when it learns of a service. Here only a deployment does."""
    ecs = place.clients.client("ecs")
    for name in missing(place):
        service = _service(place, name)
        ecs.update_service(cluster=service["clusterArn"], service=service["serviceName"], forceNewDeployment=True)
    wait_until(lambda: missing(place) == [], lambda: f"{missing(place)}", seconds=_RECOVERED_SECONDS)


def missing(place: GameDayPlace) -> list[str]:
    """Services that have fewer tasks than they always have."""
    return [
        name
        for name, each in several(place.environment).items()
        if _service(place, name)["runningCount"] < each.min_tasks
    ]


def _service(place: GameDayPlace, name: str) -> Mapping[str, Any]:
    from infra_runtime.release.preflight import service_of

    found: Mapping[str, Any] = service_of(place.clients, f"{place.environment.product}-{place.name}-{name}")
    return found
