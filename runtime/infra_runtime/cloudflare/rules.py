"""Rules of one phase: ours by `ref`, written one at a time, in our order, among the rules of others.

The entrypoint itself is never replaced and never deleted: PUT on it, as Terraform and others do, would replace
everybody's rules.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import Change, Conflict, Declared, Observed
from infra_runtime.cloudflare.normal import is_as_declared, undeclared
from infra_runtime.vendor_api import NotFound

# What the API adds by itself: not ours to compare.
_ADDED = frozenset({"id", "version", "last_updated", "categories", "ref"})
_DEFAULTS: Mapping[str, Any] = {"enabled": True, "logging": {"enabled": True}}


@dataclass(frozen=True)
class Rules:
    """`declared`: phase, owner, adopt, and rules with name, description, expression, action and its parameters."""

    api: Api
    zone: str
    declared: Declared

    @property
    def _path(self) -> str:
        return f"/zones/{self.zone}/rulesets"

    def _entrypoint(self) -> dict[str, Any] | None:
        """None in a phase that was never used."""
        try:
            found: dict[str, Any] = self.api.get(f"{self._path}/phases/{self.declared['phase']}/entrypoint")
        except NotFound:
            return None
        return found

    def _wanted(self) -> dict[str, dict[str, Any]]:
        """Bodies by `ref`, in order."""
        return {
            f"{self.declared['owner']}.{rule['name']}": {key: value for key, value in rule.items() if key != "name"}
            | {"ref": f"{self.declared['owner']}.{rule['name']}", "enabled": rule.get("enabled", True)}
            for rule in self.declared["rules"]
        }

    def _is_ours(self, rule: Mapping[str, Any]) -> bool:
        return str(rule.get("ref", "")).startswith(f"{self.declared['owner']}.")

    def _what(self, ref: str) -> str:
        return f"rule {ref} ({self.declared['phase']})"

    def observed(self) -> list[Observed]:
        wanted = self._wanted()
        return [
            Observed(
                self._what(each.get("ref", each["id"])),
                self._is_ours(each),
                comparable(each),
                undeclared=undeclared(comparable(wanted[each["ref"]]), comparable(each))
                if each.get("ref") in wanted
                else (),
            )
            for each in (self._entrypoint() or {}).get("rules") or []
        ]

    def changes(self, *, present: bool) -> list[Change]:
        wanted = self._wanted() if present else {}
        entrypoint = self._entrypoint()
        if entrypoint is None:
            return [self._first_of_phase(wanted)] if wanted else []
        found = entrypoint.get("rules") or []
        rules = f"{self._path}/{entrypoint['id']}/rules"
        ours = {rule["ref"]: rule for rule in found if self._is_ours(rule)}
        changes = [
            # Deletions first: with the new rules, the old ones may exceed the plan's limit.
            self._change("delete", ref, "DELETE", f"{rules}/{rule['id']}", before=rule)
            for ref, rule in ours.items()
            if ref not in wanted
        ]
        order = list(wanted)
        foreign = [rule for rule in found if not self._is_ours(rule)]
        skipped = {ref: rule["id"] for ref in order if (rule := _first_that_it_skips(wanted[ref], foreign)) is not None}
        at = {rule["id"]: place for place, rule in enumerate(found)}
        late = {ref for ref, target in skipped.items() if ref in ours and at[ours[ref]["id"]] > at[target]}
        out_of_place = _out_of_place([ref for ref in ours if ref in wanted], order)
        moving = [ref for ref in order if ref in late or ref in out_of_place]
        for ref in [ref for ref in order if ref in ours and ref not in moving]:
            if not is_as_declared(comparable(wanted[ref]), comparable(ours[ref])):
                path = f"{rules}/{ours[ref]['id']}"
                changes.append(self._change("update", ref, "PATCH", path, body=wanted[ref], before=ours[ref]))
        for ref in moving:
            path = f"{rules}/{ours[ref]['id']}"
            position = {"before": skipped[ref]} if ref in late else _position(ref, order, ours)
            body = wanted[ref] | {"position": position}
            changes.append(self._change("move", ref, "PATCH", path, body=body, before=ours[ref], read_again=True))
        missing = {
            ref: _position(ref, order, ours) or ({"before": skipped[ref]} if ref in skipped else None)
            for ref in order
            if ref not in ours
        }
        # Each is placed relative to an existing rule, so of several behind the same rule the last one is written first.
        behind = [ref for ref, position in missing.items() if position and "after" in position]
        for ref in [*reversed(behind), *(ref for ref in missing if ref not in behind)]:
            changes.append(self._missing(ref, wanted[ref], foreign, rules, missing[ref]))
        return changes

    def _first_of_phase(self, wanted: Mapping[str, dict[str, Any]]) -> Change:
        # POST, not PUT: if another person has opened the phase meanwhile, POST is refused; PUT would replace theirs.
        body = {
            "name": "default",
            "kind": "zone",
            "phase": self.declared["phase"],
            "rules": list(wanted.values()),
        }
        what = f"phase {self.declared['phase']}, with {', '.join(wanted)}"
        return Change("create", what, lambda: self.api.write("POST", self._path, body), after=list(wanted.values()))

    def _missing(
        self,
        ref: str,
        body: dict[str, Any],
        foreign: Sequence[dict[str, Any]],
        rules: str,
        position: dict[str, str] | None,
    ) -> Change:
        in_the_way = [rule for rule in foreign if _does(rule) == _does(body)]
        if in_the_way and not self.declared.get("adopt"):
            theirs = in_the_way[0]
            raise Conflict(
                f"{self._what(ref)}: a foreign rule does the same: {theirs['id']} "
                f"({theirs.get('description') or 'no description'}); remove it, or set cloudflare.adopt to take it over"
            )
        if len(in_the_way) > 1:
            ids = ", ".join(rule["id"] for rule in in_the_way)
            raise Conflict(f"{self._what(ref)}: {len(in_the_way)} rules could be taken over ({ids}); leave one of them")
        body = body | ({"position": position} if position else {})
        if in_the_way:
            path = f"{rules}/{in_the_way[0]['id']}"
            return self._change("update", ref, "PATCH", path, body=body, before=in_the_way[0])
        return self._change("create", ref, "POST", rules, body=body)

    def _change(
        self,
        action: Any,
        ref: str,
        method: str,
        path: str,
        *,
        body: dict[str, Any] | None = None,
        before: Mapping[str, Any] | None = None,
        read_again: bool = False,
    ) -> Change:
        return Change(
            action,
            self._what(ref),
            (lambda: self.api.delete(path)) if method == "DELETE" else (lambda: self.api.write(method, path, body)),
            before=comparable(before) if before else None,
            after=comparable(body) if body else None,
            read_again=read_again,
        )


def comparable(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule with the defaults written down and without what the API numbers and dates it with."""
    kept = {key: value for key, value in rule.items() if key not in _ADDED | {"position"}}
    if isinstance(parameters := kept.get("action_parameters"), Mapping):
        kept["action_parameters"] = {key: value for key, value in parameters.items() if key != "version"}
    return {**_DEFAULTS, **kept}


