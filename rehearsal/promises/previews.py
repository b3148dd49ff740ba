"""A pull request, running beside the environment."""

import io
import json

from rich.console import Console

from config.previews import hosts
from ops.previews import commands
from ops.previews.commands import Previews
from rehearsal.account import Account
from rehearsal.pipeline import PREVIEW, Pipeline
from rehearsal.product import FIRST
from rehearsal.promises.found import not_on_this_plan, require
from rehearsal.promises.releases import SECOND, first_release
from rehearsal.push import push
from rehearsal.traffic import Traffic, traffic

_NAME = "a-pull-request"


def users_of(account: Account, slot: int) -> Traffic:
    """Of a slot's API."""
    where = json.loads(account.emulator.balancer.read_text())
    return Traffic(hosts(account.environment, slot)["api"], where["address"], where["production"])


def beside(account: Account) -> str:
    if account.environment.previews is None:
        not_on_this_plan("the environment has no previews")
    running = first_release(account)
    pipeline, quiet = Pipeline(account), Console(file=io.StringIO())
    previews = Previews(account.name, account.environment, pipeline.runs(PREVIEW, "api"))
    commands.take(previews, _NAME, quiet, as_json=False)
    if account.environment.frontend.ecs is not None:  # the same branch, in the other repository
        site = pipeline.runs(PREVIEW, "frontend")
        commands.take(Previews(account.name, account.environment, site), _NAME, quiet, as_json=False)
        push(account, "frontend", _NAME, workflow=PREVIEW)
    image = push(account, "api", _NAME, (FIRST, SECOND), workflow=PREVIEW)
    commands.start(previews, _NAME, "api", image, quiet, as_json=False)
    slot = next(each["slot"] for each in previews.all())
    require(users_of(account, slot).ask("/")["version"] == image, "something else runs in its slot")
    require(traffic(account).ask("/")["version"] == running, "users have it, too")
    commands.end(previews, _NAME, quiet, wait=True)
    require(not previews.all(), "it has not ended")
    return f"in slot {slot}, migrated on a copy of the database, by its own name; and gone"
