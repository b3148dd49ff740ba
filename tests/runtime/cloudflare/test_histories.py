"""Whatever happens, in any order, under any faults: in the end the zone is what is declared, and what is theirs.

CI runs a sample; `make soak` runs two thousand histories.
"""

import json
import os
import random
from collections.abc import Callable
from typing import Any

import httpx
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.normal import host, is_as_declared
from infra_runtime.cloudflare.provider import subject
from infra_runtime.cloudflare.rules import comparable
from simulators.cloudflare.server import in_process
from simulators.cloudflare.simulator import CloudflareSimulator
from tests.runtime.cloudflare.test_ownership import CACHE, cache_rule, connector, policy, records, rules, singletons
from tests.runtime.conftest import TOKEN, Edge, new_edge

HISTORIES = int(os.environ.get("HISTORIES", "50"))
OWASP = "4814384a9e5d4991b9815dcfc25d2f1f"
FAULTS = (
    "refused connection", "silence", "lost answer", "429 now", "429 in 300 s", "429 garbage", "500 before", "500 after",
    "502 page", "cut off", "no result",
)  # fmt: skip


_DEFAULTS = {
    "enabled": True,
    "ttl": 1,
    "proxied": False,
    "description": "",
    "filters": {},
    "logging": {"enabled": True},
}


