"""One Worker and its routes. A script is ours by a tag with its owner; another tag says what it was made of."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import Change, Conflict, Declared, Observed

_MODULE = "worker.mjs"


@dataclass(frozen=True)
class WorkerScript:
    """`declared`: owner, name, adopt, script, compatibility_date, variables, patterns (of routes), and optionally
    secrets (by name; they cannot be read back) and cache (true: Workers Cache in front of the script)."""

    api: Api
    zone: str
    zone_name: str
    account: str
    declared: Declared

    @property
    def _name(self) -> str:
        """Script names are unique in the account, and another zone of it may have an owner of the same name."""
        return f"{self.declared['owner']}-{self.zone_name.replace('.', '-')}-{self.declared['name']}"

    @property
    def _script(self) -> str:
        return f"/accounts/{self.account}/workers/scripts/{self._name}"

    @property
    def _routes(self) -> str:
        return f"/zones/{self.zone}/workers/routes"

    @property
    def _tags(self) -> list[str]:
        made_of = [self.declared.get(key) for key in ("script", "compatibility_date", "variables", "secrets", "cache")]
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        return [f"owner:{self.declared['owner']}", f"made-of:{digest[:32]}"]

    def observed(self) -> list[Observed]:
        found = [Observed(f"worker {self._name}", self._is_ours(each), each.get("tags")) for each in self._found()]
        return found + [
            Observed(f"route {each['pattern']}", each.get("script") == self._name, each.get("script"))
            for each in self._found_routes()
        ]

    def changes(self, *, present: bool) -> list[Change]:
        scripts, routes = self._found(), self._found_routes()
        return self._wanted(scripts, routes) if present else self._removal(scripts, routes)

    def _wanted(self, scripts: list[dict[str, Any]], routes: list[dict[str, Any]]) -> list[Change]:
        changes = []
        for each in scripts:
            if not self._is_ours(each):
                self._conflict(f"worker {self._name}: a foreign script has this name")
        if not scripts or scripts[0].get("tags") != self._tags:
            action: Any = "update" if scripts else "create"
            changes.append(Change(action, f"worker {self._name}", self._upload, after=self._tags))
        found = {each["pattern"]: each for each in routes}
        for pattern in self.declared["patterns"]:
            changes += self._wanted_route(found.pop(pattern, None), {"pattern": pattern, "script": self._name})
        return changes + [self._without(each) for each in found.values()]

    def _wanted_route(self, found: dict[str, Any] | None, body: dict[str, str]) -> list[Change]:
        what = f"route {body['pattern']}"
        if found is None:
            return [Change("create", what, lambda: self.api.write("POST", self._routes, body), after=body)]
        if found.get("script") == self._name:
            return []
        self._conflict(f"{what}: it leads to {found.get('script') or 'no Worker'}")
        replace = lambda: self.api.write("PUT", f"{self._routes}/{found['id']}", body)  # noqa: E731
        return [Change("update", what, replace, before=found, after=body)]

    def _without(self, route: dict[str, Any]) -> Change:
        delete = lambda: self.api.delete(f"{self._routes}/{route['id']}")  # noqa: E731
        return Change("delete", f"route {route['pattern']}", delete, before=route)

    def _removal(self, scripts: list[dict[str, Any]], routes: list[dict[str, Any]]) -> list[Change]:
        # Routes first: one that leads to nothing answers with an error.
        changes = [self._without(each) for each in routes if each.get("script") == self._name]
        if any(self._is_ours(each) for each in scripts):
            changes.append(Change("delete", f"worker {self._name}", lambda: self.api.delete(self._script)))
        return changes

    def _upload(self) -> None:
        metadata = {
            "main_module": _MODULE,
            "compatibility_date": self.declared["compatibility_date"],
            "bindings": [
                {"type": kind, "name": name, "text": text}
                for kind, texts in (("plain_text", "variables"), ("secret_text", "secrets"))
                for name, text in self.declared.get(texts, {}).items()
            ],
            "tags": self._tags,
            # An upload replaces the whole script: another secret alone must not empty the cache of every reader.
            **({"cache_options": {"enabled": True, "cross_version_cache": True}} if self.declared.get("cache") else {}),
        }
        files = {
            "metadata": (None, json.dumps(metadata), "application/json"),
            _MODULE: (_MODULE, self.declared["script"], "application/javascript+module"),
        }
        self.api.upload("PUT", self._script, files)

    def _conflict(self, what: str) -> None:
        if not self.declared.get("adopt"):
            raise Conflict(f"{what}; remove it, or set cloudflare.adopt to take it over")

    def _is_ours(self, script: Mapping[str, Any]) -> bool:
        return f"owner:{self.declared['owner']}" in (script.get("tags") or [])

    def _found(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.api.get(f"/accounts/{self.account}/workers/scripts")
        return [each for each in listed if each["id"] == self._name]

    def _found_routes(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = self.api.get(self._routes)
        mine = self.declared["patterns"]
        return [each for each in listed if each["pattern"] in mine or each.get("script") == self._name]
