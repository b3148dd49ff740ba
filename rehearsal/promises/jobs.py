"""Commands of a service's image that run by the clock."""

import io
import time

from ops.console import Console
from ops.errors import OperatorError
from ops.jobs import commands
from ops.jobs.commands import JobPlace
from rehearsal.account import Account
from rehearsal.promises.found import not_on_this_plan, require
from rehearsal.promises.releases import first_release

_EVERY_MINUTE = "rate(1 minute)"
# The emulator looks at schedules every ten seconds.
_CLOCK_SECONDS = 90.0


def run(account: Account) -> str:
    """Each by hand, whether it succeeds or not, and those of every minute by the clock."""
    if not account.environment.jobs:
        not_on_this_plan("the environment has no jobs")
    first_release(account)
    place = JobPlace(account.name, account.environment, account)
    told = [_by_hand(place, job) for job in account.environment.jobs]
    for job, each in account.environment.jobs.items():
        if each.schedule == _EVERY_MINUTE:
            _wait_for_the_clock(place, job)
            told.append(f"{job} also by the clock")
    return "; ".join(told)


def _by_hand(place: JobPlace, job: str) -> str:
    """What is said at its end, in which the record agrees."""
    output = io.StringIO()
    try:
        commands.run(place, job, Console(file=output, width=200))
        told, outcome = output.getvalue().splitlines()[-1], "succeeded"
    except OperatorError as error:
        if "never runs twice at a time" in str(error):
            time.sleep(1)
            return _by_hand(place, job)
        told, outcome = str(error), "failed"
    newest = place.runs.newest(job)[0]
    require(newest.outcome == outcome, f"{job}: told {told!r}, and recorded {newest}")
    return told


def _wait_for_the_clock(place: JobPlace, job: str) -> None:
    give_up = time.monotonic() + _CLOCK_SECONDS
    while not any(each.by == "schedule" and each.outcome == "succeeded" for each in place.runs.newest(job)):
        require(time.monotonic() < give_up, f"{job} did not run by the clock: {place.runs.newest(job)}")
        time.sleep(0.5)
