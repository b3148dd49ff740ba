"""Everything that is not as declared, before the first write, and all of it at once."""

from typing import Any

import pytest

from infra_runtime.cloudflare.zone import NoZone
from infra_runtime.custom_resource import PartlyCreated
from infra_runtime.vendor_api import Refused
from simulators.cloudflare import dns
from tests.runtime.conftest import TOKEN, Edge, new_edge

CUSTOM = "http_request_firewall_custom"
DOCUMENT: dict[str, Any] = {
    "kind": "preflight", "owner": "production", "name": "preflight", "zone": "example.com", "plan": "pro",
    "settings": ["ssl", "min_tls_version"], "rules": {CUSTOM: {"ours": 3, "limit": 20}},
}  # fmt: skip


def findings(edge: Edge, **changed: Any) -> str:
    """The preflight's findings; empty if there are none. Asserts that it writes nothing."""
    try:
        edge.ask("Create", DOCUMENT | changed)
    except (PartlyCreated, Refused) as error:
        return str(error)
    finally:
        assert not any(call.is_write for call in edge.simulator.calls)
    return ""


def test_a_zone_as_declared_passes(edge: Edge) -> None:
    assert findings(edge) == ""
    assert edge.ask("Delete", DOCUMENT, f"{edge.zone.id}/x").physical_id == f"{edge.zone.id}/x"


def test_a_lower_plan_is_named() -> None:
    assert "the zone is on the plan free, cloudflare.plan says pro" in findings(new_edge(plan_name="free"))


def test_a_higher_plan_is_accepted() -> None:
    assert findings(new_edge(plan_name="business")) == ""


def test_rules_of_others_that_leave_no_room_are_named(edge: Edge) -> None:
    found = findings(edge, rules={CUSTOM: {"ours": 3, "limit": 3}})
    assert "3 rules of ours and 1 of others (by hand, 0) are more than the 3 of the plan pro" in found


def test_a_setting_that_the_plan_locks_is_named(edge: Edge) -> None:
    edge.zone.locked.add("min_tls_version")
    assert "min_tls_version cannot be changed on this plan" in findings(edge)


def test_all_problems_are_reported_together(edge: Edge) -> None:
    edge.zone.locked.add("ssl")
    found = findings(edge, plan="enterprise", settings=["ssl", "no_such"], rules={CUSTOM: {"ours": 3, "limit": 1}})
    assert found.count(";") == 3, found


def test_a_revoked_token_is_reported(edge: Edge) -> None:
    edge.world.tokens.clear()
    assert "Invalid API Token" in findings(edge)


def test_a_zone_whose_dns_is_elsewhere_is_named() -> None:
    with pytest.raises(NoZone, match="set up as partial, not full"):
        findings(new_edge(kind="partial"))


def test_caa_records_that_keep_amazon_from_issuing_are_named(edge: Edge) -> None:
    def caa(value: str) -> None:
        data = {"flags": 0, "tag": "issue", "value": value}
        dns.create(edge.zone, {"type": "CAA", "name": "example.com", "content": f'0 issue "{value}"', "data": data})

    caa("letsencrypt.org")
    assert "only letsencrypt.org issue certificates; add 'issue amazon.com'" in findings(edge)
    caa("amazon.com")
    assert findings(edge) == ""


def test_settings_that_an_account_token_cannot_read_are_named(edge: Edge) -> None:
    edge.world.account_owned.add(TOKEN)
    found = findings(edge)
    assert all(f"{what} cannot be read" in found for what in ("Tiered Cache", "Smart Tiered Cache", "Bot Management"))
    assert "tokens of a user do" in found


def test_a_zone_with_an_international_name_is_found_by_its_punycode(edge: Edge) -> None:
    edge.zone.name = "bücher.example"
    assert findings(edge, zone="xn--bcher-kva.example") == ""
