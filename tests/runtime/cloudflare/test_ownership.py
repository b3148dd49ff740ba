"""We change only objects with our marker; all others survive."""

from typing import Any

import pytest

from infra_runtime.custom_resource import PartlyCreated
from simulators.cloudflare import dns, rulesets
from simulators.cloudflare.world import identity
from tests.runtime.conftest import Edge, new_edge

CACHE = "http_request_cache_settings"


def cache_rule(name: str, ttl: int = 2592000) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"cache {name}",
        "expression": f'(http.host eq "{name}.example.com")',
        "action": "set_cache_settings",
        "action_parameters": {"cache": True, "edge_ttl": {"mode": "override_origin", "default": ttl}},
    }


def rules(*each: dict[str, Any], phase: str = CACHE, **more: Any) -> dict[str, Any]:
    base = {"kind": "rules", "owner": "production", "name": phase, "zone": "example.com", "phase": phase}
    return base | {"rules": list(each)} | more


def records(**hosts: str) -> dict[str, Any]:
    each = [
        {"name": name, "host": f"{name}.example.com", "type": "CNAME", "content": content, "proxied": True}
        for name, content in hosts.items()
    ]
    return {"kind": "records", "owner": "production.dns", "name": "dns", "zone": "example.com", "records": each}


def ours(edge: Edge, phase: str = CACHE) -> list[str]:
    return [
        rule["ref"] for rule in edge.zone.rulesets[phase]["rules"] if rule["ref"].startswith("production.")
    ]  # fmt: skip


def test_rules_are_created_updated_and_deleted_among_those_of_others(edge: Edge) -> None:
    before = edge.foreign()
    made = edge.ask("Create", rules(cache_rule("a"), cache_rule("b"), cache_rule("c")))
    assert ours(edge) == ["production.a", "production.b", "production.c"]
    assert made.physical_id == f"{edge.zone.id}/production/rules/{CACHE}"
    edge.ask("Update", rules(cache_rule("c"), cache_rule("b", 60 * 60), cache_rule("d")), made.physical_id)
    assert ours(edge) == ["production.c", "production.b", "production.d"]
    assert edge.foreign() == before
    edge.ask("Delete", rules(cache_rule("c")), made.physical_id)
    assert ours(edge) == []
    assert edge.foreign() == before


def test_nothing_to_change_is_nothing_written_and_one_change_is_one_write(edge: Edge) -> None:
    wanted = rules(cache_rule("a"), cache_rule("b"), cache_rule("c"))
    made = edge.ask("Create", wanted)
    assert edge.writes(lambda: edge.ask("Update", wanted, made.physical_id)) == []
    changed = rules(cache_rule("a"), cache_rule("b", 7200), cache_rule("c"))
    (write,) = edge.writes(lambda: edge.ask("Update", changed, made.physical_id))
    assert write.startswith("PATCH")
    moved = rules(cache_rule("c"), cache_rule("a"), cache_rule("b", 7200))
    (write,) = edge.writes(lambda: edge.ask("Update", moved, made.physical_id))
    assert write.startswith("PATCH")
    assert ours(edge) == ["production.c", "production.a", "production.b"]


def test_several_environments_share_a_phase(edge: Edge) -> None:
    made = edge.ask("Create", rules(cache_rule("a")))
    staging = edge.ask("Create", rules(cache_rule("a-staging"), owner="staging"))
    edge.ask("Delete", rules(), made.physical_id)
    assert "staging.a-staging" in [rule["ref"] for rule in edge.zone.rulesets[CACHE]["rules"]]
    edge.ask("Delete", rules(owner="staging"), staging.physical_id)


def test_a_phase_that_was_never_used_is_opened_once_and_never_replaced(edge: Edge) -> None:
    block = {"name": "block", "description": "", "expression": "true", "action": "block"}
    phase = "http_ratelimit"
    limit = {
        "characteristics": ["ip.src", "cf.colo.id"],
        "period": 10,
        "requests_per_period": 50,
        "mitigation_timeout": 10,
    }
    (write,) = edge.writes(lambda: edge.ask("Create", rules(block | {"ratelimit": limit}, phase=phase)))
    assert write == f"POST /zones/{edge.zone.id}/rulesets"
    assert not any(call.method == "PUT" for call in edge.simulator.calls)


def test_a_rule_of_others_that_does_the_same_is_named_and_left(edge: Edge) -> None:
    theirs = edge.zone.rulesets[CACHE]["rules"][0]
    rule = cache_rule("a") | {"expression": theirs["expression"]}
    before = edge.foreign()
    with pytest.raises(PartlyCreated, match=f"{theirs['id']}.*by hand, 0.*cloudflare.adopt"):
        edge.ask("Create", rules(rule))
    assert edge.foreign() == before
    edge.ask("Create", rules(rule, adopt=True))
    assert ours(edge) == ["production.a"]
    assert edge.zone.rulesets[CACHE]["rules"][0]["id"] == theirs["id"]


