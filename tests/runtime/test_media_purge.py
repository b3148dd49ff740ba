"""Media that was deleted is gone from Cloudflare's cache, however its path was spelled."""

import json
import re
from types import SimpleNamespace
from urllib.parse import quote

import pytest

from infra_runtime import media_purge
from infra_runtime.cloudflare.purge import prefixes, purge
from infra_runtime.vendor_api import Refused, Unavailable
from tests.runtime.conftest import Edge, FakeSecretsManager

HOST = "media.daadaar.com"


@pytest.mark.parametrize(
    ("key", "spellings"),
    [
        ("a/b.avif", 1),
        ("a b.avif", 1),
        ("Größe.avif", 1),
        ("a(1)!.avif", 2),
        ("a+b=c&d.avif", 2),
        ("100%.avif", 1),
        ("q?x#y.avif", 1),
    ],
)
def test_an_object_is_purged_in_every_spelling_of_its_path(key: str, spellings: int) -> None:
    found = prefixes(HOST, key)
    assert len(found) == spellings
    # Browsers, `encodeURIComponent` for each part, and Python's and AWS's way.
    for safe in ("/!$&'()*+,;=:@", "/!'()*", "/"):
        assert f"{HOST}/{quote(key, safe=safe)}" in found
    assert not any(re.search(r"[?# ]", each) for each in found)


def test_many_are_purged_together_and_each_once(edge: Edge) -> None:
    wanted = [f"{edge.zone.name}/{number}" for number in range(70)]
    purge(edge.api(), edge.zone.id, [*wanted, *wanted])
    assert edge.zone.purged == wanted
    assert len(edge.zone.purges) == 3
    assert not edge.simulator.violations


def test_a_batch_of_events_purges_what_they_name(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media_purge, "client", lambda _: FakeSecretsManager({}))
    monkeypatch.setattr(media_purge, "api_from", lambda *_, **__: edge.api())
    for name, value in {"HOST": f"media.{edge.zone.name}", "ZONE": edge.zone.name, "TOKEN_SECRET": "token"}.items():
        monkeypatch.setenv(name, value)
    bodies = [{"detail": {"object": {"key": key}}} for key in ("a.avif", "b/c.avif", "a.avif")]
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: 60_000)
    media_purge.handler({"Records": [{"body": json.dumps(each)} for each in bodies]}, context)
    assert edge.zone.purged == [f"media.{edge.zone.name}/a.avif", f"media.{edge.zone.name}/b/c.avif"]
    assert not edge.simulator.violations


def test_a_plan_that_is_slow_is_waited_for(edge: Edge) -> None:
    edge.zone.plan_name = "free"
    purge(edge.api(), edge.zone.id, [f"{edge.zone.name}/{number}" for number in range(27 * 30)])
    assert len(edge.zone.purged) == 27 * 30
    assert edge.time.slept


def test_a_refused_or_slow_purge_is_an_error(edge: Edge) -> None:
    with pytest.raises(Refused, match="not every prefix is of the zone"):
        purge(edge.api(), edge.zone.id, ["elsewhere.example/a"])
    edge.zone.plan_name, edge.lambda_seconds = "free", 60
    with pytest.raises(Unavailable):
        purge(edge.api(), edge.zone.id, [f"{edge.zone.name}/{number}" for number in range(60 * 30)])
