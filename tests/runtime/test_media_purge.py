"""Media that was deleted is gone from Cloudflare's cache, however its path was spelled."""

import re
from urllib.parse import quote

import pytest

from infra_runtime.cloudflare.purge import prefixes, purge
from infra_runtime.vendor_api import Refused, Unavailable
from tests.runtime.conftest import Edge

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


def test_a_plan_that_is_slow_is_waited_for(edge: Edge) -> None:
    edge.zone.plan_name = "free"
    purge(edge.api(), edge.zone.id, [f"{edge.zone.name}/{number}" for number in range(27 * 30)])
    assert len(edge.zone.purged) == 27 * 30
    assert edge.time.slept


def test_what_is_refused_or_takes_too_long_is_an_error(edge: Edge) -> None:
    with pytest.raises(Refused, match="not every prefix is of the zone"):
        purge(edge.api(), edge.zone.id, ["elsewhere.example/a"])
    edge.zone.plan_name, edge.lambda_seconds = "free", 60
    with pytest.raises(Unavailable):
        purge(edge.api(), edge.zone.id, [f"{edge.zone.name}/{number}" for number in range(60 * 30)])
