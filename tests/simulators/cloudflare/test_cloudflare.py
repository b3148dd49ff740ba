"""The simulator is only as good as what it refuses."""

import copy
import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra_runtime.authority import ClientCertificateAuthority
from ops.edge.synthesized import text_of
from simulators.cloudflare.cache_rules import cache_settings
from simulators.cloudflare.contract import Contract
from simulators.cloudflare.edge_cache import EdgeCache
from simulators.cloudflare.protocol import ApiCall
from simulators.cloudflare.server import resolve
from simulators.cloudflare.shapes import SHAPES, strangers
from simulators.cloudflare.simulator import CloudflareSimulator
from simulators.cloudflare.vendor import UNOBSERVED_CODES, PlanName
from simulators.cloudflare.world import World, Zone
from simulators.http_server import Answer
from tests.runtime.conftest import TOKEN, new_edge

ROOT = Path(__file__).resolve().parents[3]


def recorded(templates: dict[str, dict[str, Any]]) -> list[ApiCall]:
    """Every request of a deployment of production's edge, as its own code makes them."""
    edge = new_edge()
    for resource in templates["production/Edge"]["Resources"].values():
        if resource["Type"] == "Custom::Cloudflare":
            text = text_of(resource["Properties"]["Document"], unknown="x.example.net")
            document = json.loads(text.replace("daadaar.com", "example.com"))
            edge.secrets["x.example.net"] = "agent"
            made = edge.ask("Create", document)
            edge.ask("Delete", document, made.physical_id)
    assert edge.simulator.violations == []
    return edge.simulator.calls


