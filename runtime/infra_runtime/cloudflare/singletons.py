"""Settings that a zone has once. Deleting restores the value from before, unless it was changed since."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import Change, Declared, Observed
from infra_runtime.cloudflare.normal import is_as_declared
from infra_runtime.state_store import StateStore
from infra_runtime.vendor_api import NotFound


@dataclass(frozen=True)
class _Place:
    path: str
    method: str = "PATCH"
    is_value: bool = True
    """The setting is the `value` of its answer; otherwise it is the answer itself, of which only a part is ours."""


_ELSEWHERE = {
    "tiered_caching": _Place("/argo/tiered_caching"),
    "smart_tiered_cache": _Place("/cache/tiered_cache_smart_topology_enable"),
    "bot_management": _Place("/bot_management", "PUT", is_value=False),
}


# TLS 1.3 reads so while 0-RTT is on, too (terraform-provider-cloudflare #7118).
_EQUIVALENT = {("tls_1_3", "on"): "zrt"}


def _place(name: str) -> _Place:
    return _ELSEWHERE.get(name) or _Place(f"/settings/{name}")


@dataclass(frozen=True)
class Singletons:
    """`declared`: owner, name, and values: what each setting shall be."""

    api: Api
    zone: str
    declared: Declared
    store: StateStore

    @property
    def _key(self) -> str:
        return f"before/{self.declared['name']}"

    def _read(self, name: str) -> Any:
        place = _place(name)
        try:
            answer = self.api.get(f"/zones/{self.zone}{place.path}")
        except NotFound:
            # Smart Tiered Cache answers 404, code 1142, in a zone that never had it.
            return None
        return answer.get("value") if place.is_value else answer

    def _write(self, name: str, value: Any) -> None:
        place = _place(name)
        body = {"value": value} if place.is_value else value
        self.api.write(place.method, f"/zones/{self.zone}{place.path}", body)

    def _put_back(self, name: str, before: Any) -> None:
        if before is None:
            self.api.delete(f"/zones/{self.zone}{_place(name).path}")
        else:
            self._write(name, _restorable(before))

    def observed(self) -> list[Observed]:
        return [
            Observed(f"setting {name}", True, _ours_of(self._read(name), value))
            for name, value in self.declared["values"].items()
        ]

    def changes(self, *, present: bool) -> list[Change]:
        wanted: Mapping[str, Any] = self.declared["values"] if present else {}
        before: dict[str, Any] = self.store.get(self._key) or {}
        changes = []
        for name, value in wanted.items():
            found = _ours_of(self._read(name), value)
            if not _is(name, value, found):
                changes.append(self._set(name, found, value))
        for name, remembered in before.items():
            if name not in wanted:
                changes.append(self._restore(name, remembered))
        return changes

    def _set(self, name: str, found: Any, value: Any) -> Change:
        def apply() -> None:
            # Stored first: what we have overwritten cannot be read any more. What is stored stays.
            before = self.store.get(self._key) or {}
            if name not in before:
                self.store.put(self._key, before | {name: {"before": found, "ours": value}})
            elif before[name]["ours"] != value:
                self.store.put(self._key, before | {name: before[name] | {"ours": value}})
            self._write(name, value)

        return Change("update", f"setting {name}", apply, before=found, after=value)

    def _restore(self, name: str, remembered: Mapping[str, Any]) -> Change:
        def apply() -> None:
            ours = remembered["ours"]
            if _is(name, ours, _ours_of(self._read(name), ours)):
                self._put_back(name, remembered["before"])
            left = {key: value for key, value in (self.store.get(self._key) or {}).items() if key != name}
            self.store.put(self._key, left)

        return Change("restore", f"setting {name}", apply, before=remembered["ours"], after=remembered["before"])


def _is(name: str, declared: Any, found: Any) -> bool:
    return is_as_declared(declared, found) or found == _EQUIVALENT.get((name, str(declared)), declared)


def _restorable(before: Any) -> Any:
    """The former value without parts that Cloudflare did not return: they cannot be restored."""
    if isinstance(before, Mapping):
        return {key: _restorable(value) for key, value in before.items() if value is not None}
    return before


def _ours_of(found: Any, declared: Any) -> Any:
    """The part of a setting that we declare something about."""
    if isinstance(found, Mapping) and isinstance(declared, Mapping):
        return {key: _ours_of(found.get(key), value) for key, value in declared.items()}
    return found
