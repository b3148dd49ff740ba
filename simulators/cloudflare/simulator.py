"""Stateful simulator of Cloudflare's API: it stores what is written, and refuses what Cloudflare refuses.

Its behaviour follows Cloudflare's documentation; docs/unverified-on-live.md lists what needs an account to verify.
Every request is first checked against the SDK's types.
"""

import copy
import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from simulators.cloudflare import analytics, dns, rulesets, settings
from simulators.cloudflare.contract import Contract
from simulators.cloudflare.origin_pulls import OriginPullCertificates
from simulators.cloudflare.protocol import ApiCall, ApiProblem, ok, problem
from simulators.cloudflare.vendor import (
    LONGEST_PAGES,
    NOT_FOR_ACCOUNTS,
    PURGE_AT_ONCE,
    PURGE_BUCKET,
    REQUESTS,
    WINDOW_SECONDS,
)
from simulators.cloudflare.world import World, Zone, identity
from simulators.http_server import Answer

Handler = Callable[..., Any]
_ROUTES: list[tuple[str, re.Pattern[str], Handler]] = []
# The order of other lists means nothing, and is another each time.
_PREFIX = re.compile(r"[a-z0-9.-]+(/[^?#\s]*)?")
_IN_ORDER = ("/cloud_connector/rules",)


def route(method: str, pattern: str) -> Callable[[Handler], Handler]:
    """Names in braces become arguments; `zone` arrives as the zone."""

    def add(handler: Handler) -> Handler:
        _ROUTES.append((method, re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern)), handler))
        return handler

    return add


