"""Which differences of spelling are none, and which differences are one."""

from typing import Any

import pytest

from infra_runtime.cloudflare import connector, notifications, records, rules
from infra_runtime.cloudflare.normal import host, is_as_declared, undeclared

RECORD = {"type": "CNAME", "name": "api.example.com", "content": "alb.example.net", "proxied": True, "ttl": 1}
LIMIT = {"characteristics": ["ip.src", "cf.colo.id"], "period": 10, "requests_per_period": 20}
RULE = {"action": "block", "expression": "true", "description": "", "ratelimit": LIMIT}
SKIP = {"action": "skip", "expression": "true", "action_parameters": {"rulesets": ["a", "b"]}}
ENTRY = {"provider": "aws_s3", "expression": "true", "description": "x", "parameters": {"host": "b.s3.amazonaws.com"}}
CACHE = {"action": "set_cache_settings", "expression": "true", "action_parameters": {"cache_key": {
    "custom_key": {"query_string": {"exclude": {"all": True}}}}}}  # fmt: skip
POLICY = {"name": "x", "enabled": True, "mechanisms": {"email": [{"id": "a@x.net"}, {"id": "b@x.net"}]}, "filters": {}}


def without(one: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in one.items() if key not in keys}


@pytest.mark.parametrize(
    ("comparable", "declared", "shown"),
    [
        pytest.param(records.comparable, RECORD | {"content": "Alb.Example.NET"}, RECORD, id="letter case of content"),
        pytest.param(records.comparable, RECORD, RECORD | {"name": "API.example.com"}, id="letter case of a name"),
        pytest.param(records.comparable, RECORD | {"content": "alb.example.net."}, RECORD, id="dot after content"),
        pytest.param(records.comparable, RECORD, RECORD | {"name": "api.example.com."}, id="dot after a name"),
        pytest.param(records.comparable, RECORD, RECORD | {"ttl": "1", "proxied": "true"}, id="a record's numbers"),
        pytest.param(records.comparable, RECORD, without(RECORD, "ttl"), id="automatic TTL left out"),
        pytest.param(records.comparable, RECORD | {"proxied": False}, without(RECORD, "proxied"), id="not proxied"),
        pytest.param(connector.comparable, ENTRY, ENTRY | {"parameters": {"host": "B.s3.amazonaws.com."}}, id="bucket"),
        pytest.param(connector.comparable, ENTRY | {"enabled": True}, ENTRY, id="an entry's enabled left out"),
        pytest.param(rules.comparable, RULE, RULE | {"ratelimit": LIMIT | {
            "characteristics": ["cf.colo.id", "ip.src"]}}, id="order of characteristics"),
        pytest.param(rules.comparable, SKIP, SKIP | {"action_parameters": {"rulesets": ["b", "a"]}}, id="order of ids"),
        pytest.param(rules.comparable, RULE, RULE | {"ratelimit": LIMIT | {"period": "10"}}, id="number as a string"),
        pytest.param(rules.comparable, RULE, RULE | {"ratelimit": LIMIT | {"period": 10.0}}, id="number as a float"),
        pytest.param(rules.comparable, RULE | {"enabled": True}, RULE, id="a rule's enabled left out"),
        pytest.param(rules.comparable, SKIP | {"logging": {"enabled": True}}, SKIP, id="logging left out"),
        pytest.param(rules.comparable, RULE, without(RULE, "description"), id="empty description left out"),
        pytest.param(rules.comparable, CACHE, CACHE | {"action_parameters": {"cache_key": {"custom_key": {
            "query_string": {"exclude": "*"}, "host": {"resolved": False}}}}}, id="all of a query string as a star"),
        pytest.param(rules.comparable, CACHE, CACHE | {"action_parameters": {"cache_key": {"custom_key": {
            "query_string": {"exclude": ["*"]}}}}}, id="all of a query string as a list"),
        pytest.param(rules.comparable, RULE, RULE | {"ratelimit": LIMIT | {"mitigation_expression": "", "new": 1}},
                     id="fields that Cloudflare adds"),
        pytest.param(notifications.comparable, POLICY, without(POLICY, "enabled", "filters"), id="policy's defaults"),
        pytest.param(notifications.comparable, POLICY, POLICY | {"mechanisms": {"email": [
            {"id": "b@x.net"}, {"id": "a@x.net"}]}}, id="order of addresses"),
    ],
)  # fmt: skip
def test_another_spelling_is_no_difference(comparable: Any, declared: dict[str, Any], shown: dict[str, Any]) -> None:
    assert is_as_declared(comparable(declared), comparable(shown))


@pytest.mark.parametrize(
    ("declared", "shown"),
    [
        ({"ttl": 1}, {"ttl": 2}),
        ({"ttl": 1}, {}),
        ({"enabled": True}, {"enabled": False}),
        ({"enabled": False}, {"enabled": True}),
        ({"each": ["a", "b"]}, {"each": ["a"]}),
        ({"each": ["a"]}, {"each": ["a", "b"]}),
        ({"each": ["a", "a"]}, {"each": ["a", "b"]}),
        ({"each": []}, {"each": ["a"]}),
        ({"expression": "(http.host eq \"A\")"}, {"expression": "(http.host eq \"a\")"}),
        ({"in": {"it": 1}}, {"in": None}),
        ({"id": "x"}, {"id": "x", "overrides": {"action": "log"}}),
    ],
)  # fmt: skip
def test_another_value_is_a_difference(declared: Any, shown: Any) -> None:
    assert not is_as_declared(declared, shown)


def test_a_host_has_one_form() -> None:
    assert host("Alb-1.Elb.Example.NET.") == host("alb-1.elb.example.net") == "alb-1.elb.example.net"


def test_undeclared_fields_are_named_by_their_path_and_empty_ones_are_not() -> None:
    found: dict[str, Any] = {"a": {"b": 1, "c": 2, "d": {"e": False}}, "f": [], "g": None, "h": {"i": {"j": 1}}}
    assert undeclared({"a": {"b": 1}}, found) == ["a.c", "h"]
    assert undeclared(found, found) == []


def test_a_difference_is_not_reported_a_second_time_as_undeclared() -> None:
    found: dict[str, Any] = {"id": "x", "overrides": {"action": "log"}}
    assert not is_as_declared({"id": "x"}, found)
    assert undeclared({"id": "x"}, found) == []
