"""A Worker and its route among those of others."""

from typing import Any

import pytest

from infra_runtime.cloudflare.converge import Conflict
from infra_runtime.custom_resource import PartlyCreated
from tests.runtime.conftest import Edge

NAME = "production-example-com-analytics-proxy"
PATTERN = "example.com/ingest/*"


def worker(script: str = "export default {}", **more: Any) -> dict[str, Any]:
    return {
        "kind": "worker", "owner": "production", "name": "analytics-proxy", "zone": "example.com", "script": script,
        "compatibility_date": "2026-11-01", "variables": {"PREFIX": "/ingest"}, "patterns": [PATTERN], **more,
    }  # fmt: skip


@pytest.fixture
def others(edge: Edge) -> dict[str, Any]:
    edge.world.scripts["theirs"] = {"tags": ["team:growth"], "source": "theirs"}
    edge.zone.routes["r1"] = {"id": "r1", "pattern": "example.com/theirs/*", "script": "theirs"}
    return {"script": dict(edge.world.scripts["theirs"]), "route": dict(edge.zone.routes["r1"])}


def are_untouched(edge: Edge, others: dict[str, Any]) -> bool:
    return (edge.world.scripts["theirs"], edge.zone.routes["r1"]) == (others["script"], others["route"])


def test_a_worker_is_created_updated_and_deleted(edge: Edge, others: dict[str, Any]) -> None:
    made = edge.ask("Create", worker())
    script = edge.world.scripts[NAME]
    assert script["source"] == "export default {}"
    assert script["bindings"] == [{"type": "plain_text", "name": "PREFIX", "text": "/ingest"}]
    assert [each["script"] for each in edge.zone.routes.values() if each["pattern"] == PATTERN] == [NAME]
    edge.ask("Update", worker("export default { fetch() {} }"), made.physical_id)
    assert edge.world.scripts[NAME]["source"] == "export default { fetch() {} }"
    assert are_untouched(edge, others)
    edge.ask("Delete", worker(), made.physical_id)
    assert set(edge.world.scripts) == {"theirs"}
    assert set(edge.zone.routes) == {"r1"}
    assert are_untouched(edge, others)


def test_nothing_to_change_is_nothing_written(edge: Edge) -> None:
    made = edge.ask("Create", worker())
    assert edge.writes(lambda: edge.ask("Update", worker(), made.physical_id)) == []
    changed = worker(variables={"PREFIX": "/other"})
    assert edge.writes(lambda: edge.ask("Update", changed, made.physical_id)) == [
        f"PUT /accounts/{edge.zone.account}/workers/scripts/{NAME}"
    ]


def test_the_route_goes_before_what_it_leads_to(edge: Edge) -> None:
    made = edge.ask("Create", worker())
    first, second = edge.writes(lambda: edge.ask("Delete", worker(), made.physical_id))
    assert first.startswith("DELETE /zones/")
    assert second.startswith("DELETE /accounts/")


def test_a_foreign_route_is_named_and_stays(edge: Edge) -> None:
    edge.world.scripts["theirs"] = {"tags": [], "source": "theirs"}
    edge.zone.routes["r1"] = {"id": "r1", "pattern": PATTERN, "script": "theirs"}
    with pytest.raises((Conflict, PartlyCreated), match=r"route example.com/ingest/\*: it leads to theirs"):
        edge.ask("Create", worker())
    assert edge.zone.routes["r1"]["script"] == "theirs"
    assert NAME not in edge.world.scripts, "nothing half done"
    edge.ask("Create", worker(adopt=True))
    assert edge.zone.routes["r1"]["script"] == NAME


def test_a_foreign_script_is_not_overwritten(edge: Edge) -> None:
    edge.world.scripts[NAME] = {"tags": ["owner:somebody"], "source": "theirs"}
    with pytest.raises((Conflict, PartlyCreated), match="a foreign script has this name"):
        edge.ask("Create", worker())
    assert edge.world.scripts[NAME]["source"] == "theirs"


def test_a_change_by_hand_is_reverted(edge: Edge) -> None:
    made = edge.ask("Create", worker())
    edge.world.scripts[NAME] |= {"source": "by hand", "tags": ["owner:production"]}
    next(iter(edge.zone.routes.values()))["script"] = None
    edge.ask("Update", worker(adopt=True), made.physical_id)
    assert edge.world.scripts[NAME]["source"] == "export default {}"
    assert next(iter(edge.zone.routes.values()))["script"] == NAME


def test_routes_follow_the_declaration(edge: Edge, others: dict[str, Any]) -> None:
    made = edge.ask("Create", worker(patterns=["media.example.com/*", PATTERN]))
    edge.ask("Update", worker(patterns=["media.example.com/*"]), made.physical_id)
    assert {each["pattern"] for each in edge.zone.routes.values()} == {"media.example.com/*", "example.com/theirs/*"}
    assert are_untouched(edge, others)


def test_a_cached_worker_says_so_and_keeps_its_cache_over_versions(edge: Edge) -> None:
    edge.ask("Create", worker(cache=True))
    assert edge.world.scripts[NAME]["cache_options"] == {"enabled": True, "cross_version_cache": True}
