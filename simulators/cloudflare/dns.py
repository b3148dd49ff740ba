"""DNS records of a zone."""

from typing import Any

from simulators.cloudflare.protocol import ApiProblem
from simulators.cloudflare.vendor import NAMES_A_HOST
from simulators.cloudflare.world import Zone, identity

_ADDRESSES = {"A", "AAAA", "CNAME"}


def create(zone: Zone, body: dict[str, Any]) -> dict[str, Any]:
    record = {"id": identity(), "proxied": False, "comment": None, "tags": [], "meta": {}, "settings": {}, **body}
    _check(zone, record)
    zone.records[record["id"]] = _completed(record)
    return zone.records[record["id"]]


def edit(zone: Zone, record_id: str, body: dict[str, Any]) -> dict[str, Any]:
    if record_id not in zone.records:
        raise ApiProblem(404, 81044, "Record does not exist.")
    record = zone.records[record_id] | body
    _check(zone, record)
    zone.records[record_id] = _completed(record)
    return zone.records[record_id]


def delete(zone: Zone, record_id: str) -> dict[str, Any]:
    if zone.records.pop(record_id, None) is None:
        raise ApiProblem(404, 81044, "Record does not exist.")
    return {"id": record_id}


def _completed(record: dict[str, Any]) -> dict[str, Any]:
    completed = record | {"proxiable": record["type"] in _ADDRESSES, "name": _host(record["name"])}
    if record["type"] in NAMES_A_HOST:
        completed["content"] = _host(record["content"])
    return completed


def _host(name: str) -> str:
    return name.lower().rstrip(".")


def _check(zone: Zone, record: dict[str, Any]) -> None:
    name = record["name"]
    if name != zone.name and not name.endswith(f".{zone.name}"):
        raise ApiProblem(400, 9005, f"{name} is not in the zone {zone.name}")
    if record["proxied"] and record.get("ttl", 1) != 1:
        raise ApiProblem(400, 9021, "ttl must be set to 1 when `proxied` is true")
    if len(record.get("comment") or "") > zone.plan.longest_comment:
        raise ApiProblem(400, 9302, "comment is too long")
    others = [each for each in zone.records.values() if each["id"] != record["id"] and each["name"] == name]
    for other in others:
        if (other["type"], other["content"]) == (record["type"], record["content"]):
            raise ApiProblem(400, 81058, "An identical record already exists.")
        if "CNAME" in (other["type"], record["type"]) and {other["type"], record["type"]} <= _ADDRESSES:
            raise ApiProblem(400, 81053, "An A, AAAA, or CNAME record with that host already exists.")
