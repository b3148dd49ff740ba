"""Finds a zone by its name."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra_runtime.cloudflare.api import Api


class NoZone(Exception):
    """There is not exactly one such zone that works; the message says what there is."""


@dataclass(frozen=True)
class Zone:
    id: str
    name: str
    account: str
    plan: str
    """Cloudflare's `legacy_id` of it, like "pro"."""


def named(api: Api, name: str) -> list[Zone]:
    """Every zone of that name that the token can see, in any state."""
    return [_zone(each) for each in _listed(api, name)]


def find(api: Api, name: str) -> Zone:
    """Raises `NoZone` when it is missing, in several accounts, waiting for its name servers, or paused."""
    found = _listed(api, name)
    if not found:
        raise NoZone(f"{name}: no such zone that the token can see (it needs Zone Read, for this zone)")
    if len(found) > 1:
        accounts = ", ".join(each["account"]["id"] for each in found)
        raise NoZone(f"{name}: {len(found)} zones of that name, in the accounts {accounts}; use a token of one of them")
    zone = found[0]
    if zone["status"] != "active":
        servers = ", ".join(zone.get("name_servers") or [])
        raise NoZone(f"{name}: the zone is {zone['status']}, not active; its name servers must be {servers}")
    if zone.get("type", "full") != "full":
        raise NoZone(
            f"{name}: the zone is set up as {zone['type']}, not full: its DNS is elsewhere, and records made here show "
            "nowhere; move its name servers to Cloudflare"
        )
    if zone.get("paused"):
        raise NoZone(f"{name}: the zone is paused in Cloudflare")
    return _zone(zone)


def _listed(api: Api, name: str) -> list[dict[str, Any]]:
    """Cloudflare lists a zone whose name is Punycode under its Unicode name."""
    names = dict.fromkeys([name, name.encode().decode("idna")])
    return [each for one in names for each in api.pages("/zones", name=one) if each["name"] == one]


def _zone(found: Mapping[str, Any]) -> Zone:
    return Zone(found["id"], found["name"], found["account"]["id"], found.get("plan", {}).get("legacy_id", "free"))
