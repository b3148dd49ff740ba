"""Check of a preview: a pull request's image runs beside the environment."""

import io
import time

from config import services
from config.previews import hosts
from ops.console import Console
from ops.previews import commands
from ops.previews.commands import PreviewSlots
from rehearsal.account import Account
from rehearsal.checks.assertions import not_on_this_plan, require
from rehearsal.checks.releases import SECOND, first_release
from rehearsal.pipeline import PREVIEW, Pipeline
from rehearsal.product import FIRST
from rehearsal.push import push
from rehearsal.traffic import UserTraffic, traffic

_NAME = "a-pull-request"


def users_of(account: Account, slot: int) -> UserTraffic:
    """Users of the main service's preview in a slot."""
    return UserTraffic(hosts(account.environment, slot)[account.main], *account.emulator.load_balancer())


def runs_in_its_slot(account: Account) -> str:
    if account.environment.previews is None:
        not_on_this_plan("the environment has no previews")
    running = first_release(account)
    pipeline, quiet = Pipeline(account), Console(file=io.StringIO())

    def as_seen_by(service: str) -> PreviewSlots:
        return PreviewSlots(
            account.name,
            account.environment,
            pipeline.runs(PREVIEW, service),
            sleep=lambda seconds: time.sleep(seconds / 10),
        )

    previews = as_seen_by(account.main)
    commands.take(previews, _NAME, quiet, as_json=False)
    for name in services.previewed(account.environment).keys() - {account.main}:
        # The same branch in the other services' repositories.
        commands.take(as_seen_by(name), _NAME, quiet, as_json=False)
        push(account, name, _NAME, workflow=PREVIEW)
    image = push(account, account.main, _NAME, (FIRST, SECOND), workflow=PREVIEW)
    commands.start(previews, _NAME, account.main, image, quiet, as_json=False)
    slot = next(each["slot"] for each in previews.all())
    require(users_of(account, slot).ask("/")["version"] == image, "the preview does not run the pull request's image")
    require(traffic(account).ask("/")["version"] == running, "users of the environment get the preview, too")
    commands.end(previews, _NAME, quiet, wait=True)
    require(not previews.all(), "the preview has not ended")
    return f"ran in slot {slot} under its own host, migrated a copy of the database, and ended"
