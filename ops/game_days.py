"""`infra gameday`: lists the experiments of an environment, and runs one."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from config import game_days, services
from config.game_days import Action, Experiment
from config.model import Environment
from infra_runtime.contract.names import stack_name
from ops import alarms
from ops.account import not_deployed
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.functions import Clients, resources
from ops.ids import label, resources_of
from ops.report import print_json
from ops.sandbox import Sandbox, running

_STACK = "observability"
_TEMPLATE = "AWS::FIS::ExperimentTemplate"
_EVERY_SECONDS = 1.0
_OVER = ("completed", "stopped", "failed", "cancelled")


@dataclass(frozen=True)
class GameDayPlace:
    """One environment, and the clients that reach it."""

    name: str
    environment: Environment
    clients: Clients
    sleep: Callable[[float], None] = time.sleep
    sandbox: Callable[[], Sandbox | None] = running
    """The sandbox of this clone."""

    def experiment(self, name: str) -> Experiment:
        """Raises `InputError`."""
        found = {each.name: each for each in game_days.of(self.environment)}
        if name not in found:
            everywhere = {each.name for each in game_days.EXPERIMENTS}
            why = f"; {self.name} has no redundancy that it could show" if name in everywhere else ""
            raise InputError(f"EXPERIMENT {name!r}: expected one of {', '.join(found)}{why}")
        return found[name]

    def template(self, experiment: Experiment) -> str:
        """Id of its template. Raises `OperatorError`."""
        number = self._zone_of_primary() if experiment.action is Action.FAIL_OVER_REDIS else ""
        wanted = f"{_STACK}/GameDays{services.words(experiment.name)}{number}"
        for stack, each in resources_of(self.name, self.environment, self.clients, [_STACK]):
            if each["ResourceType"] == _TEMPLATE and label(stack, each["LogicalResourceId"]) == wanted:
                return str(each["PhysicalResourceId"])
        raise not_deployed(self.name, f"there is no template of {experiment.name}")

    def _zone_of_primary(self) -> int:
        """Index of the Redis primary's zone among the environment's zones. In cluster mode every zone has primaries."""
        stack = stack_name(self.environment.product, self.name, "redis")
        (group, *_) = resources(self.clients, stack, "AWS::ElastiCache::ReplicationGroup")
        found = self.clients.client("elasticache").describe_replication_groups(ReplicationGroupId=group)
        zones = [
            member["PreferredAvailabilityZone"]
            for shard in found["ReplicationGroups"][0]["NodeGroups"]
            for member in shard["NodeGroupMembers"]
            if member.get("CurrentRole") == "primary"
        ]
        known = list(self.environment.network.availability_zones)
        return known.index(zones[0]) if zones else 0


def show(name: str, environment: Environment, console: Console, *, as_json: bool) -> None:
    """The experiments that the environment has redundancy for."""
    found = game_days.of(environment)
    if as_json:
        print_json(found)
        return
    table = Table("experiment", "what happens", "users lose at most", "alarms", "runbook", "where")
    for each in found:
        table.add_row(
            each.name,
            each.what,
            f"{each.lost_percent:g} % in {each.minutes} min",
            _expected(each),
            f"docs/runbooks/{each.runbook}.md",
            each.action or f"sandbox only: {each.sandbox_only}",
        )
    console.print(table)
    if not found:
        console.print(f"{name} has no redundancy that an experiment could show", highlight=False)


def _expected(experiment: Experiment) -> str:
    """By runbook."""
    page = " (incident, if it took long)" if experiment.may_page else ""
    return f"{', '.join(experiment.alarms) or 'none'}{page}"


def run(place: GameDayPlace, name: str, console: Console) -> None:
    """Carries out the experiment and follows it. Raises `InputError` and `OperatorError`."""
    experiment = place.experiment(name)
    if on := alarms.firing(place.clients, place.environment.product, place.name):
        raise OperatorError(f"{place.name}: {on[0].alarm} fires already: {on[0].means} See {on[0].runbook}")
    console.print(f"{experiment.name} in {place.name}: {experiment.what}", highlight=False)
    began = datetime.now(UTC)
    if experiment.action is None:
        _in_the_sandbox(place, experiment, console)
    else:
        _by_fis(place, place.template(experiment), console)
    fired = alarms.firing(place.clients, place.environment.product, place.name)
    for each in fired:
        console.print(f"{each.severity}: {each.alarm}: {each.means} See {each.runbook}", markup=False, highlight=False)
    took = (datetime.now(UTC) - began).total_seconds()
    console.print(
        f"over after {took:.0f} s. Expected: at most {experiment.lost_percent:g} % of requests lost; alarms: "
        f"{_expected(experiment)}. Now the commands of docs/runbooks/{experiment.runbook}.md",
        markup=False,
        highlight=False,
    )


def _by_fis(place: GameDayPlace, template: str, console: Console) -> None:
    fis = place.clients.client("fis")
    started = fis.start_experiment(experimentTemplateId=template)["experiment"]
    console.print(f"{started['id']} of {template}; to stop it: aws fis stop-experiment --id {started['id']}")
    said = ""
    while True:
        state: dict[str, Any] = fis.get_experiment(id=started["id"])["experiment"]["state"]
        if state["status"] != said:
            said = state["status"]
            console.print(f"{datetime.now(UTC):%H:%M:%S} {said}: {state.get('reason', '')}", highlight=False)
        if said in _OVER:
            break
        place.sleep(_EVERY_SECONDS)
    if said != "completed":
        raise OperatorError(f"{place.name}: the experiment {started['id']} {said}: {state.get('reason', '')}")


def _in_the_sandbox(place: GameDayPlace, experiment: Experiment, console: Console) -> None:
    found = place.sandbox()
    if found is None or found.environment != place.name:
        raise InputError(
            f"EXPERIMENT {experiment.name!r}: only in a sandbox (make sandbox ENV={place.name}): "
            f"{experiment.sandbox_only}"
        )
    console.print(found.ask("break", experiment.name), highlight=False)
    try:
        place.sleep(60.0 * experiment.minutes)
    finally:
        console.print(found.ask("repair"), highlight=False)