def test_a_record_of_others_in_our_way_is_named_and_left(edge: Edge) -> None:
    before = edge.foreign()
    with pytest.raises(PartlyCreated, match=r"A 192.0.2.7 \(id .*cloudflare.adopt"):
        edge.ask("Create", records(blog="alb.example.net"))
    assert edge.foreign() == before
    edge.ask("Create", records(blog="alb.example.net") | {"adopt": True})
    (mine,) = [each for each in edge.zone.records.values() if each["name"] == "blog.example.com"]
    assert (mine["type"], mine["content"], mine["comment"]) == ("CNAME", "alb.example.net", "production.dns.blog")


def test_two_candidates_for_adoption_are_a_conflict(edge: Edge) -> None:
    dns.create(edge.zone, {"type": "A", "name": "blog.example.com", "content": "192.0.2.8", "proxied": True})
    with pytest.raises(PartlyCreated, match=r"192.0.2.7.*192.0.2.8.*leave one"):
        edge.ask("Create", records(blog="alb.example.net") | {"adopt": True})


def test_a_second_record_of_ours_is_deleted(edge: Edge) -> None:
    made = edge.ask("Create", records(api="alb.example.net"))
    extra = {"type": "A", "name": "api2.example.com", "content": "192.0.2.9", "comment": "production.dns.api"}
    dns.create(edge.zone, extra | {"proxied": True})
    edge.ask("Update", records(api="alb.example.net"), made.physical_id)
    mine = [each["name"] for each in edge.zone.records.values() if each["comment"] == "production.dns.api"]
    assert mine == ["api.example.com"]


def test_a_name_that_changes_hands_always_has_its_record(edge: Edge) -> None:
    """A service's new host, while its old one leads there: without a record, resolvers remember for minutes that there
    is no such name."""
    made = edge.ask("Create", records(frontend="alb.example.net"))
    (old,) = [key for key, each in edge.zone.records.items() if each["comment"] == "production.dns.frontend"]
    after = records(frontend="alb.example.net")
    after["records"][0]["host"] = "new.example.com"
    redirect = {"name": "redirect", "host": "frontend.example.com", "content": "new.example.com"}
    after["records"].append({**redirect, "type": "CNAME", "proxied": True})
    writes = edge.writes(lambda: edge.ask("Update", after, made.physical_id))
    assert [each.partition(" ")[0] for each in writes] == ["POST", "PATCH"], "the new name first"
    record = edge.zone.records[old]
    assert (record["name"], record["content"]) == ("frontend.example.com", "new.example.com")
    assert record["comment"] == "production.dns.redirect"
    assert edge.writes(lambda: edge.ask("Update", after, made.physical_id)) == []


def test_an_existing_validation_record_is_reused(edge: Edge) -> None:
    body = {"type": "CNAME", "name": "_x.api.example.com", "content": "_y.acm-validations.aws"}
    dns.create(edge.zone, body | {"proxied": False, "ttl": 1, "comment": "by another environment"})
    wanted = records() | {"records": [{"name": "v", "host": "_x.api.example.com", "type": "CNAME",
                          "content": "_y.acm-validations.aws", "proxied": False}]}  # fmt: skip
    assert edge.writes(lambda: edge.ask("Create", wanted)) == []


def singletons(**values: Any) -> dict[str, Any]:
    return {"kind": "singletons", "owner": "production", "name": "zone", "zone": "example.com", "values": values}


def test_a_removed_setting_returns_to_its_former_value(edge: Edge) -> None:
    before = dict(edge.zone.settings)
    made = edge.ask("Create", singletons(ssl="strict", min_tls_version="1.2", tiered_caching="on"))
    assert (edge.zone.settings["ssl"], edge.zone.settings["tiered_caching"]) == ("strict", "on")
    edge.ask("Update", singletons(ssl="full", min_tls_version="1.2"), made.physical_id)
    assert edge.zone.settings["tiered_caching"] == "off"
    edge.ask("Delete", singletons(ssl="full", min_tls_version="1.2"), made.physical_id)
    assert edge.zone.settings == before
    assert edge.store.values == {}


def test_a_setting_that_was_changed_since_is_not_restored(edge: Edge) -> None:
    made = edge.ask("Create", singletons(min_tls_version="1.2"))
    edge.zone.settings["min_tls_version"] = "1.3"
    edge.ask("Delete", singletons(min_tls_version="1.2"), made.physical_id)
    assert edge.zone.settings["min_tls_version"] == "1.3"


def test_only_our_parts_of_a_setting_change(edge: Edge) -> None:
    edge.zone.bots = {"enable_js": False, "sbfm_definitely_automated": "allow", "optimize_wordpress": True}
    wanted = singletons(bot_management={"enable_js": True, "sbfm_definitely_automated": "managed_challenge"})
    made = edge.ask("Create", wanted)
    assert edge.zone.bots["optimize_wordpress"] is True
    edge.ask("Delete", wanted, made.physical_id)
    assert edge.zone.bots == {"enable_js": False, "sbfm_definitely_automated": "allow", "optimize_wordpress": True}


