"""`infra job list` and `infra job run`."""

import difflib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from rich.table import Table

from config import services
from config.model import Environment
from infra_runtime.contract.names import stack_name
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
        stack = self._stack(services.service_of_job(self.environment, job))
        what = f"function that runs the jobs of {service}"
        function = find(self.clients, stack, "jobs.control", {"SERVICE": service}, what=what)
        answer: Mapping[str, Any] = ask_as_myself(self.clients, function, {"job": job}, what=what)
        return answer

    def _stack(self, name: str) -> str:
        return stack_name(self.environment.product, self.name, name)


def known(name: str, environment: Environment, job: str) -> str:
    """The job's name; `name` is the environment's. Raises `InputError`."""
    if job not in (jobs := list(environment.jobs)):
        if not jobs:
            raise InputError(f"JOB {job!r}: {name} has no jobs; add [jobs.{job}] to its file")
        nearest = difflib.get_close_matches(job, jobs, n=1, cutoff=0.5)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        raise InputError(f"JOB {job!r}: expected one of {', '.join(jobs)}{hint}")
    return job


def show(place: JobPlace, console: Console, *, as_json: bool) -> None:
    found: dict[str, list[Run]] = {}
    for job in place.environment.jobs:
        current = place.runs.current(job)
        found[job] = [*([current] if current else []), *place.runs.newest(job)]
    if as_json:
        console.print_json(data={job: [asdict(each) for each in runs] for job, runs in found.items()})
        return
    table = Table("job", "schedule (UTC)", "began", "attempt", "outcome", "exit", "by", "reason")
    for job, runs in found.items():
        schedule = place.environment.jobs[job].schedule
        if not runs:
            table.add_row(job, schedule, "never")
        # The newest failure with its log; of older ones only the last line.
        shown = next((each for each in runs if each.reason), None)
        for each in runs[:_SHOWN]:
            reason = each.reason or ""
            text = reason if each is shown else reason.rpartition("\n")[2]
            exit_code = "" if each.exit is None else str(each.exit)
            table.add_row(job, schedule, each.began, str(each.attempt), each.outcome, exit_code, each.by, text)
    console.print(table)


def run(place: JobPlace, job: str, console: Console) -> None:
    """Waits for the end. Raises `OperatorError` if the job cannot start, and if its last attempt fails."""
    answer = place.ask(job)
    if "problem" in answer:
        raise OperatorError(answer["problem"])
    mine: str = answer["run"]
    task: str | None = None
    while (current := place.runs.current(job)) is not None and current.run == mine:
        if current.task is not None and current.task != task:
            task = current.task
            console.print(f"{job}: attempt {current.attempt} runs in {task.rpartition('/')[2]}", highlight=False)
        time.sleep(_EVERY_SECONDS)
    # The function writes the record before it releases the claim.
    last = next((each for each in place.runs.newest(job) if each.run == mine), None)
    if last is None:
        raise OperatorError(f"{job}: the record has no result of the run of {mine}; was it deleted?")
    if last.outcome != "succeeded":
        how = "" if last.exit is None else f" with exit code {last.exit}"
        raise OperatorError(f"{job} failed{how} at attempt {last.attempt}:\n{last.reason}")
    console.print(f"{job} succeeded", highlight=False)
