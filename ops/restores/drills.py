"""`infra restore drill`, and what `infra restore list` shows of drills."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.table import Table

from config.model import Environment
from infra_runtime.contract.names import parameters, stack_name
from infra_runtime.contract.restore_drills import LAST, STARTED, SUCCEEDED, Drill
from infra_runtime.state_store import SsmStateStore
from ops.console import Console
from ops.errors import OperatorError
from ops.functions import Clients, ask, find
from ops.progress import working
from ops.report import print_json
from ops.restores.commands import Restorable, restorable
from ops.restores.commands import show as show_instances
from ops.restores.instances import Instances

# AWS Backup reports the end within five minutes, by best effort; the function also checks once an hour.
_EVERY_SECONDS = 15.0
_LONGEST_SECONDS = 6 * 3600.0


@dataclass(frozen=True)
class Drills:
    name: str
    """Name of the environment."""
    environment: Environment
    clients: Clients
    sleep: Callable[[float], None] = time.sleep
    """Between two polls; seconds."""

    @property
    def _store(self) -> SsmStateStore:
        return SsmStateStore(self.clients.client("ssm"), parameters(self.environment.product, self.name, "restore"))

    def start(self) -> str:
        """Id of the restore job. Raises `OperatorError`."""
        if not self.environment.database.restore_drills:
            raise OperatorError(f"{self.name} has no restore drills: set database.restore_drills = true and deploy it")
        stack = stack_name(self.environment.product, self.name, "data")
        what = "function that verifies restore drills"
        function = find(self.clients, stack, "database.drills", {}, what=what)
        return str(ask(self.clients, function, {"do": "start"}, what="restore drill")["job"])

    def result(self, job: str) -> Drill:
        """Waits for it. Raises `OperatorError`."""
        give_up = time.monotonic() + _LONGEST_SECONDS
        while (last := self._remembered(LAST)) is None or last.job != job:
            if time.monotonic() > give_up:
                raise OperatorError(f"{job} has not ended after six hours; infra restore list {self.name}")
            self.sleep(_EVERY_SECONDS)
        return last

    def running(self) -> str | None:
        """Id of the restore job of the drill that was started by hand."""
        found = self._store.get(STARTED)
        return None if found is None else str(found["job"])

    def results(self) -> list[Drill]:
        """The last one, and the last one without a problem if that is another. None before the first."""
        found = [self._remembered(LAST), self._remembered(SUCCEEDED)]
        return list({each.job: each for each in found if each is not None}.values())

    def _remembered(self, key: str) -> Drill | None:
        found = self._store.get(key)
        return None if found is None else Drill(**found)


def drill(place: Drills, console: Console) -> None:
    """Raises `OperatorError`, also where the drill has failed."""
    job = place.start()
    console.print(f"AWS Backup restores the database in job {job}; users notice nothing. It takes minutes to hours.")
    found = place.result(job)
    _print(place, [found], console)
    if found.problems:
        text = "\n".join(f"- {each}" for each in found.problems)
        raise OperatorError(f"the restore drill failed:\n{text}\nRunbook: docs/runbooks/restore-drill.md")
    over = _over(place.environment, found)
    if over:
        raise OperatorError(f"{over}. Runbook: docs/runbooks/restore-objectives.md")


@dataclass(frozen=True, kw_only=True)
class RestoreList:
    instances: list[Restorable]
    drills: "DrillStatus"


@dataclass(frozen=True, kw_only=True)
class DrillStatus:
    running: str | None
    """Id of the restore job of the drill that runs now."""
    results: list[Drill]
    """The last one, and the last one without a problem if that is another."""


def drill_status(place: Drills) -> DrillStatus:
    if not place.environment.database.restore_drills:
        return DrillStatus(running=None, results=[])
    return DrillStatus(running=place.running(), results=place.results())


def show_all(instances: Instances, console: Console, *, as_json: bool) -> None:
    """Instances and drills of an environment."""
    place = Drills(instances.name, instances.environment, instances.clients)
    with working(f"asking RDS about {instances.name}"):
        found = RestoreList(instances=restorable(instances), drills=drill_status(place))
    if as_json:
        print_json(found)
        return
    show_instances(found.instances, console)
    show(place, found.drills, console)


def show(place: Drills, found: DrillStatus, console: Console) -> None:
    if not place.environment.database.restore_drills:
        return
    if found.running is not None:
        console.print(f"A restore drill runs: job {found.running}")
    if found.results:
        _print(place, found.results, console)
    else:
        console.print("No restore drill has ended yet")


def _over(environment: Environment, found: Drill) -> str:
    stated = environment.database
    both = (("RPO", found.rpo, stated.rpo_minutes), ("RTO", found.rto, stated.rto_minutes))
    return ", ".join(
        f"{name} {measured:.0f} minutes, stated {allowed}"
        for name, measured, allowed in both
        if measured is not None and allowed is not None and measured > allowed
    )


def _print(place: Drills, found: list[Drill], console: Console) -> None:
    stated = place.environment.database
    table = Table(
        "drill", "job", "result", f"RPO (stated {stated.rpo_minutes})", f"RTO (stated {stated.rto_minutes})", "data"
    )
    for each in found:
        minutes = [f"{number:.1f} min" if number is not None else "-" for number in (each.rpo, each.rto)]
        result = "; ".join(each.problems) or "verified"
        table.add_row(each.began[:19].replace("T", " "), each.job, result, *minutes, each.told)
    console.print(table)
