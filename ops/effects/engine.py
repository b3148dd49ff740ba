"""Effects of going from one set of templates to another, in order of deployment."""

from collections.abc import Iterator

from ops.effects.changes import Difference, ResourceChange, difference
from ops.effects.effect import Effect, Impact, effect_of
from ops.effects.order import order
from ops.effects.rules import access, addresses, databases, in_use, leaving, names, replaced, tasks, traffic
from ops.effects.template import Templates


def effects(before: Templates, after: Templates) -> list[Effect]:
    """Of one environment. `before` has every stack that is deployed, also those that `after` lacks.

    Stack by stack in order of deployment; in a stack what changes, then what goes, then what stops it at its end; last
    the stacks that stay behind.
    """
    compared = difference(before, after)
    stuck = order(compared).stuck
    found: list[Effect] = []
    for stack in after:
        for change in compared.changes:
            if change.stack == stack:
                found += list(_of_change(change, compared))
        for export in compared.exports:
            if export.stack == stack:
                found += list(in_use.effects(export, has_order=export.stack not in stuck))
    return [*found, *leaving.left_behind(compared)]


def _of_change(change: ResourceChange, compared: Difference) -> Iterator[Effect]:
    named = list(names.effects(change))
    found = [
        # It describes the same replacement in more detail.
        *(replaced.effects(change) if all(each.kind != "uncertified" for each in named) else ()),
        *leaving.effects(change, compared),
        *addresses.effects(change, compared),
        *databases.effects(change),
        *tasks.effects(change, compared),
        *traffic.effects(change, compared),
        *named,
        *access.effects(change),
    ]
    yield from found or [_unremarkable(change)]


def _unremarkable(change: ResourceChange) -> Effect:
    if change.old is None:
        return effect_of(change, Impact.SAFE, "new", "is new", "None.")
    if change.new is None:
        return effect_of(change, Impact.SAFE, "deleted", "goes", "None that is known.")
    return effect_of(
        change, Impact.SAFE, "changed", f"changes in place ({', '.join(change.properties)})", "None that is known."
    )
