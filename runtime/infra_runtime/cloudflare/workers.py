"""One Worker and its route. A script is ours by a tag with its owner; another tag says what it was made of."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import Change, Conflict, Declared, Seen

_MODULE = "worker.mjs"


@dataclass(frozen=True)
class Worker:
    """`declared`: owner, name, adopt, script, compatibility_date, variables, pattern."""

    api: Api
    zone: str
    zone_name: str
    account: str
    declared: Declared

    @property
    def _name(self) -> str:
        """Scripts have names of the account's, whose zones may have owners of the same name."""
        return f"{self.declared['owner']}-{self.zone_name.replace('.', '-')}-{self.declared['name']}"

    @property
    def _script(self) -> str:
        return f"/accounts/{self.account}/workers/scripts/{self._name}"

    @property
    def _routes(self) -> str:
        return f"/zones/{self.zone}/workers/routes"

    @property
    def _tags(self) -> list[str]:
        made_of = [self.declared[key] for key in ("script", "compatibility_date", "variables")]
        digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
        return [f"owner:{self.declared['owner']}", f"made-of:{digest[:32]}"]

    def seen(self) -> list[Seen]:
        found = [Seen(f"worker {self._name}", self._is_ours(each), each.get("tags")) for each in self._found()]
        return found + [
            Seen(f"route {each['pattern']}", each.get("script") == self._name, each.get("script"))
            for each in self._found_routes()
        ]

    def changes(self, *, present: bool) -> list[Change]:
        scripts, routes = self._found(), self._found_routes()
        return self._wanted(scripts, routes) if present else self._removal(scripts, routes)

    def _wanted(self, scripts: list[dict[str, Any]], routes: list[dict[str, Any]]) -> list[Change]:
        changes = []
        for each in scripts:
            if not self._is_ours(each):
                self._conflict(f"worker {self._name}: a script of somebody else's has this name")
        if not scripts or scripts[0].get("tags") != self._tags:
            action: Any = "update" if scripts else "create"
            changes.append(Change(action, f"worker {self._name}", self._upload, after=self._tags))
        body = {"pattern": self.declared["pattern"], "script": self._name}
        for route in routes:
            if route.get("script") != self._name:
                self._conflict(f"route {route['pattern']}: it leads to {route.get('script') or 'no Worker'}")
                change = lambda route=route: self.api.write("PUT", f"{self._routes}/{route['id']}", body)  # noqa: E731
                changes.append(Change("update", f"route {route['pattern']}", change, before=route, after=body))
        if not routes:
            create = lambda: self.api.write("POST", self._routes, body)  # noqa: E731
            changes.append(Change("create", f"route {body['pattern']}", create, after=body))
        return changes

    def _removal(self, scripts: list[dict[str, Any]], routes: list[dict[str, Any]]) -> list[Change]:
        # Routes first: one that leads to nothing answers with an error.
        changes = [
            Change(
                "delete",
                f"route {each['pattern']}",
                lambda each=each: self.api.delete(f"{self._routes}/{each['id']}"),  # type: ignore[misc]
                before=each,
            )
            for each in routes
            if each.get("script") == self._name
        ]
        if any(self._is_ours(each) for each in scripts):
            changes.append(Change("delete", f"worker {self._name}", lambda: self.api.delete(self._script)))
        return changes

    def _upload(self) -> None:
        metadata = {
            "main_module": _MODULE,
            "compatibility_date": self.declared["compatibility_date"],
            "bindings": [
                {"type": "plain_text", "name": name, "text": text} for name, text in self.declared["variables"].items()
            ],
            "tags": self._tags,
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
        return [each for each in listed if each["pattern"] == self.declared["pattern"]]
