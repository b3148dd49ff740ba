"""Rulesets of a zone: one entrypoint for each phase, whose rules are known by `ref`."""

import copy
import math
import re
from typing import Any

from simulators.cloudflare.protocol import ApiProblem
from simulators.cloudflare.vendor import (
    CACHE,
    CUSTOM_WAF,
    DDOS,
    LATE_TRANSFORM,
    LOCATION,
    MANAGED_WAF,
    RATE_LIMIT,
    RATE_LIMIT_DEFAULTS,
    RATE_PERIODS,
    REDIRECT,
    STAR,
    Plan,
)
from simulators.cloudflare.world import Zone, identity

_PAID_RULESETS = {"efb7b8c949ac4650a09736fc376e9aee", "4814384a9e5d4991b9815dcfc25d2f1f"}
_ACTIONS = {
    CACHE: {"set_cache_settings"},
    LATE_TRANSFORM: {"rewrite"},
    REDIRECT: {"redirect"},
    MANAGED_WAF: {"execute", "skip"},
    DDOS: {"execute"},
    CUSTOM_WAF: {"block", "managed_challenge", "js_challenge", "challenge", "log", "skip"},
    RATE_LIMIT: {"block", "managed_challenge", "js_challenge", "challenge", "log"},
}
_FORBIDDEN_HEADERS = re.compile(r"cookie|x-forwarded-for|referer|cf-.*", re.IGNORECASE)
_FIELD = re.compile(r"\b(?:http|ip|cf|ssl)\.[a-z0-9_.]+")


def entrypoint(zone: Zone, phase: str) -> dict[str, Any]:
    if phase not in zone.rulesets:
        raise ApiProblem(404, 10003, "could not find entrypoint ruleset in the %s phase" % phase)  # noqa: UP031
    return zone.rulesets[phase]


def replace(zone: Zone, phase: str, rules: list[dict[str, Any]]) -> dict[str, Any]:
    """Replaces all rules, including others'. Cloudflare offers this call; our code must never use it."""
    zone.rulesets.pop(phase, None)
    return create(zone, {"name": "default", "kind": "zone", "phase": phase, "rules": rules})


def create(zone: Zone, body: dict[str, Any]) -> dict[str, Any]:
    phase = body["phase"]
    if phase in zone.rulesets:
        raise ApiProblem(400, 20217, f"a zone ruleset for the {phase} phase exists already")
    made: dict[str, Any] = {
        "id": identity(), "name": body["name"], "kind": body["kind"], "phase": phase, "version": "1", "rules": [],
    }  # fmt: skip
    for rule in body.get("rules") or []:
        made["rules"].append(_checked(zone, made, rule))
    zone.rulesets[phase] = made
    return made


def create_rule(zone: Zone, ruleset_id: str, body: dict[str, Any]) -> dict[str, Any]:
    ruleset = _ruleset(zone, ruleset_id)
    body = dict(body)
    position = body.pop("position", None)
    rule = _checked(zone, ruleset, body)
    _place(ruleset, rule, position)
    return _changed(ruleset)


def edit_rule(zone: Zone, ruleset_id: str, rule_id: str, body: dict[str, Any]) -> dict[str, Any]:
    ruleset = _ruleset(zone, ruleset_id)
    at, old = _rule(ruleset, rule_id)
    body = dict(body)
    position = body.pop("position", None)
    del ruleset["rules"][at]
    try:
        rule = _checked(zone, ruleset, body) | {"id": rule_id, "version": str(int(old["version"]) + 1)}
        if position is None:
            ruleset["rules"].insert(at, rule)
        else:
            _place(ruleset, rule, position)
    except ApiProblem:
        ruleset["rules"].insert(at, old)
        raise
    return _changed(ruleset)


def delete_rule(zone: Zone, ruleset_id: str, rule_id: str) -> dict[str, Any]:
    ruleset = _ruleset(zone, ruleset_id)
    at, _ = _rule(ruleset, rule_id)
    del ruleset["rules"][at]
    return _changed(ruleset)


def _ruleset(zone: Zone, ruleset_id: str) -> dict[str, Any]:
    for ruleset in zone.rulesets.values():
        if ruleset["id"] == ruleset_id:
            return ruleset
    raise ApiProblem(404, 10001, "could not find ruleset")


def _rule(ruleset: dict[str, Any], rule_id: str) -> tuple[int, dict[str, Any]]:
    for at, rule in enumerate(ruleset["rules"]):
        if rule["id"] == rule_id:
            return at, rule
    raise ApiProblem(404, 10002, "could not find rule")


def _changed(ruleset: dict[str, Any]) -> dict[str, Any]:
    ruleset["version"] = str(int(ruleset["version"]) + 1)
    return ruleset


def _place(ruleset: dict[str, Any], rule: dict[str, Any], position: dict[str, Any] | None) -> None:
    rules = ruleset["rules"]
    if not position:
        rules.append(rule)
    elif position.get("before"):
        rules.insert(_rule(ruleset, position["before"])[0], rule)
    elif position.get("after"):
        rules.insert(_rule(ruleset, position["after"])[0] + 1, rule)
    else:
        rules.insert(position["index"] - 1, rule)