class Spelling:
    """Returns each object in an equivalent form."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def shown(self, path: str, result: Any) -> Any:
        if isinstance(result, list):
            each = [self._object(one) for one in result]
            return each if path.endswith("/cloud_connector/rules") else self._random.sample(each, len(each))
        if isinstance(result, dict) and "rules" in result:
            return self._object({**result, "rules": [self._object(one) for one in result["rules"]]})
        return result

    def _object(self, one: dict[str, Any]) -> dict[str, Any]:
        left = {key: value for key, value in one.items() if _DEFAULTS.get(key, one) != value or self._chance()}
        for name in ("action_parameters", "ratelimit", "mechanisms"):
            if name in left:
                left[name] = self._part(left[name])
        if "type" in left and "content" in left:
            left["name"] = self._host(left["name"])
            if left["type"] in ("CNAME", "MX"):
                left["content"] = self._host(left["content"])
        return left | {"added_by_cloudflare": self._random.choice([True, "2026-11-26", {"of": 1}, []])}

    def _part(self, part: Any) -> Any:
        match part:
            case dict():
                return {key: self._part(value) for key, value in part.items()} | {"added_by_cloudflare": "auto"}
            case list():
                return [self._part(each) for each in self._random.sample(part, len(part))]
            case bool() | int() if self._chance():
                return str(part).lower()
        return part

    def _host(self, name: str) -> str:
        return self._random.choice([str.upper, str.title, str.lower])(name) + self._random.choice(["", "."])

    def _chance(self) -> bool:
        return self._random.random() < 0.5


class Faulty:
    """Breaks the listed requests in the listed way, and passes the others on."""

    def __init__(self) -> None:
        self.planned: list[str | None] = []
        self.shown: Callable[[str, Any], Any] = lambda _, result: result

    def around(self, simulator: CloudflareSimulator) -> httpx.Client:
        honest = in_process(simulator)

        def respond(request: httpx.Request) -> httpx.Response:
            fault = self.planned.pop(0) if self.planned else None
            if fault == "refused connection":
                raise httpx.ConnectError(fault, request=request)
            if fault == "silence":
                raise httpx.ReadTimeout(fault, request=request)
            if fault is not None and fault.startswith("429"):
                wait = {"429 now": "1", "429 in 300 s": "300"}.get(fault, "soon")
                return httpx.Response(429, json={"success": False, "errors": [{"code": 971, "message": "Please wait"}]},
                                      headers={"Retry-After": wait})  # fmt: skip
            if fault in ("500 before", "502 page"):
                return httpx.Response(int(fault[:3]), text="<html>")
            answer = honest.request(request.method, request.url, content=request.content, headers=request.headers)
            if request.method == "GET" and (output := answer.json()).get("result"):
                output["result"] = self.shown(request.url.path, output["result"])
                answer = httpx.Response(answer.status_code, content=json.dumps(output))
            if fault == "lost answer":
                raise httpx.RemoteProtocolError(fault, request=request)
            if fault == "500 after":
                return httpx.Response(500, json={"success": False, "errors": []})
            if fault == "cut off":
                return httpx.Response(200, content=answer.content[: len(answer.content) // 2])
            if fault == "no result":
                return httpx.Response(200, json={"success": True, "errors": [], "messages": [], "result": None})
            return answer

        return httpx.Client(transport=httpx.MockTransport(respond))


faults = st.lists(st.one_of(st.none(), st.none(), st.sampled_from(FAULTS)), max_size=14)
names = st.lists(st.sampled_from("abcde"), unique=True, max_size=5)
ttls = st.sampled_from([3600, 7200])
documents = st.one_of(
    st.builds(lambda each, ttl: rules(*(cache_rule(name, ttl) for name in each)), names, ttls),
    st.builds(
        lambda each: rules(
            *({"name": n, "description": "", "expression": f'(ip.src eq 192.0.2.{ord(n)})', "action": "block"}
              for n in each), phase="http_request_firewall_custom"), names),
    st.builds(lambda each, to: records(**{name: str(to) for name in each}), names,
              st.sampled_from(["Alb-1.Elb.example.net", "y.net."])),
    st.builds(
        lambda each, requests: rules(
            *({"name": n, "description": "", "expression": f'(http.host eq "{n}.example.com")', "action": "block",
               "ratelimit": {"characteristics": ["ip.src", "cf.colo.id"], "period": 10, "mitigation_timeout": 10,
                             "requests_per_period": requests}} for n in each[:2]), phase="http_ratelimit"),
        names, st.sampled_from([10, 20])),
    st.builds(
        lambda each, logs: rules(
            *({"name": n, "description": "", "expression": f'(http.host eq "{n}.example.com")', "action": "skip",
               "logging": {"enabled": logs},
               "action_parameters": {"rules": {OWASP: ["a" * 32, "b" * 32]}}} for n in each),
            phase="http_request_firewall_managed"), names, st.booleans()),
    st.builds(lambda each: connector(*each), names),
    st.builds(lambda ssl, tls: singletons(ssl=ssl, min_tls_version=tls), st.sampled_from(["strict", "full"]),
              st.sampled_from(["1.2", "1.3"])),
    st.builds(policy, st.sampled_from(["a@example.com", "b@example.com"])),
)  # fmt: skip


class Histories(RuleBasedStateMachine):
    """CloudFormation with a stack, behind an unreliable network."""

    def __init__(self) -> None:
        super().__init__()
        self.faulty = Faulty()
        self.edge: Edge = new_edge(self.faulty.around)
        self.before = self.edge.foreign()
        self.settings = dict(self.edge.zone.settings)
        self.declared: dict[str, tuple[str, dict[str, Any]]] = {}
        """The stack's resources by kind and name: physical id and document."""

    @initialize(seed=st.integers(0, 2**16), lag=st.sampled_from([0.0, 0.0, 5.0, 60.0]))
    def spell(self, seed: int, lag: float) -> None:
        self.faulty.shown = Spelling(seed).shown
        self.edge.simulator.lag = lag

    def _ask(self, kind: str, document: dict[str, Any], physical_id: str | None = None) -> Any:
        """Sends a request as CloudFormation does: reports a failure, and rolls back what was begun."""
        try:
            return self.edge.ask(kind, document, physical_id)
        except Exception as error:
            assert TOKEN not in str(error)
            # The last write may not be visible yet. CloudFormation's next request comes later than that.
            self.edge.time.sleep(self.edge.simulator.lag)
            return error

    @rule(document=documents, planned=faults)
    def deploy(self, document: dict[str, Any], planned: list[str | None]) -> None:
        key = f"{document['kind']}/{document['name']}"
        self.faulty.planned = list(planned)
        had = self.declared.get(key)
        result = self._ask("Update" if had else "Create", document, had[0] if had else None)
        self.faulty.planned.clear()
        # Without a fault nothing may fail: it would be a deployment that never converges.
        if isinstance(result, Exception) and not any(planned):
            raise result
        if not isinstance(result, Exception):
            self.declared[key] = (result.physical_id, document)
        elif had:
            self.edge.ask("Update", had[1], had[0])
        elif physical_id := getattr(result, "physical_id", None):
            self.edge.ask("Delete", document, physical_id)
            self.edge.time.sleep(self.edge.simulator.lag)

    @precondition(lambda self: self.declared)
    @rule(data=st.data(), planned=faults)
    def destroy(self, data: st.DataObject, planned: list[str | None]) -> None:
        key = data.draw(st.sampled_from(sorted(self.declared)))
        physical_id, document = self.declared.pop(key)
        self.faulty.planned = list(planned)
        failed = isinstance(self._ask("Delete", document, physical_id), Exception)
        self.faulty.planned.clear()
        if failed:
            self.edge.ask("Delete", document, physical_id)
        # Restored settings may not be visible yet: no deployment declares them again within a minute.
        self.edge.time.sleep(self.edge.simulator.lag)

    @precondition(lambda self: self.declared)
    @rule(data=st.data())
    def meddle(self, data: st.DataObject) -> None:
        """A person changes or deletes one of our objects; its next deployment restores it."""
        key = data.draw(st.sampled_from(sorted(self.declared)))
        zone = self.edge.zone
        mine = [r for s in zone.rulesets.values() for r in s["rules"] if r["ref"].startswith("production.")]
        if mine:
            mine[0]["expression"] = "false"
            mine[0].pop("action_parameters", None)
        for record in [each for each in zone.records.values() if str(each["comment"]).startswith("production.")][:1]:
            del zone.records[record["id"]]
        self.edge.time.sleep(self.edge.simulator.lag)
        for physical_id, document in self.declared.values():
            self.edge.ask("Update", document, physical_id)
        assert key in self.declared

    @rule()
    def repeat(self) -> None:
        """An event that Lambda delivers a second time, and a deployment that changes nothing."""
        for physical_id, document in self.declared.values():
            assert self.edge.writes(lambda p=physical_id, d=document: self.edge.ask("Update", d, p)) == []  # type: ignore[misc]
        api, store = self.edge.api(), self.edge.store
        zone = zones.find(api, "example.com")
        for _, document in self.declared.values():
            assert subject(document, api=api, zone=zone, store=store).changes(present=True) == []  # nothing drifted

    @invariant()
    def theirs_is_untouched(self) -> None:
        assert self.edge.foreign() == self.before

    @invariant()
    def ours_is_what_is_declared(self) -> None:
        zone, edge = self.edge.zone, self.edge
        assert edge.simulator.violations == []
        of = {key: document for key, (_, document) in self.declared.items()}
        for phase in (CACHE, "http_request_firewall_custom", "http_request_firewall_managed", "http_ratelimit"):
            found = [r for r in zone.rulesets.get(phase, {"rules": []})["rules"] if r["ref"].startswith("production.")]
            wanted = of.get(f"rules/{phase}", {"rules": []})["rules"]
            assert [r["ref"] for r in found] == [f"production.{r['name']}" for r in wanted]
            plain = [{key: value for key, value in r.items() if key != "name"} for r in wanted]
            assert all(is_as_declared(comparable(p), comparable(r)) for p, r in zip(plain, found, strict=True))
        found_records = {
            each["comment"]: each["content"]
            for each in zone.records.values()
            if str(each["comment"]).startswith("production.dns.")
        }
        wanted_records = of.get("records/dns", {"records": []})["records"]
        assert found_records == {f"production.dns.{each['name']}": host(each["content"]) for each in wanted_records}
        entries = [each["description"] for each in zone.connectors if each["description"].startswith("production.")]
        wanted_entries = of.get("connector/media", {"entries": []})["entries"]
        assert entries == [f"production.{each['name']}" for each in wanted_entries]
        values = of.get("singletons/zone", {"values": {}})["values"]
        assert zone.settings == self.settings | values


Histories.TestCase.settings = settings(
    max_examples=HISTORIES, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestHistories = Histories.TestCase
