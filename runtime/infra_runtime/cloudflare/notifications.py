"""Cloudflare's own notifications about the zone, sent by e-mail: ours by their description."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import Change, Declared, Observed
from infra_runtime.cloudflare.normal import is_as_declared, undeclared

_COMPARED = ("name", "description", "alert_type", "enabled", "mechanisms", "filters")


@dataclass(frozen=True)
class Notifications:
    """`declared`: owner, and policies with name, title, alert_type, emails, of_zone. They belong to the account."""

    api: Api
    zone: str
    account: str
    declared: Declared

    @property
    def _path(self) -> str:
        return f"/accounts/{self.account}/alerting/v3/policies"

    def _is_ours(self, policy: Mapping[str, Any]) -> bool:
        return str(policy.get("description", "")).startswith(f"{self.declared['owner']}.")

    def _wanted(self) -> dict[str, dict[str, Any]]:
        """Bodies by description."""
        return {
            f"{self.declared['owner']}.{policy['name']}": {
                "name": policy["title"],
                "description": f"{self.declared['owner']}.{policy['name']}",
                "alert_type": policy["alert_type"],
                "enabled": True,
                "mechanisms": {"email": [{"id": address} for address in policy["emails"]]},
                "filters": {"zones": [self.zone]} if policy["of_zone"] else {},
            }
            for policy in self.declared["policies"]
        }

    def observed(self) -> list[Observed]:
        wanted = self._wanted()
        return [
            Observed(
                _what(each),
                self._is_ours(each),
                comparable(each),
                undeclared=undeclared(wanted.get(each.get("description", "")), comparable(each)),
            )
            for each in self.api.get(self._path)
        ]

    def changes(self, *, present: bool) -> list[Change]:
        wanted = self._wanted() if present else {}
        changes, kept = [], set()
        found = self.api.get(self._path)
        for marker, body in wanted.items():
            mine = [each for each in found if each.get("description") == marker]
            if not mine:
                create = lambda body=body: self.api.write("POST", self._path, body)  # noqa: E731
                changes.append(Change("create", _what(body), create, after=body))
                continue
            kept.add(mine[0]["id"])
            if not is_as_declared(body, comparable(mine[0])):
                path = f"{self._path}/{mine[0]['id']}"
                update = lambda path=path, body=body: self.api.write("PUT", path, body)  # noqa: E731
                changes.append(Change("update", _what(body), update, before=comparable(mine[0]), after=body))
        extra = [each for each in found if self._is_ours(each) and each["id"] not in kept]
        return [self._delete(each) for each in extra] + changes

    def _delete(self, policy: dict[str, Any]) -> Change:
        path = f"{self._path}/{policy['id']}"
        return Change("delete", _what(policy), lambda: self.api.delete(path), before=comparable(policy))


def comparable(policy: Mapping[str, Any]) -> dict[str, Any]:
    return {"enabled": True} | {key: policy[key] for key in _COMPARED if key in policy}


def _what(policy: Mapping[str, Any]) -> str:
    return f"notification {policy.get('description') or policy.get('name')}"