def mutants(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of every key in a body."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield (*path, key)
            yield from mutants(value, (*path, key))
    elif isinstance(node, list):
        for at, value in enumerate(node):
            yield from mutants(value, (*path, at))


def with_typo(body: Any, path: tuple[Any, ...]) -> Any:
    spoiled = copy.deepcopy(body)
    parent = spoiled
    for part in path[:-1]:
        parent = parent[part]
    parent[f"{path[-1]}x"] = parent.pop(path[-1])
    return spoiled


def test_a_mistyped_key_is_found_out(templates: dict[str, dict[str, Any]]) -> None:
    """Tries every request of a deployment. Only keys with free names may be missed: headers, filters."""
    contract, tried, missed = Contract(), 0, set()
    for call in recorded(templates):
        assert contract.violations(call.method, call.path, call.query, call.body) == []
        for path in mutants(call.body) if call.body else ():
            if isinstance(path[-1], str):
                tried += 1
                if not contract.violations(call.method, call.path, call.query, with_typo(call.body, path)):
                    missed.add(path[-1])
    assert tried > 150
    # A header's name, and the parts of settings whose value the SDK leaves open.
    assert missed <= {"User-Agent", "strict_transport_security", "enabled", "max_age", "include_subdomains", "preload",
                      "nosniff"}, missed  # fmt: skip


def test_every_operation_is_covered_by_the_documented_permissions_of_the_token(
    templates: dict[str, dict[str, Any]],
) -> None:
    page = (ROOT / "docs" / "cloudflare-token.md").read_text()
    named = " ".join(page[page.index("2. Permissions") : page.index("\n3. ")].split())
    needed = {
        r"/zones": "Zone Read",
        r"/zones/[^/]+/dns_records.*": "DNS Write",
        r"/zones/[^/]+/settings/.*|.*/argo/tiered_caching|.*/tiered_cache_smart.*": "Zone Settings Write",
        r"/zones/[^/]+/bot_management": "Bot Management Write",
        r"/zones/[^/]+/cloud_connector/rules": "Cloud Connector Write",
        r"/zones/[^/]+/origin_tls_client_auth/.*": "SSL and Certificates Write",
        r"/accounts/[^/]+/alerting/.*": "Notifications Write",
        r"/accounts/[^/]+/workers/scripts.*": "Workers Scripts Write",
        r"/zones/[^/]+/workers/routes.*": "Workers Routes Write",
        r".*phases/http_request_cache_settings/.*": "Cache Settings Write",
        r".*phases/(http_request_firewall_custom|http_request_firewall_managed|http_ratelimit)/.*": "Zone WAF Write",
        r".*phases/ddos_l7/.*": "HTTP DDoS Managed Ruleset Write",
        r".*phases/http_request_late_transform/.*": "Zone Transform Rules Write",
        r".*phases/http_request_dynamic_redirect/.*": "Dynamic URL Redirects Write",
        r"/zones/[^/]+|/zones/[^/]+/rulesets(/[^/]+/rules(/[^/]+)?)?": "",  # By phase, or Zone Read.
    }
    used = set()
    for call in recorded(templates):
        (permission,) = [name for pattern, name in needed.items() if re.fullmatch(pattern, call.path)]
        assert permission in named, call.path
        used.add(permission)
    assert {
        "DNS Write",
        "Zone WAF Write",
        "Notifications Write",
        "Bot Management Write",
        "Workers Scripts Write",
    } < used


def asked(simulator: CloudflareSimulator, method: str, path: str, body: Any = None) -> Answer:
    return simulator.answer(ApiCall(method, path, {}, body, "t"))


@pytest.fixture
def free() -> CloudflareSimulator:
    return CloudflareSimulator(World([Zone("example.com", "free", id="z")], tokens={"t": "active"}))


@pytest.mark.parametrize(("body", "message"), [
    ({"phase": "http_request_firewall_managed", "rules": [{"action": "execute", "expression": "true",
      "action_parameters": {"id": "4814384a9e5d4991b9815dcfc25d2f1f"}}]}, "not entitled to execute"),
    ({"phase": "http_request_firewall_custom", "rules": [{"action": "log", "expression": "true"}]}, "log action"),
    ({"phase": "http_request_firewall_custom", "rules": [{"action": "block", "expression": 'http.host matches "x"'}]},
     "matches operator"),
    ({"phase": "http_request_firewall_custom", "rules": [{"action": "rewrite", "expression": "true"}]}, "not allowed"),
    ({"phase": "http_request_firewall_custom", "rules": [{"action": "block", "expression": "true"}] * 6}, "exceeded"),
    ({"phase": "http_request_firewall_custom",
      "rules": [{"action": "block", "expression": "true", "ref": "same"}] * 2}, "exists already"),
    ({"phase": "http_ratelimit", "rules": [{"action": "block", "expression": 'http.host eq "a"', "ratelimit": {
      "characteristics": ["ip.src", "cf.colo.id"], "period": 10, "requests_per_period": 1,
      "mitigation_timeout": 10}}]}, "http.host"),
    ({"phase": "http_ratelimit", "rules": [{"action": "block", "expression": "true", "ratelimit": {
      "characteristics": ["ip.src"], "period": 10, "requests_per_period": 1, "mitigation_timeout": 10}}]}, "mandatory"),
    ({"phase": "http_ratelimit", "rules": [{"action": "block", "expression": "true", "ratelimit": {
      "characteristics": ["ip.src", "cf.colo.id"], "period": 11, "requests_per_period": 1,
      "mitigation_timeout": 10}}]}, "no supported period"),
    ({"phase": "http_ratelimit", "rules": [{"action": "block", "expression": "true", "ratelimit": {
      "characteristics": ["ip.src", "cf.colo.id"], "period": 60, "requests_per_period": 1,
      "mitigation_timeout": 10}}]}, "not entitled to a period"),
    ({"phase": "http_request_cache_settings", "rules": [{"action": "set_cache_settings", "expression": "true",
      "action_parameters": {"edge_ttl": {"mode": "override_origin", "default": 60}}}]}, "at least 7200"),
    ({"phase": "http_request_late_transform", "rules": [{"action": "rewrite", "expression": "true",
      "action_parameters": {"headers": {"Referer": {"operation": "set", "value": "x"}}}}]}, "cannot be modified"),
], ids=lambda value: value if isinstance(value, str) else "")  # fmt: skip
def test_rules_that_the_plan_or_phase_does_not_allow_are_refused(
    body: dict[str, Any], message: str, free: CloudflareSimulator
) -> None:
    answer = asked(free, "POST", "/zones/z/rulesets", {"name": "default", "kind": "zone", **body})
    assert (answer.status, message in str(answer.body["errors"])) == (400, True), answer.body
    assert free.world.zones[0].rulesets == {}


def test_a_rule_that_blocks_answers_with_a_client_error_on_paid_plans_and_never_with_503() -> None:
    def answers(plan: PlanName, status: int) -> Answer:
        simulator = CloudflareSimulator(World([Zone("example.com", plan, id="z")], tokens={"t": "active"}))
        response = {"status_code": status, "content": "wait", "content_type": "text/plain"}
        rule = {"action": "block", "expression": "true", "action_parameters": {"response": response}}
        body = {"name": "default", "kind": "zone", "phase": "http_request_firewall_custom", "rules": [rule]}
        return asked(simulator, "POST", "/zones/z/rulesets", body)

    assert answers("pro", 429).status == 200
    assert "not entitled" in str(answers("free", 429).body["errors"])
    assert "between 400 and 499" in str(answers("enterprise", 503).body["errors"])


def test_a_phase_has_one_entrypoint_and_none_at_first(free: CloudflareSimulator) -> None:
    assert asked(free, "GET", "/zones/z/rulesets/phases/ddos_l7/entrypoint").status == 404
    body = {"name": "default", "kind": "zone", "phase": "http_request_cache_settings", "rules": []}
    assert asked(free, "POST", "/zones/z/rulesets", body).status == 200
    assert asked(free, "POST", "/zones/z/rulesets", body).status == 400


def test_two_names_for_one_host_are_refused_as_by_dns(free: CloudflareSimulator) -> None:
    record = {"type": "CNAME", "name": "a.example.com", "content": "x.net", "proxied": True, "ttl": 1}
    assert asked(free, "POST", "/zones/z/dns_records", record).status == 200
    again = asked(free, "POST", "/zones/z/dns_records", record)
    other = asked(free, "POST", "/zones/z/dns_records", record | {"type": "A", "content": "192.0.2.1"})
    assert [each.body["errors"][0]["code"] for each in (again, other)] == [81058, 81053]
    assert resolve(free.world, "a.example.com")["Answer"] == []  # A proxied record does not show its target.


def test_lists_come_in_pages(free: CloudflareSimulator) -> None:
    for at in range(7):
        asked(
            free, "POST", "/zones/z/dns_records", {"type": "TXT", "name": f"{at}.example.com", "content": "x", "ttl": 1}
        )
    answer = free.answer(ApiCall("GET", "/zones/z/dns_records", {"page": "3", "per_page": "3"}, None, "t"))
    assert len(answer.body["result"]) == 1
    assert answer.body["result_info"]["total_pages"] == 3


def test_who_has_no_token_gets_nothing(free: CloudflareSimulator) -> None:
    assert free.answer(ApiCall("GET", "/zones", {}, None, "other")).status == 401
    free.world.tokens["t"] = "disabled"
    assert asked(free, "GET", "/zones").status == 403


def test_every_error_code_was_observed_or_is_listed_as_unobserved() -> None:
    answered = {
        int(code)
        for file in (ROOT / "simulators" / "cloudflare").glob("*.py")
        for code in re.findall(r"Problem\(\s*\d{3}, (\d+),", file.read_text())
    } | {1433, 1434}
    services = ROOT / "node_modules" / "@distilled.cloud" / "cloudflare" / "src" / "services"
    observed = {int(code) for file in services.glob("*.ts") for code in re.findall(r"code: (\d+)", file.read_text())}
    certificates = (services / "origin-tls-client-auth.ts").read_text()
    assert all(f"code: {code}" in certificates for code in answered if 1400 <= code < 1600 and code != 1431)
    assert answered - observed <= set(UNOBSERVED_CODES), answered - observed - set(UNOBSERVED_CODES)
    assert set(UNOBSERVED_CODES) <= answered, set(UNOBSERVED_CODES) - answered
    assert len(answered & observed) > 5


def test_no_object_has_a_field_that_no_recorded_answer_has() -> None:
    edge = new_edge()
    leaf = ClientCertificateAuthority.create("us", now=datetime(2026, 11, 1, tzinfo=UTC)).issue(
        "us", now=datetime(2026, 11, 1, tzinfo=UTC)
    )
    zone = f"/zones/{edge.zone.id}"

    def asked_of(path: str, method: str = "GET", body: Any = None) -> Any:
        answer = edge.simulator.answer(ApiCall(method, path, {}, body, TOKEN))
        assert answer.status == 200, answer.body
        return answer.body["result"]

    certificates = f"{zone}/origin_tls_client_auth/hostnames"
    made = asked_of(f"{certificates}/certificates", "POST", leaf)
    host = "api.example.com"
    asked_of(certificates, "PUT", {"config": [{"hostname": host, "cert_id": made["id"], "enabled": True}]})
    limit = {
        "characteristics": ["ip.src", "cf.colo.id"],
        "period": 10,
        "requests_per_period": 1,
        "mitigation_timeout": 10,
    }
    rules = [{"action": "block", "expression": "true", "ratelimit": limit}]
    made = asked_of(
        f"{zone}/rulesets", "POST", {"name": "default", "kind": "zone", "phase": "http_ratelimit", "rules": rules}
    )
    shown = [
        ("zone", asked_of(zone)),
        *(("record", each) for each in asked_of(f"{zone}/dns_records")),
        ("ruleset", made),
        *(("rule", each) for each in made["rules"]),
        ("ratelimit", made["rules"][0]["ratelimit"]),
        ("setting", asked_of(f"{zone}/settings/ssl")),
        ("setting", asked_of(f"{zone}/argo/tiered_caching")),
        ("bots", asked_of(f"{zone}/bot_management")),
        *(("certificate", each) for each in asked_of(f"{certificates}/certificates")),
        ("association", asked_of(f"{certificates}/{host}")),
        *(("policy", each) for each in asked_of(f"/accounts/{edge.zone.account}/alerting/v3/policies")),
    ]
    assert {kind for kind, _ in shown} == set(SHAPES)
    assert [each for kind, one in shown for each in strangers(kind, one)] == []


def test_of_all_cache_rules_that_match_the_last_to_set_a_value_wins() -> None:
    """cloudflare-docs, cache/how-to/cache-rules/order.mdx."""

    def rule(expression: str, **parameters: Any) -> dict[str, Any]:
        return {"expression": expression, "enabled": True, "action_parameters": parameters}

    media = 'http.host in {"a.example" "b.example"}'
    previews = (
        f'({media}) and (starts_with(http.request.uri.path, "/og/") or starts_with(http.request.uri.path, "/c/"))'
    )
    zone = Zone("example", rulesets={"http_request_cache_settings": {"rules": [
        rule(media, cache=True, edge_ttl=30),
        rule(previews, edge_ttl=1),
        rule(media, edge_ttl=2) | {"enabled": False},
        rule('http.host eq "c.example"', edge_ttl=3),
    ]}})  # fmt: skip
    assert cache_settings(zone, "a.example", "/og/a.png") == {"cache": True, "edge_ttl": 1}
    assert cache_settings(zone, "b.example", "/a/c/") == {"cache": True, "edge_ttl": 30}
    assert cache_settings(zone, "d.example", "/og/a.png") == {}
    with pytest.raises(NotImplementedError, match="lower"):
        cache_settings(Zone("example", rulesets={"http_request_cache_settings": {"rules": [
            rule('lower(http.host) eq "a"')
        ]}}), "a", "/")  # fmt: skip


def test_a_question_about_traffic_writes_nothing() -> None:
    """GraphQL is asked by POST; a function that asks by the clock does not touch the zone."""
    assert not ApiCall("POST", "/graphql").is_write
    assert ApiCall("POST", "/zones/1/dns_records").is_write


def test_the_edge_answers_from_its_cache_until_the_time_is_over_or_the_prefix_is_purged() -> None:
    zone, asked = Zone("example"), []
    cache = EdgeCache(zone.purged)
    ignoring = {
        "cache": True,
        "edge_ttl": {"default": 60},
        "cache_key": {"custom_key": {"query_string": {"exclude": "*"}}},
    }

    def fetched(settings: dict[str, Any], path: str, query: str = "", status: int = 200) -> str:
        def fetch() -> httpx.Response:
            asked.append(path)
            return httpx.Response(status)

        return str(cache.answer(settings, f"a.example{path}", query, fetch).headers.get("cf-cache-status"))

    assert [fetched(ignoring, "/x", query) for query in ("", "?a", "?b")] == ["MISS", "HIT", "HIT"]
    by_query = ignoring | {"cache_key": {}}
    assert [fetched(by_query, "/y", query) for query in ("a", "b", "a")] == ["MISS", "MISS", "HIT"]
    assert [fetched(ignoring | {"edge_ttl": {"default": 0}}, "/z") for _ in range(2)] == ["MISS", "MISS"]
    assert [fetched(ignoring, "/missing", status=403) for _ in range(2)] == ["MISS", "HIT"]
    errors = [{"status_code_range": {"from": 400, "to": 599}, "value": -1}]
    but_errors = ignoring | {"edge_ttl": {"default": 60, "status_code_ttl": errors}}
    assert [fetched(but_errors, "/refused", status=403) for _ in range(2)] == ["MISS", "MISS"]
    assert [fetched(but_errors, "/there") for _ in range(2)] == ["MISS", "HIT"]
    assert fetched({}, "/x") == "None"
    zone.purged.append("a.example/x")
    assert [fetched(ignoring, "/x") for _ in range(2)] == ["MISS", "HIT"]
    assert len(asked) == 11