def connector(*names: str) -> dict[str, Any]:
    return {
        "kind": "connector", "owner": "production", "name": "media", "zone": "example.com",
        "entries": [{"name": each, "expression": f'(http.host eq "{each}.example.com")',
                     "host": f"{each}.s3.eu-central-1.amazonaws.com"} for each in names],
    }  # fmt: skip


def test_a_list_that_is_written_as_a_whole_keeps_the_entries_of_others(edge: Edge) -> None:
    before = edge.foreign()
    made = edge.ask("Create", connector("media"))
    assert edge.writes(lambda: edge.ask("Update", connector("media"), made.physical_id)) == []
    edge.ask("Update", connector("media", "static"), made.physical_id)
    assert [each["description"] for each in edge.zone.connectors[-2:]] == ["production.media", "production.static"]
    edge.ask("Delete", connector(), made.physical_id)
    assert edge.foreign() == before
    assert len(edge.zone.connectors) == 1


def test_a_list_that_changes_concurrently_is_read_again(edge: Edge) -> None:
    """Another client adds an entry between the two reads before the write."""
    answer, reads = edge.simulator.answer, []

    def meddling(call: Any) -> Any:
        found = answer(call)
        if call.path.endswith("cloud_connector/rules") and call.method == "GET":
            reads.append(call)
            if len(reads) == 1:
                edge.zone.connectors.append(edge.zone.connectors[0] | {"id": identity(), "description": "new"})
        return found

    edge.simulator.answer = meddling  # type: ignore[method-assign]
    edge.ask("Create", connector("media"))
    assert [each["description"] for each in edge.zone.connectors] == ["the old site", "new", "production.media"]


def policy(email: str) -> dict[str, Any]:
    each = {"name": "ddos", "title": "DDoS", "alert_type": "dos_attack_l7", "emails": [email], "of_zone": False}
    base = {"kind": "notifications", "owner": "production", "name": "all", "zone": "example.com"}
    return base | {"policies": [each]}


def test_notifications_are_created_updated_and_deleted(edge: Edge) -> None:
    before = edge.foreign()
    made = edge.ask("Create", policy("a@example.com"))
    assert edge.writes(lambda: edge.ask("Update", policy("a@example.com"), made.physical_id)) == []
    edge.ask("Update", policy("b@example.com"), made.physical_id)
    (mine,) = [each for each in edge.world.policies.values() if each["description"] == "production.ddos"]
    assert mine["mechanisms"] == {"email": [{"id": "b@example.com"}]}
    edge.ask("Delete", policy("b@example.com"), made.physical_id)
    assert edge.foreign() == before
    assert len(edge.world.policies) == 1


def test_secrets_are_read_at_the_last_moment_and_never_remembered(edge: Edge) -> None:
    edge.secrets["ua"] = "a-secret-user-agent"
    rule = {
        "name": "ua", "description": "", "expression": "true", "action": "rewrite",
        "action_parameters": {"headers": {"User-Agent": {"operation": "set", "value": {"$secret": "ua"}}}},
    }  # fmt: skip
    phase = "http_request_late_transform"
    made = edge.ask("Create", rules(rule, phase=phase))
    (found,) = edge.zone.rulesets[phase]["rules"]
    assert found["action_parameters"]["headers"]["User-Agent"]["value"] == "a-secret-user-agent"
    assert "a-secret-user-agent" not in str(edge.store.values)
    edge.secrets["ua"] = "rotated"
    assert len(edge.writes(lambda: edge.ask("Update", rules(rule, phase=phase), made.physical_id))) == 1
    del edge.secrets["ua"]
    edge.ask("Delete", rules(rule, phase=phase), made.physical_id)
    assert edge.zone.rulesets[phase]["rules"] == []


def test_replacing_an_entrypoint_would_delete_the_rules_of_others() -> None:
    """The control: what Cloudflare's PUT does to the rules of others."""
    edge = new_edge()
    before = edge.foreign()
    rulesets.replace(edge.zone, CACHE, [])
    assert edge.foreign() != before


def test_a_record_may_get_another_name_of_ours(edge: Edge) -> None:
    made = edge.ask("Create", records(api="alb.example.net"))
    renamed = records(api="alb.example.net")
    renamed["records"][0]["name"] = "interface"
    edge.ask("Update", renamed, made.physical_id)
    found = [each["comment"] for each in edge.zone.records.values() if each["name"] == "api.example.com"]
    assert found == ["production.dns.interface"]


def test_a_load_balancer_s_name_converges_however_cloudflare_spells_it(edge: Edge) -> None:
    wanted = records(api="Product-Alb16C2F182-VaLV77.eu-central-1.elb.amazonaws.com.")
    made = edge.ask("Create", wanted)
    (record,) = [each for each in edge.zone.records.values() if each["name"] == "api.example.com"]
    assert record["content"] == "product-alb16c2f182-valv77.eu-central-1.elb.amazonaws.com"
    assert edge.writes(lambda: edge.ask("Update", wanted, made.physical_id)) == []