@dataclass
class CloudflareSimulator:
    """One user's Cloudflare. Thread-safe: one request at a time."""

    world: World
    contract: Contract = field(default_factory=Contract)
    calls: list[ApiCall] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    now: Callable[[], float] = time.monotonic
    lag: float = 0.0
    """Seconds for which reads still return the state before a write."""
    allowed: float = REQUESTS
    """Requests in any five minutes."""
    _before: list[tuple[float, World]] = field(default_factory=list)
    """What the world was until a write, and when that was; the oldest first."""
    _recent: deque[float] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.world.now = self.now

    def answer(self, call: ApiCall) -> Answer:
        with self._lock:
            self.calls.append(call)
            if (wait := self._over_the_limit()) > 0:
                refused = problem(ApiProblem(429, 971, "Please wait and consider throttling your request speed"))
                return Answer(429, refused.body, {"Retry-After": str(math.ceil(wait))})
            try:
                return self._handled(call)
            except ApiProblem as refused:
                return problem(refused)

    def _over_the_limit(self) -> float:
        """Seconds until another request is allowed; 0 when this one is, which is then counted."""
        now = self.now()
        while self._recent and self._recent[0] <= now - WINDOW_SECONDS:
            self._recent.popleft()
        if len(self._recent) >= self.allowed:
            return self._recent[0] + WINDOW_SECONDS - now
        self._recent.append(now)
        return 0

    def _handled(self, call: ApiCall) -> Answer:
        self._authorize(call)
        if call.path == "/graphql":
            zones = {zone.id: zone.traffic for zone in self.world.zones}
            return Answer(200, analytics.answer(zones, call.body["query"], call.body.get("variables") or {}))
        if wrong := self.contract.violations(call.method, call.path, call.query, call.body):
            self.violations += [f"{call.method} {call.path}: {each}" for each in wrong]
            raise ApiProblem(400, 10400, f"not in the contract: {'; '.join(wrong)}")
        if call.token in self.world.account_owned and (what := NOT_FOR_ACCOUNTS.search(call.path)):
            raise ApiProblem(400, 1011, f"{what.group(1)} endpoint does not support account owned tokens.")
        world = self._world_for(call)
        for method, pattern, handler in _ROUTES:
            if method == call.method and (found := pattern.fullmatch(call.path)):
                arguments: dict[str, Any] = found.groupdict()
                if "zone" in arguments:
                    arguments["zone"] = self._zone(world, arguments["zone"])
                return self._paged(handler(world, call, **arguments), call)
        raise ApiProblem(404, 7003, f"Could not route to {call.path}, perhaps your object identifier is invalid?")

    def _world_for(self, call: ApiCall) -> World:
        """The current world for a write; for a read, the world of `lag` seconds ago."""
        if not self.lag:
            return self.world
        if call.is_write:
            self._before.append((self.now(), copy.deepcopy(self.world)))
            return self.world
        self._before = [each for each in self._before if each[0] > self.now() - self.lag]
        return self._before[0][1] if self._before else self.world

    def _authorize(self, call: ApiCall) -> None:
        if call.path == "/ips":
            return
        status = self.world.tokens.get(call.token)
        if status is None:
            raise ApiProblem(401, 1000, "Invalid API Token")
        if status != "active" and "verify" not in call.path:
            raise ApiProblem(
                403, 9109, f"Unauthorized to access requested resource; the token {call.token} is {status}"
            )
        if self.world.forbidden and re.search(self.world.forbidden, call.path):
            raise ApiProblem(403, 10000, "Authentication error")

    @staticmethod
    def _zone(world: World, zone_id: str) -> Zone:
        for zone in world.zones:
            if zone.id == zone_id:
                return zone
        raise ApiProblem(404, 1001, "Invalid zone identifier")

    @staticmethod
    def _paged(result: Any, call: ApiCall) -> Answer:
        query = call.query
        if isinstance(result, list) and not call.path.endswith(_IN_ORDER):
            result = sorted(result, key=lambda each: str(each.get("id")))
        if not isinstance(result, list) or "page" not in query:
            return ok(copy.deepcopy(result))
        longest = LONGEST_PAGES.get(call.path.rpartition("/")[2], 100)
        page, size = int(query["page"]), int(query.get("per_page", "20"))
        if size > longest:
            raise ApiProblem(400, 6003, f"per_page must be at most {longest}")
        pages = max(1, -(-len(result) // size))
        information = {
            "page": page,
            "per_page": size,
            "count": len(result[(page - 1) * size : page * size]),
            "total_count": len(result),
            "total_pages": pages,
        }
        return ok(copy.deepcopy(result[(page - 1) * size : page * size]), result_info=information)


@route("GET", "/accounts/{account}/tokens/verify")
def _verify_of_account(world: World, call: ApiCall, account: str) -> Any:
    return {"id": identity(), "status": world.tokens[call.token]}


@route("GET", "/user/tokens/verify")
def _verify(world: World, call: ApiCall) -> Any:
    if call.token in world.account_owned:
        raise ApiProblem(401, 1000, "Invalid API Token")
    return {"id": identity(), "status": world.tokens[call.token]}


@route("GET", "/ips")
def _ips(world: World, call: ApiCall) -> Any:
    return {"ipv4_cidrs": world.ipv4, "ipv6_cidrs": ["2a06:98c0::/29"], "etag": str(hash(tuple(world.ipv4)))}


@route("GET", "/zones")
def _zones(world: World, call: ApiCall) -> Any:
    return [each.described() for each in world.zones if call.query.get("name", each.name) == each.name]


@route("GET", "/zones/{zone}")
def _one_zone(world: World, call: ApiCall, zone: Zone) -> Any:
    return zone.described()


@route("GET", "/zones/{zone}/dns_records")
def _records(world: World, call: ApiCall, zone: Zone) -> Any:
    return [each for each in zone.records.values() if call.query.get("type", each["type"]) == each["type"]]


@route("POST", "/zones/{zone}/dns_records")
def _create_record(world: World, call: ApiCall, zone: Zone) -> Any:
    return dns.create(zone, call.body)


@route("PATCH", "/zones/{zone}/dns_records/{record}")
def _edit_record(world: World, call: ApiCall, zone: Zone, record: str) -> Any:
    return dns.edit(zone, record, call.body)


@route("DELETE", "/zones/{zone}/dns_records/{record}")
def _delete_record(world: World, call: ApiCall, zone: Zone, record: str) -> Any:
    return dns.delete(zone, record)


@route("GET", "/zones/{zone}/rulesets/phases/{phase}/entrypoint")
def _entrypoint(world: World, call: ApiCall, zone: Zone, phase: str) -> Any:
    return rulesets.entrypoint(zone, phase)


@route("PUT", "/zones/{zone}/rulesets/phases/{phase}/entrypoint")
def _replace_entrypoint(world: World, call: ApiCall, zone: Zone, phase: str) -> Any:
    return rulesets.replace(zone, phase, call.body["rules"])


@route("POST", "/zones/{zone}/rulesets")
def _create_ruleset(world: World, call: ApiCall, zone: Zone) -> Any:
    return rulesets.create(zone, call.body)


@route("POST", "/zones/{zone}/rulesets/{ruleset}/rules")
def _create_rule(world: World, call: ApiCall, zone: Zone, ruleset: str) -> Any:
    return rulesets.create_rule(zone, ruleset, call.body)


@route("PATCH", "/zones/{zone}/rulesets/{ruleset}/rules/{rule}")
def _edit_rule(world: World, call: ApiCall, zone: Zone, ruleset: str, rule: str) -> Any:
    return rulesets.edit_rule(zone, ruleset, rule, call.body)


@route("DELETE", "/zones/{zone}/rulesets/{ruleset}/rules/{rule}")
def _delete_rule(world: World, call: ApiCall, zone: Zone, ruleset: str, rule: str) -> Any:
    return rulesets.delete_rule(zone, ruleset, rule)


# Two of the settings stand elsewhere, under the last part of their path.
_SETTING = "/zones/{zone}/(?:settings|argo|cache)/{setting}"


@route("GET", _SETTING)
def _setting(world: World, call: ApiCall, zone: Zone, setting: str) -> Any:
    return settings.read(zone, setting)


@route("PATCH", _SETTING)
def _set(world: World, call: ApiCall, zone: Zone, setting: str) -> Any:
    return settings.write(zone, setting, call.body["value"])


@route("DELETE", "/zones/{zone}/cache/{setting}")
def _unset(world: World, call: ApiCall, zone: Zone, setting: str) -> Any:
    return settings.delete(zone, setting)


@route("GET", "/zones/{zone}/bot_management")
def _bots(world: World, call: ApiCall, zone: Zone) -> Any:
    return zone.bots


@route("PUT", "/zones/{zone}/bot_management")
def _set_bots(world: World, call: ApiCall, zone: Zone) -> Any:
    return settings.write_bots(zone, call.body)


@route("GET", "/zones/{zone}/cloud_connector/rules")
def _connectors(world: World, call: ApiCall, zone: Zone) -> Any:
    return zone.connectors


@route("PUT", "/zones/{zone}/cloud_connector/rules")
def _replace_connectors(world: World, call: ApiCall, zone: Zone) -> Any:
    return settings.write_connectors(zone, call.body)


@route("GET", "/zones/{zone}/ssl/certificate_packs")
def _edge_certificates(world: World, call: ApiCall, zone: Zone) -> Any:
    """Only active ones, unless all are asked for."""
    if zone.edge_certificate != "active" and call.query.get("status") != "all":
        return []
    hosts = [zone.name, f"*.{zone.name}"]
    return [{"id": zone.id, "type": "universal", "status": zone.edge_certificate, "hosts": hosts, "certificates": []}]


@route("GET", "/zones/{zone}/origin_tls_client_auth/hostnames/certificates")
def _client_certificates(world: World, call: ApiCall, zone: Zone) -> Any:
    return OriginPullCertificates(zone, world.now()).listed()


@route("POST", "/zones/{zone}/origin_tls_client_auth/hostnames/certificates")
def _upload(world: World, call: ApiCall, zone: Zone) -> Any:
    return OriginPullCertificates(zone, world.now()).upload(call.body)


@route("DELETE", "/zones/{zone}/origin_tls_client_auth/hostnames/certificates/{certificate}")
def _delete_certificate(world: World, call: ApiCall, zone: Zone, certificate: str) -> Any:
    return OriginPullCertificates(zone, world.now()).delete(certificate)


@route("GET", "/zones/{zone}/origin_tls_client_auth/hostnames/{hostname}")
def _association(world: World, call: ApiCall, zone: Zone, hostname: str) -> Any:
    return OriginPullCertificates(zone, world.now()).association(hostname)


@route("PUT", "/zones/{zone}/origin_tls_client_auth/hostnames")
def _associate(world: World, call: ApiCall, zone: Zone) -> Any:
    return OriginPullCertificates(zone, world.now()).associate(call.body["config"])


@route("GET", "/accounts/{account}/workers/scripts")
def _scripts(world: World, call: ApiCall, account: str) -> Any:
    return [{"id": name, "tags": each["tags"]} for name, each in world.scripts.items()]


@route("PUT", "/accounts/{account}/workers/scripts/{script}")
def _put_script(world: World, call: ApiCall, account: str, script: str) -> Any:
    metadata = call.body["metadata"]
    if metadata.get("main_module") not in call.files:
        raise ApiProblem(400, 10021, f"No such module: {metadata.get('main_module')}")
    world.scripts[script] = {**metadata, "source": call.files[metadata["main_module"]]}
    return {"id": script, "tags": metadata.get("tags", [])}


@route("DELETE", "/accounts/{account}/workers/scripts/{script}")
def _delete_script(world: World, call: ApiCall, account: str, script: str) -> Any:
    if world.scripts.pop(script, None) is None:
        raise ApiProblem(404, 10007, "This Worker does not exist on your account.")
    return None


@route("GET", "/zones/{zone}/workers/routes")
def _worker_routes(world: World, call: ApiCall, zone: Zone) -> Any:
    return list(zone.routes.values())


@route("POST", "/zones/{zone}/workers/routes")
def _create_worker_route(world: World, call: ApiCall, zone: Zone) -> Any:
    if any(each["pattern"] == call.body["pattern"] for each in zone.routes.values()):
        raise ApiProblem(409, 10020, "A route with the same pattern already exists.")
    return _kept_route(world, zone, identity(), call.body)


@route("PUT", "/zones/{zone}/workers/routes/{which}")
def _edit_worker_route(world: World, call: ApiCall, zone: Zone, which: str) -> Any:
    return _kept_route(world, zone, which, call.body)


@route("DELETE", "/zones/{zone}/workers/routes/{which}")
def _delete_worker_route(world: World, call: ApiCall, zone: Zone, which: str) -> Any:
    if zone.routes.pop(which, None) is None:
        raise ApiProblem(404, 10008, "route not found")
    return {"id": which}


def _kept_route(world: World, zone: Zone, which: str, body: dict[str, Any]) -> dict[str, Any]:
    if body.get("script") and body["script"] not in world.scripts:
        raise ApiProblem(400, 10019, f"workers.api.error.script_not_found: {body['script']}")
    zone.routes[which] = {"id": which, **body}
    return zone.routes[which]


@route("POST", "/zones/{zone}/purge_cache")
def _purge(world: World, call: ApiCall, zone: Zone) -> Any:
    """Purges prefixes only. Codes and texts of its errors are assumed."""
    wanted = call.body.get("prefixes", [])
    if not wanted or len(wanted) > PURGE_AT_ONCE:
        raise ApiProblem(400, 1134, f"between 1 and {PURGE_AT_ONCE} prefixes must be given")
    if wrong := next((each for each in wanted if not _PREFIX.fullmatch(each)), None):
        raise ApiProblem(400, 1136, f"a prefix is a host and a path, without scheme and query: {wrong}")
    if any(each.partition("/")[0].rpartition(zone.name)[1] != zone.name for each in wanted):
        raise ApiProblem(400, 1137, f"not every prefix is of the zone {zone.name}")
    size, each_second = PURGE_BUCKET[zone.plan_name]
    now, left = world.now(), float(size)
    for before, after in pairwise([*zone.purges, now]):
        left = min(size, left - 1 + (after - before) * each_second)
    if left < 1:
        raise ApiProblem(429, 10000, "Please wait and consider throttling your request speed")
    zone.purges.append(now)
    zone.purged += wanted
    return {"id": zone.id}


@route("GET", "/accounts/{account}/alerting/v3/policies")
def _policies(world: World, call: ApiCall, account: str) -> Any:
    return list(world.policies.values())


@route("POST", "/accounts/{account}/alerting/v3/policies")
def _create_policy(world: World, call: ApiCall, account: str) -> Any:
    made = {"id": identity(), "alert_interval": "", "filters": {}, "created": "2026-11-01T00:00:00Z", **call.body}
    world.policies[made["id"]] = made
    return {"id": made["id"]}


@route("PUT", "/accounts/{account}/alerting/v3/policies/{policy}")
def _replace_policy(world: World, call: ApiCall, account: str, policy: str) -> Any:
    if policy not in world.policies:
        raise ApiProblem(404, 17103, "policy not found")
    world.policies[policy] |= call.body
    return {"id": policy}


@route("DELETE", "/accounts/{account}/alerting/v3/policies/{policy}")
def _delete_policy(world: World, call: ApiCall, account: str, policy: str) -> Any:
    if world.policies.pop(policy, None) is None:
        raise ApiProblem(404, 17103, "policy not found")
    return None
