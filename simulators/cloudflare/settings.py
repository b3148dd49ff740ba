"""Settings that a zone has once, and lists that are written as a whole."""

from typing import Any

from simulators.cloudflare.protocol import ApiProblem
from simulators.cloudflare.world import Zone, identity

_VALUES = {
    "ssl": {"off", "flexible", "full", "strict", "origin_pull"},
    "min_tls_version": {"1.0", "1.1", "1.2", "1.3"},
    "always_use_https": {"on", "off"},
    "tls_1_3": {"on", "off", "zrt"},
    "tiered_caching": {"on", "off"},
    "tiered_cache_smart_topology_enable": {"on", "off"},
}


SMART_TIERED_CACHE = "tiered_cache_smart_topology_enable"


def read(zone: Zone, name: str) -> dict[str, Any]:
    if name == SMART_TIERED_CACHE and name not in zone.settings:
        raise ApiProblem(404, 1142, "Unable to retrieve tiered_cache_smart_topology_enable setting value")
    if name not in zone.settings:
        raise ApiProblem(400, 1006, f"Undefined zone setting: {name}")
    value = zone.settings[name]
    if (name, value, zone.settings["0rtt"]) == ("tls_1_3", "on", "on"):
        value = "zrt"
    return {"id": name, "value": value, "editable": name not in zone.locked, "modified_on": None}


def delete(zone: Zone, name: str) -> dict[str, Any]:
    """Deletes a setting, as if it was never set. Only cache settings can be deleted."""
    read(zone, name)
    del zone.settings[name]
    return {"id": name, "editable": True}


def write(zone: Zone, name: str, value: Any) -> dict[str, Any]:
    if name != SMART_TIERED_CACHE:
        read(zone, name)
    if name in zone.locked:
        raise ApiProblem(403, 1015, f"Not allowed to edit setting for {name}")
    if name in _VALUES and value not in _VALUES[name]:
        raise ApiProblem(400, 1007, f"Invalid value for zone setting {name}")
    zone.settings[name] = value
    return read(zone, name)


def write_bots(zone: Zone, body: dict[str, Any]) -> dict[str, Any]:
    """Merges the given values; others stay."""
    if any(key.startswith("sbfm_") for key in body) and not zone.plan.super_bot_fight_mode:
        raise ApiProblem(400, 1000, "not entitled to Super Bot Fight Mode")
    if "sbfm_likely_automated" in body and not zone.plan.acts_on_likely_bots:
        raise ApiProblem(400, 1000, "not entitled to sbfm_likely_automated")
    if "fight_mode" in body and zone.plan.super_bot_fight_mode:
        raise ApiProblem(400, 1000, "fight_mode is of the free plan only")
    zone.bots |= body
    return zone.bots


def write_connectors(zone: Zone, body: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Replaces all entries, including others'."""
    if len(body) > zone.plan.connectors:
        raise ApiProblem(400, 10010, "too many rules")
    for entry in body:
        host = entry["parameters"]["host"]
        if entry["provider"] == "aws_s3" and not (".s3." in host and host.endswith(".amazonaws.com")):
            raise ApiProblem(400, 10011, f"{host} is not an S3 endpoint")
    zone.connectors = [{"id": identity(), **entry} for entry in body]
    return zone.connectors