def _checked(zone: Zone, ruleset: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """The rule as Cloudflare keeps it. Refuses what the phase, the plan or the other rules do not allow."""
    phase, rules = ruleset["phase"], ruleset["rules"]
    made: dict[str, Any] = {"id": identity(), "version": "1", "last_updated": "2026-11-01T00:00:00Z", **body}
    made["ref"] = body.get("ref") or made["id"]
    made.setdefault("enabled", True)
    if made["action"] == "skip":
        made.setdefault("logging", {"enabled": True})
    elif "logging" in made:
        raise ApiProblem(400, 20018, "logging options only allowed in the skip action")
    if limit := made.get("ratelimit"):
        made["ratelimit"] = dict(RATE_LIMIT_DEFAULTS) | limit | {"characteristics": sorted(limit["characteristics"])}
    if query := (made.get("action_parameters") or {}).get("cache_key", {}).get("custom_key", {}).get("query_string"):
        made = copy.deepcopy(made)
        query = made["action_parameters"]["cache_key"]["custom_key"]["query_string"]
        query |= {key: STAR for key, which in query.items() if which == {"all": True}}
    if any(rule["ref"] == made["ref"] for rule in rules):
        raise ApiProblem(400, 20046, f"a rule with the ref {made['ref']} exists already", pointer="/rules/0/ref")
    if made["action"] not in _ACTIONS.get(phase, set()):
        raise ApiProblem(400, 20016, f"the action {made['action']} is not allowed in the phase {phase}")
    if made["action"] == "skip" and phase == MANAGED_WAF:
        _check_exception(made.get("action_parameters") or {})
    if len(rules) >= zone.plan.rules.get(phase, math.inf):
        raise ApiProblem(400, 20217, f"exceeded maximum number of rules in the phase {phase}: {len(rules) + 1}")
    _check_plan(zone, made)
    if made["action"] == "execute":
        made["action_parameters"] = {"version": "latest", **made["action_parameters"]}
        if any(
            rule["action"] == "execute" and rule["action_parameters"]["id"] == made["action_parameters"]["id"]
            for rule in rules
        ):
            raise ApiProblem(400, 20119, "the managed ruleset is deployed already")
    for header in (made.get("action_parameters") or {}).get("headers", {}):
        if _FORBIDDEN_HEADERS.fullmatch(header):
            raise ApiProblem(400, 20087, f"'{header}' is not a valid value for name because it cannot be modified")
    return made


def _check_exception(parameters: dict[str, Any]) -> None:
    """One of the three kinds of docs/ruleset-engine/managed-rulesets/create-exception.mdx. The code is assumed."""
    if parameters.get("ruleset") == "current":
        return
    by_rule = parameters.get("rules") or {}
    named = {*(parameters.get("rulesets") or ()), *by_rule}
    if not named or named - _PAID_RULESETS or not all(by_rule.values()):
        raise ApiProblem(400, 20016, f"the exception must name managed rulesets, or rules of them: {parameters}")


def _check_response(plan: Plan, response: dict[str, Any]) -> None:
    """Checks the answer to blocked requests (partials/waf/custom-response-blocked-requests.mdx). Assumed: the code."""
    if not plan.custom_block_response:
        raise ApiProblem(400, 20120, "not entitled to use a custom response for blocked requests")
    if not 400 <= response["status_code"] <= 499:
        raise ApiProblem(400, 20016, f"status_code must be between 400 and 499, not {response['status_code']}")


def _check_plan(zone: Zone, rule: dict[str, Any]) -> None:
    plan, parameters = zone.plan, rule.get("action_parameters") or {}
    if rule["action"] == "execute" and parameters["id"] in _PAID_RULESETS and not plan.managed_waf:
        raise ApiProblem(400, 20120, "not entitled to execute the managed ruleset")
    if rule["action"] == "log" and not plan.log_action:
        raise ApiProblem(400, 20120, "not entitled to use the log action")
    if " matches " in rule["expression"] and not plan.regex:
        raise ApiProblem(400, 20127, "not entitled to use the matches operator")
    if response := parameters.get("response"):
        _check_response(plan, response)
    ttl = parameters.get("edge_ttl", {}).get("default")
    if ttl is not None and ttl < plan.least_edge_ttl:
        raise ApiProblem(400, 20120, f"edge_ttl must be at least {plan.least_edge_ttl}")
    if limit := rule.get("ratelimit"):
        _check_rate_limit(plan, rule["expression"], limit)


def _check_rate_limit(plan: Plan, expression: str, limit: dict[str, Any]) -> None:
    period, timeout = limit["period"], limit["mitigation_timeout"]
    # Enterprise may choose another timeout (the page of RATE_PERIODS, note 4); a challenge has none.
    if period not in RATE_PERIODS or (timeout and timeout not in RATE_PERIODS and plan.name != "enterprise"):
        raise ApiProblem(400, 20155, f"no supported period: {period}, or mitigation timeout: {timeout}")
    if period > plan.longest_rate_period or timeout > plan.longest_mitigation:
        raise ApiProblem(400, 20155, f"not entitled to a period of {period} or a mitigation timeout of {timeout}")
    if LOCATION not in limit["characteristics"]:
        raise ApiProblem(400, 20156, f"{LOCATION} is mandatory")
    if unknown := set(limit["characteristics"]) - plan.counted_by:
        raise ApiProblem(400, 20156, f"not entitled to count by {', '.join(sorted(unknown))}")
    if plan.rate_limit_fields is not None and (unknown := set(_FIELD.findall(expression)) - plan.rate_limit_fields):
        raise ApiProblem(400, 20156, f"not entitled to use {', '.join(sorted(unknown))} in a rate limit")
