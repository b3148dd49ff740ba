"""`infra job list` and `infra job run`."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from rich.table import Table

from config import services
from config.model import Environment
from infra_runtime.jobs.runs import Run, Runs
from ops.console import Console
from ops.errors import InputError, OperatorError
from ops.functions import Clients, ask_as_myself, find, resources

_EVERY_SECONDS = 2.0
_SHOWN = 3


@dataclass(frozen=True)
class JobPlace:
    """The jobs of one environment."""

    name: str
    environment: Environment
    clients: Clients

    @cached_property
    def runs(self) -> Runs:
        (table,) = resources(self.clients, self._stack("registry"), "AWS::DynamoDB::Table")
        return Runs(self.clients.client("dynamodb"), table)

    def ask(self, job: str) -> Mapping[str, Any]:
        service = self.environment.jobs[job].runs
        stack = self._stack(services.runs_job(self.environment, job))
        what = f"control of the jobs of {service}"
        function = find(self.clients, stack, "jobs.control", {"SERVICE": service}, what=what)
        answer: Mapping[str, Any] = ask_as_myself(self.clients, function, {"job": job}, what=what)
        return answer

    def known(self, job: str) -> str:
        """Raises `InputError`."""
        if job not in self.environment.jobs:
            expected = ", ".join(self.environment.jobs) or "none: the environment has no jobs"
            raise InputError(f"JOB {job!r}: expected one of {expected}")
        return job

    def _stack(self, name: str) -> str:
        return f"{self.environment.product}-{self.name}-{name}"


def show(place: JobPlace, console: Console, *, as_json: bool) -> None:
    found: dict[str, list[Run]] = {}
    for job in place.environment.jobs:
        current = place.runs.current(job)
        found[job] = [*([current] if current else []), *place.runs.newest(job)]
    if as_json:
        console.print_json(data={job: [asdict(each) for each in runs] for job, runs in found.items()})
        return
    table = Table("job", "schedule", "began", "attempt", "outcome", "by", "reason")
    for job, runs in found.items():
        schedule = place.environment.jobs[job].schedule
        if not runs:
            table.add_row(job, schedule, "never", "", "", "", "")
        for each in runs[:_SHOWN]:
            reason = (each.reason or "").splitlines()
            told = [each.began, str(each.attempt), each.outcome, each.by, reason[0] if reason else ""]
            table.add_row(job, schedule, *told)
    console.print(table)


def run(place: JobPlace, job: str, console: Console) -> None:
    """Waits for the end. Raises `OperatorError` when it cannot begin, and when its last attempt fails."""
    answer = place.ask(place.known(job))
    if "problem" in answer:
        raise OperatorError(answer["problem"])
    console.print(f"{job} runs in {answer['task'].rpartition('/')[2]}", highlight=False)
    began: str = answer["run"]
    while (current := place.runs.current(job)) is not None or not _since(place, job, began):
        if current is not None and current.id > began:
            console.print(f"attempt {current.attempt} runs in {str(current.task).rpartition('/')[2]}", highlight=False)
            began = current.id
        time.sleep(_EVERY_SECONDS)
    last = _since(place, job, began)[0]
    if last.outcome != "succeeded":
        raise OperatorError(f"{job} failed with {last.exit} at attempt {last.attempt}: {last.reason}")
    console.print(f"{job} succeeded", highlight=False)


def _since(place: JobPlace, job: str, identity: str) -> list[Run]:
    return [each for each in place.runs.newest(job) if each.id >= identity]
