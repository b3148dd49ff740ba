"""What is declared, brought about: look, change, look again, until there is nothing left to change."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from infra_runtime.cloudflare.api import Api
from infra_runtime.vendor_api import Refused, Unsure

Declared = Mapping[str, Any]


class Conflict(Exception):
    """Something of somebody else's stands where ours should; the message names it."""


class NotConverged(Exception):
    """Others change the same objects faster than we do, or Cloudflare keeps something else than it was given."""


@dataclass(frozen=True)
class Change:
    """One write that has not been made yet."""

    action: Literal["create", "update", "move", "delete", "restore"]
    what: str
    """Kind and marker, like "rule production.media-cache"."""
    apply: Callable[[], object] = field(repr=False, compare=False)
    before: Any = None
    after: Any = None
    look_again: bool = False
    """What follows it cannot be planned before it is done."""


@dataclass(frozen=True)
class Seen:
    """One object in the places that a subject looks at."""

    what: str
    is_ours: bool
    value: Any


class Subject(Protocol):
    """Some objects of a zone that are declared together."""

    def changes(self, *, present: bool) -> list[Change]:
        """The writes that lead from what is there to what is declared, or to nothing of ours. Raises `Conflict`."""
        ...

    def seen(self) -> list[Seen]:
        """All objects in the same places, ours and others'."""
        ...


def converge(api: Api, subject: Subject, *, present: bool) -> int:
    """Makes the changes; returns how many. With nothing to change, nothing is written.

    A create whose answer was lost and a refusal that came of somebody else's change at the same time end in another
    look, not in a guess. Raises `NotConverged`, `Conflict` and whatever `Api` raises.
    """
    applied, rounds = 0, 0
    changes = subject.changes(present=present)
    most = 3 * len(changes) + 6
    refused: Refused | None = None
    while changes:
        rounds += 1
        if rounds > most:
            raise NotConverged(f"still to do after {rounds - 1} rounds: {_listed(changes)}")
        planned = _listed(changes)
        for change in changes:
            try:
                change.apply()
                applied += 1
            except Unsure:
                break
            except Refused as error:
                # The same refusal of the same plan is final; another look may show another plan.
                if refused is not None and str(refused) == str(error):
                    raise
                refused = error
                break
            if change.look_again:
                break
        else:
            refused = None
        changes = subject.changes(present=present)
        if refused is not None and changes and _listed(changes) == planned:
            raise refused
    return applied


def _listed(changes: Sequence[Change]) -> str:
    return ", ".join(f"{each.action} {each.what}" for each in changes)
