"""A finding of `infra doctor`: what stops a deployment or will cause harm later, and its fix."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    where: str
    what: str
    why: str
    """What happens if it stays as it is."""
    fix: str
    """A command, or where to click."""
    stops: bool = True
    """Whether a deployment has to wait for it. Otherwise it is only reported."""
    repair: Callable[[], None] | None = None
    """Applies the fix. Only where that costs nothing and grants no access. Raises what boto3 raises."""


@dataclass(frozen=True)
class FindingRow:
    """A finding as `report` prints it."""

    where: str
    what: str
    why: str
    fix: str
    stops: bool
    is_fixable: bool


def row(finding: Finding) -> FindingRow:
    return FindingRow(finding.where, finding.what, finding.why, finding.fix, finding.stops, finding.repair is not None)


def unchecked(where: str, *, what: str = "", why: str) -> Finding:
    """For what these credentials may not read: `what` of `where`, or "" for all of it."""
    text = f"{what} was not checked: these credentials may not read it".strip()
    fix = "run infra doctor with credentials that may read it"
    return Finding(where=where, what=text, why=why, fix=fix, stops=False)
