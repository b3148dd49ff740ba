"""Cloud Connector: one list of a zone, replaced as a whole, of which only some entries are ours."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import Change, Conflict, Declared, Observed
from infra_runtime.cloudflare.normal import host, is_as_declared
from infra_runtime.vendor_api import NotFound

_COMPARED = ("provider", "expression", "description", "enabled", "parameters")


@dataclass(frozen=True)
class Connector:
    """`declared`: owner, adopt, and entries with name, expression, host. Ours by their description."""

    api: Api
    zone: str
    declared: Declared

    @property
    def _path(self) -> str:
        return f"/zones/{self.zone}/cloud_connector/rules"

    def _found(self) -> list[dict[str, Any]]:
        try:
            return list(self.api.get(self._path))
        except NotFound:
            return []

    def _is_ours(self, entry: Mapping[str, Any]) -> bool:
        return str(entry.get("description", "")).startswith(f"{self.declared['owner']}.")

    def observed(self) -> list[Observed]:
        return [Observed(_what(each), self._is_ours(each), comparable(each)) for each in self._found()]

    def changes(self, *, present: bool) -> list[Change]:
        wanted = [
            {
                "provider": "aws_s3",
                "expression": entry["expression"],
                "description": f"{self.declared['owner']}.{entry['name']}",
                "enabled": True,
                "parameters": {"host": entry["host"]},
            }
            for entry in (self.declared["entries"] if present else [])
        ]
        found = self._found()
        ours = [comparable(each) for each in found if self._is_ours(each)]
        # The first entry that matches a request serves it: here the order counts.
        if len(ours) == len(wanted) and all(map(is_as_declared, wanted, ours)):
            return []
        theirs = [each for each in found if not self._is_ours(each)]
        for entry in wanted:
            in_the_way = [each for each in theirs if each["expression"] == entry["expression"]]
            if in_the_way and not self.declared.get("adopt"):
                raise Conflict(
                    f"{_what(entry)}: a foreign entry has the same expression: {in_the_way[0].get('id')} "
                    f"({in_the_way[0].get('description')}); remove it, or set cloudflare.adopt to take it over"
                )
            theirs = [each for each in theirs if each not in in_the_way]
        what = ", ".join(_what(each) for each in wanted or ours)
        return [
            Change(
                "update" if wanted else "delete",
                what,
                lambda: self._replace(found, [*map(comparable, theirs), *wanted]),
                before=ours,
                after=wanted,
            )
        ]

    def _replace(self, observed: list[dict[str, Any]], entries: list[dict[str, Any]]) -> None:
        """Writes the whole list, unless it has changed: the API writes neither one entry nor conditionally."""
        if [comparable(each) for each in self._found()] == [comparable(each) for each in observed]:
            self.api.write("PUT", self._path, entries)


def comparable(entry: Mapping[str, Any]) -> dict[str, Any]:
    found = {"enabled": True} | {key: entry[key] for key in _COMPARED if key in entry}
    return found | {"parameters": {"host": host(entry["parameters"]["host"])}}


def _what(entry: Mapping[str, Any]) -> str:
    return f"connector {entry.get('description') or entry.get('id')}"
