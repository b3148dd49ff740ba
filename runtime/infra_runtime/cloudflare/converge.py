"""Makes the zone equal to what is declared: read, change, read again, until nothing differs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from infra_runtime.cloudflare.api import Api
from infra_runtime.vendor_api import OutcomeUnknown, Refused

Declared = Mapping[str, Any]


class Conflict(Exception):
    """A foreign object conflicts with ours; the message names it."""


class NotConverged(Exception):
    """Others change the same objects at the same time, or Cloudflare stores another value than we send."""


@dataclass(frozen=True)
class Change:
    """One write that has not been made yet."""

    action: Literal["create", "update", "move", "delete", "restore"]
    what: str
    """Kind and marker, like "rule production.media-cache"."""
    apply: Callable[[], object] = field(repr=False, compare=False)
    before: Any = None
    after: Any = None
    read_again: bool = False
    """Later changes can be planned only after this one is applied."""


@dataclass(frozen=True)
class Observed:
    """One object in the places that a subject reads."""

    what: str
    is_ours: bool
    value: Any
    undeclared: Sequence[str] = ()
    """Fields of one of ours that Cloudflare, or a person, has set. Paths with dots."""


class Subject(Protocol):
    """Some objects of a zone that are declared together."""

    def changes(self, *, present: bool) -> list[Change]:
        """The writes that lead from what is there to what is declared, or to nothing of ours. Raises `Conflict`."""
        ...

    def observed(self) -> list[Observed]:
        """All objects in the same places, ours and others'."""
        ...


def is_wanted(document: Declared, now: datetime) -> bool:
    """Whether its objects should exist: one with `until`, an ISO 8601 time, ends then (`infra maintenance`)."""
    until = document.get("until")
    return until is None or now < datetime.fromisoformat(until)


def undeclared_fields(subject: Subject, observed: Sequence[Observed]) -> dict[str, list[str]]:
    """Fields of our objects that are set but not declared, by object. Information: no reason for a deployment to write.

    Only what a second read shows as well as `observed`: one read may fall between two writes.
    """
    first = {each.what: each.undeclared for each in observed if each.undeclared}
    if not first:
        return {}
    second = {each.what: each.undeclared for each in subject.observed()}
    stable = {what: [path for path in paths if path in second.get(what, ())] for what, paths in first.items()}
    return {what: paths for what, paths in stable.items() if paths}


# For so long a read may still show what was there before a write. Nothing is promised; a minute is what is observed.
SETTLING_SECONDS = 60.0
_LONGEST_WAIT_SECONDS = 10.0


def converge(api: Api, subject: Subject, *, present: bool) -> int:
    """Makes the changes; returns how many. With nothing to change, nothing is written.

    A create whose answer was lost, and a refusal because of a concurrent change, end in another
    read, not in a guess. A read that is older than our own write is waited for, not written over. Raises
    `NotConverged`, `Conflict` and what `Api` raises.
    """
    applied, rounds = 0, 0
    changes = subject.changes(present=present)
    most = 3 * len(changes) + 6
    refused: Refused | None = None
    sent: dict[str, float] = {}
    """When each change was made last."""
    while changes:
        rounds += 1
        if rounds > most:
            raise NotConverged(f"still to do after {rounds - 1} rounds: {_listed(changes)}")
        planned = _listed(changes)
        for change in changes:
            try:
                change.apply()
                applied += 1
                sent[_named(change)] = api.clock.now()
            except OutcomeUnknown:
                sent[_named(change)] = api.clock.now()
                break
            except Refused as error:
                # The same refusal of the same plan is final; another read may show another plan.
                if refused is not None and str(refused) == str(error):
                    raise
                refused = error
                break
            if change.read_again:
                break
        else:
            refused = None
        changes = _settled(api, subject, present=present, sent=sent)
        if refused is not None and changes and _listed(changes) == planned:
            raise refused
    return applied


def _settled(api: Api, subject: Subject, *, present: bool, sent: Mapping[str, float]) -> list[Change]:
    """The remaining changes, as soon as none of them repeats a write that reads do not show yet."""
    wait = 1.0
    while True:
        changes = subject.changes(present=present)
        done = [sent[name] for name in map(_named, changes) if name in sent]
        if all(api.clock.now() - at >= SETTLING_SECONDS for at in done):
            return changes
        api.wait(wait, f"what was written does not show yet: {_listed(changes)}")
        wait = min(_LONGEST_WAIT_SECONDS, 2 * wait)


def _listed(changes: Sequence[Change]) -> str:
    return ", ".join(map(_named, changes))


def _named(change: Change) -> str:
    return f"{change.action} {change.what}"
