"""The sandbox's edge before a zone: names below .localhost, and the proxy for requests to public names."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from rehearsal.sandbox import edge
from rehearsal.sandbox.edge import SandboxEdge
from simulators.cloudflare.world import Zone
from simulators.ports import free_port
from simulators.redis.authority import Authority

_REDIRECT = {
    "ref": "dev.www", "action": "redirect", "expression": 'http.host eq "www.example.com"',
    "action_parameters": {
        "from_value": {
            "status_code": 301, "preserve_query_string": True,
            "target_url": {"expression": 'concat("https://example.com", http.request.uri.path)'},
        }
    },
}  # fmt: skip
_LIMIT = {
    "ref": "dev.limit", "action": "block", "expression": 'http.host eq "limited.example.com"',
    "ratelimit": {"period": 3600, "requests_per_period": 2},
}  # fmt: skip
_UNKNOWN = {"ref": "theirs", "action": "block", "expression": "cf.bot_management.score lt 99"}


@pytest.fixture
def zone() -> Zone:
    zone = Zone("example.com")
    zone.records = {host: {"name": f"{host}.example.com"} for host in ("www", "limited")}
    phases = {
        "http_request_dynamic_redirect": _REDIRECT,
        "http_ratelimit": _LIMIT,
        "http_request_firewall_custom": _UNKNOWN,
    }
    zone.rulesets = {phase: {"rules": [rule]} for phase, rule in phases.items()}
    return zone


@pytest.fixture
def front(zone: Zone, tmp_path: Path) -> Iterator[tuple[SandboxEdge, int]]:
    """An edge in front of an account whose load balancer cannot be reached."""
    account: Any = SimpleNamespace(
        zone=zone,
        environment=SimpleNamespace(domains=SimpleNamespace(media="media.example.com")),
        emulator=SimpleNamespace(load_balancer=lambda: ("127.0.0.1", 9)),
    )
    made, port = SandboxEdge(Authority(), tmp_path, account=account), free_port()
    with edge.serving(made, port):
        yield made, port


def test_names_below_localhost_lead_to_the_zone(front: tuple[SandboxEdge, int], zone: Zone) -> None:
    _, port = front
    answer = httpx.get(f"http://127.0.0.1:{port}/a?b=1", headers={"Host": f"www.example.com.localhost:{port}"})
    assert (answer.status_code, answer.headers["location"]) == (301, "https://example.com/a?b=1")
    assert [(each.host, each.status) for each in zone.traffic.requests] == [("www.example.com", 301)]


def test_public_names_are_reached_by_tls_through_the_proxy(front: tuple[SandboxEdge, int], tmp_path: Path) -> None:
    made, port = front
    trusted = ssl.create_default_context(cafile=str(made.authority.write(tmp_path / "ca.pem")))
    with httpx.Client(proxy=f"http://127.0.0.1:{port}", verify=trusted) as http:
        assert http.get("https://www.example.com/").status_code == 301
        assert http.get("https://www.example.com/again").status_code == 301
        assert http.get("https://elsewhere.example.org/").status_code == 530, "nothing leaves the machine"


def test_rate_limits_hold_and_an_origin_that_refuses_is_named(front: tuple[SandboxEdge, int]) -> None:
    _, port = front
    headers = {"Host": "limited.example.com"}
    found = [httpx.get(f"http://127.0.0.1:{port}/", headers=headers).status_code for _ in range(3)]
    assert found == [521, 521, 429]
