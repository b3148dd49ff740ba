"""What a deployment to an account in use really did, compared with the effect engine's prediction."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from infra_runtime.database.connection import connect
from ops.effects import Effect, Impact, effects
from ops.effects.changes import Difference, Replacement, difference
from ops.effects.rules.replaced import DATA
from ops.effects.template import Templates
from rehearsal.account import Account
from rehearsal.checks.data import api_secret, login_of
from rehearsal.checks.restore import Writer
from rehearsal.traffic import traffic

# Requests may still fail after a deployment has ended: health checks run, targets drain.
_SETTLE_SECONDS = 2.0
_MAY_BE_REFUSED = ("health", "image", "in-use", "seed", "version", "zones")
"""Effects that CloudFormation may also refuse, as their texts say."""

Key = tuple[str, str]
"""Stack and logical id."""


@dataclass(frozen=True)
class DeployedResource:
    type: str
    physical_id: str


def resources(account: Account) -> dict[Key, DeployedResource]:
    """Every resource of the environment's stacks."""
    pages = account.client("cloudformation").get_paginator("list_stack_resources")
    return {
        (stack, each["LogicalResourceId"]): DeployedResource(each["ResourceType"], each.get("PhysicalResourceId", ""))
        for stack in account.stacks()
        for page in pages.paginate(StackName=stack)
        for each in page["StackResourceSummaries"]
    }


@dataclass
class DeploymentOutcome:
    """Resources, requests and rows before and after the block of `watched`."""

    before: Mapping[Key, DeployedResource]
    after: Mapping[Key, DeployedResource] = field(default_factory=dict)
    requests: int = 0
    failures: Sequence[str] = ()
    rows: int = 0
    rows_lost: int = 0
    refusal: str = ""
    """What CloudFormation or the service said, if it refused."""

    @property
    def replaced(self) -> set[Key]:
        return {key for key, was in self.before.items() if (now := self.after.get(key)) is not None and now != was}

    @property
    def removed(self) -> set[Key]:
        return self.before.keys() - self.after.keys()

    @property
    def created(self) -> set[Key]:
        return self.after.keys() - self.before.keys()


@contextmanager
def watched(account: Account) -> Iterator[DeploymentOutcome]:
    """Users read and the application writes rows while the block runs."""
    outcome, writer = DeploymentOutcome(resources(account)), Writer(account, *api_secret(account))
    with traffic(account).flowing() as users, writer.writing():
        yield outcome
        time.sleep(_SETTLE_SECONDS)
    outcome.after = resources(account)
    outcome.requests, outcome.failures = users.requests, users.failures
    with connect(login_of(account, writer.secret), writer.variables) as connection:
        there = {name for (name,) in connection.execute("select name from visitors").fetchall()}
    outcome.rows, outcome.rows_lost = len(writer.written), len(writer.written.keys() - there)


def disagreements(before: Templates, after: Templates, outcome: DeploymentOutcome) -> list[str]:
    """Differences between the engine's prediction for these templates and the outcome, one sentence each."""
    found = effects(before, after)
    left = list(_of_resources(found, difference(before, after), outcome))
    severity = max((each.severity for each in found), default=Impact.SAFE)
    if outcome.failures and severity < Impact.DANGEROUS:
        text = f"{len(outcome.failures)} of {outcome.requests} requests failed ({outcome.failures[0]})"
        left.append(f"{text}, and nothing dangerous was predicted")
    goes = any(each.type == "AWS::RDS::DBInstance" and each.kind in ("gone", "replaced") for each in found)
    if outcome.rows_lost and not goes:
        left.append(f"{outcome.rows_lost} of {outcome.rows} rows are lost, and the database was predicted to stay")
    may_be_refused = severity is Impact.IMPOSSIBLE or any(each.kind in _MAY_BE_REFUSED for each in found)
    if outcome.refusal and not may_be_refused:
        left.append(f"refused, and that was not predicted: {outcome.refusal}")
    if severity is Impact.IMPOSSIBLE and not outcome.refusal:
        names = [each.name for each in found if each.severity is Impact.IMPOSSIBLE]
        left.append(f"not refused, and predicted was {', '.join(names)}")
    return left


def _of_resources(found: Sequence[Effect], compared: Difference, outcome: DeploymentOutcome) -> Iterator[str]:
    changes = {(each.stack, each.logical_id): each for each in compared.changes}
    certain = {key for key, each in changes.items() if each.replacement is Replacement.YES}
    possible = {key for key, each in changes.items() if each.replacement is Replacement.CONDITIONAL}
    new = {key for key, each in changes.items() if each.old is None}
    gone = {key for key, each in changes.items() if each.new is None}
    left_behind = {each.stack for each in found if each.kind == "left-behind"}
    for key in sorted(outcome.replaced - certain - possible):
        yield f"{'/'.join(key)} is replaced, and that was not predicted"
    for key in sorted(outcome.created - new):
        yield f"{'/'.join(key)} is new, and that was not predicted"
    for key in sorted(outcome.removed - gone):
        if key[0] not in left_behind:
            yield f"{'/'.join(key)} is gone, and that was not predicted"
    for key in sorted(outcome.removed & gone):
        if outcome.before[key].type in DATA and not any(
            (each.stack, each.resource) == key and each.kind == "gone" for each in found
        ):
            yield f"{'/'.join(key)} is gone with its data, and no effect predicted it"
    if outcome.refusal:
        return  # Changes after the refused one were not made.
    for what, predicted, really in (
        ("replaced", certain, outcome.replaced),
        ("new", new, outcome.created),
        ("gone", gone, outcome.removed),
    ):
        for key in sorted(predicted - really):
            yield f"{'/'.join(key)} was predicted to be {what}, and is not"
