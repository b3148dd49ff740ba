"""An order of deployments and deletions in which CloudFormation refuses no export, where the usual one is refused.

An earlier stack cannot drop an export while a later one imports it. If the later stack's new template does without it,
that stack is deployed first, alone; a stack that is not in the code any more is deleted first (docs/adr/0039).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ops.effects.changes import Difference
from ops.effects.template import exports, imports


@dataclass(frozen=True)
class StackStep:
    """One stack, deployed alone or deleted."""

    stack: str
    is_deletion: bool


@dataclass(frozen=True)
class Order:
    first: Sequence[StackStep]
    """What has to be done before all stacks can be deployed in the usual order; empty where nothing has."""
    stuck: frozenset[str]
    """Stacks that no order helps: one keeps importing what changes, or each needs something of the other first."""


def order(difference: Difference) -> Order:
    after = difference.after
    leaving = [stack for stack in difference.before if stack not in after]
    steps = [*(StackStep(stack, False) for stack in after), *(StackStep(stack, True) for stack in leaving)]
    waits = _waits(difference)
    usual = {step: number for number, step in enumerate(steps)}
    late = {
        step
        for step, first in waits.items()
        if not step.is_deletion and any(usual[each] >= usual[step] for each in first)
    }
    ordered = _ordered(steps, waits)
    stuck = frozenset(step.stack for step in steps if step not in ordered)
    needed = _before(late, waits) & set(ordered)
    if any(step.is_deletion for step in needed):
        # As late as possible: others may serve its users only when everything else is deployed.
        last = max(ordered.index(step) for step in needed if step.is_deletion)
        needed = {step for step in ordered[: last + 1] if not step.is_deletion or step in needed}
    changed = {stack for stack, template in after.items() if template != difference.before.get(stack)}
    first = tuple(step for step in ordered if step in needed and (step.is_deletion or step.stack in changed))
    return Order(first, stuck)


def _waits(difference: Difference) -> Mapping[StackStep, set[StackStep]]:
    """The steps before each step. A step that waits for itself can never be done."""
    before, after = difference.before, difference.after
    waits: dict[StackStep, set[StackStep]] = {}

    def wait(step: StackStep, first: StackStep) -> None:
        waits.setdefault(step, set()).add(first)

    for export in difference.exports:
        own = StackStep(export.stack, False)
        for importer in _importers(export.name, export.stack, difference):
            keeps = importer in after and export.name in set(imports(after[importer]))
            wait(own, own if keeps else StackStep(importer, importer not in after))
    provided = {name: stack for stack, template in after.items() for name in exports(template)}
    moved = {export.name for export in difference.exports}
    for stack, template in after.items():
        for name in set(imports(template)):
            exporter = provided.get(name)
            if exporter is not None and (name in moved or name not in exports(before.get(exporter, {}))):
                wait(StackStep(stack, False), StackStep(exporter, False))
    for stack, template in before.items():
        for name in exports(template) if stack not in after else ():
            for importer in _importers(name, stack, difference):
                wait(StackStep(stack, True), StackStep(importer, importer not in after))
    return waits


def _importers(export: str, exporter: str, difference: Difference) -> Iterator[str]:
    for stack, template in difference.before.items():
        if stack != exporter and export in set(imports(template)):
            yield stack


def _ordered(steps: Sequence[StackStep], waits: Mapping[StackStep, set[StackStep]]) -> list[StackStep]:
    """Deployments in their usual order as far as possible, deletions when nothing else is left; without the stuck."""
    done: list[StackStep] = []
    while ready := [step for step in steps if step not in done and waits.get(step, set()) <= set(done)]:
        done.append(ready[0])
    return done


def _before(steps: set[StackStep], waits: Mapping[StackStep, set[StackStep]]) -> set[StackStep]:
    found: set[StackStep] = set()
    left = list(steps)
    while left:
        for each in waits.get(left.pop(), ()):
            if each not in found:
                found.add(each)
                left.append(each)
    return found
