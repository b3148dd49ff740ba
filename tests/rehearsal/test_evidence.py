"""Recorded answers of vendors and those of the simulators: what counts as a difference."""

import copy
from typing import Any

from rehearsal.evidence import differences

LIVE: dict[str, Any] = {
    "began": "2026-11-26T01:00:00+00:00",
    "region": "eu-central-1",
    "checks": [
        {
            "check": "host-names",
            "verdict": "held",
            "seen": "kept in lower case",
            "answers": [
                {
                    "vendor": "cloudflare",
                    "call": "GET /zones/00000000000000000000000000000001/dns_records",
                    "status": 200,
                    "body": {"result": [{"content": "a.example.com", "ttl": 1, "comment": None}], "success": True},
                }
            ],
        }
    ],
}


def simulated(**record: Any) -> dict[str, Any]:
    made = copy.deepcopy(LIVE)
    made["checks"][0]["answers"][0]["call"] = "GET /zones/0000000000000000000000000000000a/dns_records"
    made["checks"][0]["answers"][0]["body"]["result"][0].update(record)
    return made


def test_other_ids_values_and_fewer_fields_are_no_difference() -> None:
    found = simulated(content="b.example.com", comment="text")
    del found["checks"][0]["answers"][0]["body"]["success"]
    assert list(differences(LIVE, found)) == []


def test_a_field_that_only_the_simulator_has_is_a_difference() -> None:
    (found,) = differences(LIVE, simulated(invented=True))
    assert found.endswith("dns_records → 200: only the simulator has .result[].invented")


def test_a_different_type_is_a_difference() -> None:
    (found,) = differences(LIVE, simulated(ttl="1"))
    assert found.endswith(".result[].ttl is number live, text simulated")


def test_a_different_verdict_is_a_difference() -> None:
    live = copy.deepcopy(LIVE)
    live["checks"][0] |= {"verdict": "refuted", "seen": "kept with capitals"}
    (found,) = differences(live, simulated())
    assert found == "host-names: live refuted (kept with capitals), simulated held"
