"""Exports that another stack imports: CloudFormation neither removes them nor gives them another value."""

from collections.abc import Iterator

from ops.effects.changes import MovedExport
from ops.effects.effect import Effect, Impact
from ops.effects.rules.replaced import ANOTHER_REDIS


def effects(export: MovedExport, *, has_order: bool) -> Iterator[Effect]:
    """`has_order` says whether the stacks can be deployed in another order, which `infra change` names."""
    if not export.importers:
        return
    who = " and ".join(export.importers)
    reason = f", as {export.because} changes" if export.because else ""
    fate = "would be removed" if export.is_gone else f"would get another value{reason}"
    refusal = "deleted" if export.is_gone else "updated"
    yield Effect(
        severity=Impact.DANGEROUS if has_order else Impact.IMPOSSIBLE,
        kind="in-use",
        stack=export.stack,
        resource=export.name.rpartition(":")[2],
        type="Export",
        what=f"{fate}, while {who} still imports it",
        consequence=f'CloudFormation changes the rest of the stack, then refuses ("cannot be {refusal} as it is in use '
        f'by {export.importers[0]}") and rolls it back; stacks deployed before it stay changed.',
        procedure="`infra change next ENV` names what to deploy or delete first; the pipeline waits for it"
        if has_order
        else _otherwise(export),
    )


def _otherwise(export: MovedExport) -> str:
    if export.because:
        return f"see the effect on {export.because}"
    if any(each.endswith("-redis") for each in (export.stack, *export.importers)):
        return ANOTHER_REDIS
    return "in two deployments: docs/runbooks/remove-an-export.md"
