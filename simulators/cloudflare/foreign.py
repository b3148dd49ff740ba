"""Foreign objects in the zone, which must be unchanged after a destroy."""

import copy
from typing import Any

from simulators.cloudflare import dns, rulesets
from simulators.cloudflare.world import World, Zone, identity


def settle(world: World) -> None:
    """A zone with years of history: rules in phases that we use too, records, a connector, a notification."""
    zone = world.zones[0]
    for content, kind in (("v=spf1 -all", "TXT"), ("mail.example.net", "MX")):
        dns.create(zone, {"type": kind, "name": zone.name, "content": content, "ttl": 300})
    dns.create(zone, {"type": "A", "name": f"blog.{zone.name}", "content": "192.0.2.7", "proxied": True, "ttl": 1})
    _rules(zone, "http_request_cache_settings", "set_cache_settings", [{"cache": True}, {"cache": False}])
    if zone.plan.rules["http_request_firewall_custom"] > 1:
        _rules(zone, "http_request_firewall_custom", "managed_challenge", [None])
    zone.connectors.append(
        {
            "id": identity(), "provider": "aws_s3", "expression": f'(http.host eq "old.{zone.name}")', "enabled": True,
            "description": "the old site", "parameters": {"host": "old-site.s3.eu-central-1.amazonaws.com"},
        }
    )  # fmt: skip
    policy = identity()
    world.policies[policy] = {
        "id": policy, "name": "billing", "description": "of the accountant", "alert_type": "billing_usage_alert",
        "enabled": True, "mechanisms": {"email": [{"id": "books@example.com"}]}, "filters": {},
    }  # fmt: skip


def run_owasp(zone: Zone) -> None:
    """The environment that owns the zone's settings declares them for all."""
    owasp = {"id": "4814384a9e5d4991b9815dcfc25d2f1f"}
    rule = {"expression": "true", "action": "execute", "action_parameters": owasp, "description": "OWASP, for all"}
    phase = "http_request_firewall_managed"
    rulesets.create(zone, {"name": "default", "kind": "zone", "phase": phase, "rules": [rule]})


def _rules(zone: Zone, phase: str, action: str, parameters: list[dict[str, Any] | None]) -> None:
    rules = [
        {
            "expression": f'(http.host eq "theirs-{at}.{zone.name}")', "action": action,
            "description": f"by hand, {at}", **({"action_parameters": each} if each else {}),
        }
        for at, each in enumerate(parameters)
    ]  # fmt: skip
    rulesets.create(zone, {"name": "default", "kind": "zone", "phase": phase, "rules": rules})


def foreign_objects(world: World, *, owner: str) -> dict[str, Any]:
    """All objects of others, complete and in order."""
    mine = f"{owner}."
    zone = world.zones[0]
    return copy.deepcopy(
        {
            "records": [each for each in zone.records.values() if not str(each["comment"]).startswith(mine)],
            **{
                phase: [rule for rule in ruleset["rules"] if not rule["ref"].startswith(mine)]
                for phase, ruleset in zone.rulesets.items()
                if any(not rule["ref"].startswith(mine) for rule in ruleset["rules"])
            },
            "connectors": [
                {key: value for key, value in each.items() if key != "id"}
                for each in zone.connectors
                if not each["description"].startswith(mine)
            ],
            "policies": [
                each for each in world.policies.values() if not str(each.get("description")).startswith(mine)
            ],
        }
    )  # fmt: skip


def inventory(world: World) -> dict[str, Any]:
    """Everything in the zone. A phase that was opened and is empty again is as good as one never opened."""
    zone = world.zones[0]
    rules = {phase: ruleset["rules"] for phase, ruleset in zone.rulesets.items() if ruleset["rules"]}
    entries = [{key: value for key, value in each.items() if key != "id"} for each in zone.connectors]
    return copy.deepcopy(
        {
            "records": zone.records, **rules, "settings": zone.settings, "bots": zone.bots, "connectors": entries,
            "client certificates": zone.client_certificates, "associations": zone.associations,
            "policies": world.policies, "workers": world.scripts, "routes": zone.routes,
        }
    )  # fmt: skip
