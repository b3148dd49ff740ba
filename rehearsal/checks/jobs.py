"""Checks of jobs: by hand and on schedule."""

import io
import time

from ops.console import Console
from ops.errors import OperatorError
from ops.jobs import commands
from ops.jobs.commands import JobPlace
from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require
from rehearsal.checks.releases import first_release

_EVERY_MINUTE = "rate(1 minute)"
# The emulator evaluates schedules every ten seconds.
_CLOCK_SECONDS = 90.0


def by_hand(account: Account) -> str:
    """Runs each job; it may succeed or fail."""
    jobs = account.environment.jobs
    if not jobs:
        not_on_this_plan("the environment has no jobs")
    first_release(account)
    return "; ".join(_by_hand(_place(account), job) for job in jobs)


def by_the_clock(account: Account) -> str:
    jobs = [name for name, each in account.environment.jobs.items() if each.schedule == _EVERY_MINUTE]
    if not jobs:
        not_on_this_plan("no job runs every minute, and this does not take longer")
    place, give_up = _place(account), time.monotonic() + _CLOCK_SECONDS
    for job in jobs:
        while not any(each.by == "schedule" and each.outcome == "succeeded" for each in place.runs.newest(job)):
            require(time.monotonic() < give_up, f"{job} did not run by the clock: {place.runs.newest(job)}")
            time.sleep(0.5)
    return f"{', '.join(jobs)}: started by EventBridge, and succeeded"


def _place(account: Account) -> JobPlace:
    return JobPlace(account.name, account.environment, account)


def _by_hand(place: JobPlace, job: str) -> str:
    """Output of `infra job run`, which the ledger confirms."""
    output = io.StringIO()
    try:
        commands.run(place, job, Console(file=output, width=200))
        printed, outcome = output.getvalue().splitlines()[-1], "succeeded"
    except OperatorError as error:
        if "never runs twice at a time" in str(error):
            time.sleep(1)
            return _by_hand(place, job)
        printed, outcome = str(error), "failed"
    newest = place.runs.newest(job)[0]
    require(newest.outcome == outcome, f"{job}: printed {printed!r}, and recorded {newest}")
    return printed