def _does(rule: Mapping[str, Any]) -> tuple[Any, ...]:
    """What two rules must not both do: the same to the same requests, or to run the same managed ruleset."""
    if rule["action"] == "execute":
        return ("execute", rule["action_parameters"]["id"])
    return (rule["action"], rule["expression"])


def _first_that_it_skips(rule: Mapping[str, Any], foreign: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The first foreign rule that ours skips: those that run after it (docs/ruleset-engine, "Create an exception")."""
    if rule["action"] != "skip":
        return None
    parameters = rule.get("action_parameters") or {}
    rulesets = {*(parameters.get("rulesets") or ()), *(parameters.get("rules") or ())}
    executed = (each for each in foreign if each["action"] == "execute")
    return next((each for each in executed if each["action_parameters"]["id"] in rulesets), None)


def _position(ref: str, order: Sequence[str], ours: Mapping[str, Mapping[str, Any]]) -> dict[str, str] | None:
    """Behind the nearest of ours that comes before it, else before the first of ours, else at the end of them all."""
    at = order.index(ref)
    for before in reversed(order[:at]):
        if before in ours:
            return {"after": ours[before]["id"]}
    for behind in order[at + 1 :]:
        if behind in ours:
            return {"before": ours[behind]["id"]}
    return None


def _out_of_place(found: Sequence[str], order: Sequence[str]) -> list[str]:
    """The fewest rules that have to move: all but the longest subsequence that is in order already."""
    ranks = [order.index(ref) for ref in found]
    tails: list[int] = []
    ends: list[int] = []
    back: list[int | None] = []
    for at, rank in enumerate(ranks):
        place = bisect_left(tails, rank)
        back.append(ends[place - 1] if place else None)
        if place == len(tails):
            tails.append(rank)
            ends.append(at)
        else:
            tails[place], ends[place] = rank, at
    staying, at_now = set(), ends[-1] if ends else None
    while at_now is not None:
        staying.add(found[at_now])
        at_now = back[at_now]
    return [ref for ref in order if ref in found and ref not in staying]
