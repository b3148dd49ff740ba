"""DNS records: ours by their comment, which is their marker and nothing else."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from infra_runtime.cloudflare.api import Api
from infra_runtime.cloudflare.converge import Change, Conflict, Declared, Observed
from infra_runtime.cloudflare.normal import host, is_as_declared, undeclared

_COMPARED = ("type", "name", "content", "proxied", "ttl")
# A person may set these; a deployment never writes them.
_OTHERS = ("settings", "tags")
_DEFAULTS = {"proxied": False, "ttl": 1}
# A name answers to one of these only.
ADDRESSES = frozenset({"A", "AAAA", "CNAME"})
# Their content is a host name; a load balancer that CloudFormation names has capitals.
_NAMES_A_HOST = frozenset({"CNAME", "MX", "NS", "PTR", "SRV"})


@dataclass(frozen=True)
class Records:
    """`declared`: owner, adopt, and records with name (the marker's), host, type, content, proxied.

    An unproxied foreign record that is equal to ours counts as ours: certificates of several
    environments are validated by the very same record.
    """

    api: Api
    zone: str
    declared: Declared

    @property
    def _path(self) -> str:
        return f"/zones/{self.zone}/dns_records"

    def _marker(self, name: str) -> str:
        return f"{self.declared['owner']}.{name}"

    def _is_ours(self, record: Mapping[str, Any]) -> bool:
        return str(record.get("comment") or "").startswith(f"{self.declared['owner']}.")

    def _body(self, record: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "type": record["type"],
            "name": host(record["host"]),
            "content": record["content"],
            "proxied": record["proxied"],
            "ttl": 1,  # automatic, the only one that proxied records can have
            "comment": self._marker(record["name"]),
        }

    def observed(self) -> list[Observed]:
        hosts = {host(record["host"]) for record in self.declared["records"]}
        return [
            Observed(
                _what(each),
                self._is_ours(each),
                comparable(each),
                undeclared=undeclared({}, {key: each.get(key) for key in _OTHERS}) if self._is_ours(each) else (),
            )
            for each in self.api.pages(self._path)
            if self._is_ours(each) or host(each["name"]) in hosts
        ]

    def changes(self, *, present: bool) -> list[Change]:
        wanted = {self._marker(each["name"]): self._body(each) for each in self.declared["records"]} if present else {}
        found = self.api.pages(self._path)
        changes, kept = [], set()
        names = {body["name"] for body in wanted.values()}
        for body in wanted.values():
            mine = [each for each in found if self._is_ours(each) and each["id"] not in kept]
            if (best := _best(body, mine, names)) is not None:
                kept.add(best["id"])
                if not _are_alike(body, best) or best.get("comment") != body["comment"]:
                    changes.append(self._update(best, body))
            else:
                changes += self._missing(body, found)
        extra = [each for each in found if self._is_ours(each) and each["id"] not in kept]
        # First of all: a name may be wanted for another kind of record.
        return [self._delete(each) for each in extra] + changes

    def _missing(self, body: dict[str, Any], found: list[dict[str, Any]]) -> list[Change]:
        in_the_way = [
            each
            for each in found
            if host(each["name"]) == body["name"] and each["type"] in ADDRESSES and not self._is_ours(each)
        ]
        if not body["proxied"] and any(_are_alike(body, each) for each in in_the_way):
            return []
        if not in_the_way:
            create = lambda: self.api.write("POST", self._path, body)  # noqa: E731
            return [Change("create", _what(body), create, after=comparable(body))]
        theirs = ", ".join(sorted(f"{each['type']} {each['content']} (id {each['id']})" for each in in_the_way))
        if not self.declared.get("adopt"):
            raise Conflict(
                f"{_what(body)}: {body['name']} has a foreign record: {theirs}; "
                "remove it, or set cloudflare.adopt to take it over"
            )
        if len(in_the_way) > 1:
            raise Conflict(f"{_what(body)}: which of these records shall be taken over? {theirs}; leave one of them")
        return [self._update(in_the_way[0], body)]

    def _update(self, record: dict[str, Any], body: dict[str, Any]) -> Change:
        path = f"{self._path}/{record['id']}"
        return Change(
            "update",
            _what(body),
            lambda: self.api.write("PATCH", path, body),
            before=comparable(record),
            after=comparable(body),
        )

    def _delete(self, record: dict[str, Any]) -> Change:
        path = f"{self._path}/{record['id']}"
        return Change("delete", _what(record), lambda: self.api.delete(path), before=comparable(record))


def _are_alike(declared: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    return is_as_declared(comparable(declared), comparable(found))


def _best(body: Mapping[str, Any], mine: list[dict[str, Any]], names: Collection[str]) -> dict[str, Any] | None:
    """The record of ours to change into this one.

    Preferably one of the same host, which then answers without a pause; else the one with the same marker, unless
    another declared record has that one's host.
    """

    def rank(each: Mapping[str, Any]) -> int:
        is_named, is_called = host(each["name"]) == body["name"], each.get("comment") == body["comment"]
        if is_named:
            return 3 if is_called and _are_alike(body, each) else 2 if is_called else 1
        return 0 if is_called and host(each["name"]) not in names else -1

    best = max(mine, key=rank, default=None)
    return best if best is not None and rank(best) >= 0 else None


def comparable(record: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: record.get(key, _DEFAULTS.get(key)) for key in _COMPARED}
    if record["type"] in _NAMES_A_HOST:
        found["content"] = host(record["content"])
    return found | {"name": host(record["name"])}


def _what(record: Mapping[str, Any]) -> str:
    return f"record {record.get('comment') or record['id']} ({record['type']} {record['name']})"
