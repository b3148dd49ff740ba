"""The steps of a change, derived from what is deployed now, so that no state is kept between steps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from config.model import Environment
from config.services import words
from infra_runtime.contract.names import stack_name
from ops.account import not_deployed
from ops.console import Console
from ops.doctor.deployed import by_live_state
from ops.doctor.unreleased import unreleased
from ops.effects import Effect, Impact, effects
from ops.effects.changes import difference
from ops.effects.order import StackStep, order
from ops.effects.template import Templates
from ops.errors import OperatorError
from ops.functions import Clients
from ops.report import report
from ops.stacks import stacks, templates
from ops.templates import synthesized


@dataclass(frozen=True)
class PlannedStep:
    step: str
    why: str
    command: str


def steps(name: str, product: str, before: Templates, after: Templates, clients: Clients) -> Sequence[PlannedStep]:
    """The steps in order; none when the deployed stacks match the code.

    Raises `OperatorError` for what no order makes possible, and what boto3 raises.
    """
    found = effects(before, after)
    if refused := [each for each in found if each.severity is Impact.IMPOSSIBLE]:
        listed = "\n".join(f"{each.name} {each.what}. Instead: {each.procedure}" for each in refused)
        raise OperatorError(f"no order of steps makes this possible:\n{listed}")
    compared = difference(before, after)
    first = order(compared).first
    done = {each.stack for each in first if each.is_deletion}
    left = [stack for stack in before if stack not in after and stack not in done]
    waiting = [PlannedStep(each.what, each.why, each.fix) for each in by_live_state(clients, found, after)]
    made = [*waiting, *_first(name, product, first, found)]
    if services := [service for _, service in unreleased(clients, found, after)]:
        # The edge changes DNS, and one later stack imports from it.
        last = [stack_name(product, name, each) for each in ("edge", "observability")]
        changed = [each for each, template in after.items() if before.get(each) != template and each not in last]
        made += _release_first(name, product, services, changed)
    if any(before.get(stack) != template for stack, template in after.items()):
        made.append(
            PlannedStep("deploy all", "the usual order is possible now" if made else "", f"make deploy ENV={name}")
        )
    return [*made, *(_deletion(stack, "nothing uses it any more") for stack in left)]


def _first(name: str, product: str, ordered: Sequence[StackStep], found: Sequence[Effect]) -> Iterator[PlannedStep]:
    for is_deletion, group in groupby(ordered, lambda each: each.is_deletion):
        names = [each.stack for each in group]
        if is_deletion:
            yield from (_deletion(stack, "an earlier stack drops what it imports") for stack in names)
            continue
        yield PlannedStep(
            f"deploy {', '.join(names)} alone",
            # No `infra doctor` runs before such a command.
            " ".join(["They no longer import what an earlier stack drops.", *_dangers(names, found)]),
            _exclusively(name, product, names),
        )


def _dangers(names: Sequence[str], found: Sequence[Effect]) -> Iterator[str]:
    for each in found:
        if each.stack in names and each.severity is Impact.DANGEROUS and each.kind != "in-use":
            yield f"Dangerous: {each.resource} {each.what}. {each.consequence}"


def _release_first(name: str, product: str, services: Sequence[str], changed: Sequence[str]) -> Iterator[PlannedStep]:
    """Changes DNS only when the service has a release; `changed` are the stacks before that."""
    if changed:
        yield PlannedStep(
            f"deploy {', '.join(changed)} alone",
            f"DNS leads users to {' and '.join(services)} when something was released there",
            _exclusively(name, product, changed),
        )
    for service in services:
        yield PlannedStep(
            f"release {service}",
            "Until then it answers with a placeholder",
            f"./infra release {name} --service {service} --image REPOSITORY@sha256:…",
        )


def _exclusively(name: str, product: str, stacks: Sequence[str]) -> str:
    ids = " ".join(f"{name}/{words(each.removeprefix(f'{product}-{name}-'))}" for each in stacks)
    return f"npx cdk deploy -c env={name} --exclusively {ids}"


def _deletion(stack: str, why: str) -> PlannedStep:
    command = f"aws cloudformation delete-stack --stack-name {stack} && "
    return PlannedStep(
        f"delete {stack}", why, f"{command}aws cloudformation wait stack-delete-complete --stack-name {stack}"
    )


def change(
    name: str, environment: Environment, clients: Clients, console: Console, *, only_next: bool, as_json: bool
) -> None:
    """Exit code 3 when there is a step. Raises `OperatorError` and what boto3 raises."""
    ours = [each for each in stacks(clients, name) if each.tags.get("product") == environment.product]
    if not ours:
        raise not_deployed(name, f"account {environment.aws.account} has no stack of it")
    wanted = synthesized(name)
    found = steps(name, environment.product, templates(clients, ours, wanted), wanted, clients)
    nothing = f"Nothing to do: {name} is deployed as its file says."
    report(found[:1] if only_next else found, nothing, console, as_json=as_json)
