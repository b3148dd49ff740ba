"""Exceptions from OWASP ([cloudflare.zone.owasp.exceptions.NAME]), as declared and as Cloudflare takes them."""

import json
from functools import partial
from typing import Any

import aws_cdk as cdk
import pytest

from infra_constructs.cloudflare.managed_rules import (
    MANAGED,
    OWASP,
    ManagedRules,
    OwaspExceptionProps,
    OwaspExceptions,
    OwaspProps,
)
from infra_constructs.cloudflare.provider import CloudflareProvider, CloudflareToken
from infra_constructs.state_store import StateStore
from infra_runtime.contract.cloudflare_phases import MANAGED_WAF
from infra_runtime.custom_resource import PartlyCreated
from ops.edge.synthesized import text_of
from tests.constructs.conftest import TemplateOf
from tests.runtime.conftest import Edge, new_edge

RULE_IDS = ["6179ae15870a4bb7b2d480d4843b323c", "ef21b0a932ae422790f9249d213b85e6"]
EXCEPTIONS = {
    "uploads": OwaspExceptionProps(hosts=["api.example.com"], path="/uploads/"),
    "search": OwaspExceptionProps(hosts=["www.example.com"], path="/search", rules=RULE_IDS),
}


def declared(
    template_of: TemplateOf, exceptions: dict[str, OwaspExceptionProps], *, owner: str = "production"
) -> dict[str, Any]:
    """The declaration of the phase for managed rules; production owns the zone's settings."""

    def build(stack: cdk.Stack) -> None:
        token, store = (
            CloudflareToken(stack, name="token"),
            StateStore(product="p", environment="e", about="cloudflare"),
        )
        provider = CloudflareProvider(stack, "Provider", token=token, store=store, owner=owner, zone="example.com")
        if owner != "production":
            OwaspExceptions(stack, "Rules", provider=provider, adopt=False, exceptions=exceptions)
            return
        owasp = OwaspProps(paranoia=1, threshold=40, action="block", exceptions=exceptions)
        ManagedRules(stack, "Rules", provider=provider, adopt=False, owasp=owasp, ddos_sensitivity="default")

    found = template_of(build).find_resources("Custom::Cloudflare").values()
    documents = [json.loads(text_of(each["Properties"]["Document"], unknown="?")) for each in found]
    (waf,) = [each for each in documents if each["phase"] == MANAGED_WAF]
    return dict(waf)


def test_an_exception_skips_owasp_or_some_of_its_rules_for_its_host_and_path(template_of: TemplateOf) -> None:
    uploads, search, *_ = declared(template_of, EXCEPTIONS)["rules"]
    assert uploads["name"] == "except-uploads"
    expression = 'http.host eq "api.example.com" and starts_with(http.request.uri.path, "/uploads/")'
    assert uploads["expression"] == expression
    assert uploads["action_parameters"] == {"rulesets": [OWASP]}
    assert search["name"] == "except-search"
    assert search["expression"] == 'http.host eq "www.example.com" and starts_with(http.request.uri.path, "/search")'
    assert search["action_parameters"] == {"rules": {OWASP: RULE_IDS}}
    for each in (uploads, search):
        # Otherwise each skipped request would count as a security event.
        assert (each["action"], each["logging"]) == ("skip", {"enabled": False})


def test_exceptions_stand_before_the_rulesets_that_they_are_from(template_of: TemplateOf) -> None:
    rules = declared(template_of, EXCEPTIONS)["rules"]
    assert [each["action"] for each in rules] == ["skip", "skip", "execute", "execute"]
    assert [each["action_parameters"]["id"] for each in rules[2:]] == [MANAGED, OWASP]


def test_without_exceptions_nothing_is_skipped(template_of: TemplateOf) -> None:
    assert [each["action"] for each in declared(template_of, {})["rules"]] == ["execute", "execute"]


def test_cloudflare_takes_exceptions_and_keeps_them_in_their_place(template_of: TemplateOf) -> None:
    wanted, edge = declared(template_of, EXCEPTIONS), new_edge()
    made = edge.ask("Create", declared(template_of, {}))
    edge.ask("Update", wanted, made.physical_id)
    found = edge.zone.rulesets[MANAGED_WAF]["rules"]
    assert [each["ref"] for each in found] == [
        "production.except-uploads", "production.except-search", "production.waf-managed", "production.waf-owasp",
    ]  # fmt: skip
    assert edge.writes(lambda: edge.ask("Update", wanted, made.physical_id)) == []
    assert edge.simulator.violations == []


@pytest.mark.parametrize("first", ["production", "dev"])
def test_exceptions_of_another_environment_stand_before_the_owners_owasp(template_of: TemplateOf, first: str) -> None:
    """Behind it they would skip nothing (Cloudflare's documentation, "Create an exception")."""
    edge = new_edge()
    wanted = {
        "production": declared(template_of, {}),
        "dev": declared(template_of, EXCEPTIONS, owner="dev"),
    }
    made = {name: edge.ask("Create", wanted[name]) for name in sorted(wanted, reverse=first == "production")}
    ours, managed, owasp = ["dev.except-uploads", "dev.except-search"], "production.waf-managed", "production.waf-owasp"
    assert refs(edge) == ([managed, *ours, owasp] if first == "production" else [*ours, managed, owasp])
    for name, each in made.items():
        assert edge.writes(partial(edge.ask, "Update", wanted[name], each.physical_id)) == []

    rules = edge.zone.rulesets[MANAGED_WAF]["rules"]
    rules.sort(key=lambda rule: str(rule["ref"]), reverse=True)  # A person moves them to the end.
    edge.ask("Update", wanted["dev"], made["dev"].physical_id)
    assert [each for each in refs(edge) if each != managed] == [*ours, owasp]
    assert edge.simulator.violations == []


def refs(edge: Edge) -> list[str]:
    return [each["ref"] for each in edge.zone.rulesets[MANAGED_WAF]["rules"]]


@pytest.mark.parametrize("parameters", [{}, {"rulesets": ["0" * 32]}, {"rules": {OWASP: []}}])
def test_cloudflare_refuses_an_exception_that_names_no_ruleset(
    template_of: TemplateOf, parameters: dict[str, Any]
) -> None:
    wanted, edge = declared(template_of, EXCEPTIONS), new_edge()
    wanted["rules"][0]["action_parameters"] = parameters
    with pytest.raises(PartlyCreated, match="the exception must name managed rulesets"):
        edge.ask("Create", wanted)
