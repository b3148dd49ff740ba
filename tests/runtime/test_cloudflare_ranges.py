"""The prefix list follows Cloudflare: union first, shrink later, and never a list that cannot be right."""

from datetime import timedelta
from typing import Any

import pytest

from infra_runtime.cloudflare_ranges import KEY, Ranges, Suspicious, Unsettled, provide, refresh
from infra_runtime.custom_resource import PartlyCreated, Request
from infra_runtime.vendor_api import Clock
from rehearsal.state_store import InMemoryStateStore
from tests.runtime.fakes import NOW, Ec2

FIVE = ["103.21.244.0/22", "104.16.0.0/13", "162.158.0.0/15", "172.64.0.0/13", "198.41.128.0/17"]
NEW = "141.101.64.0/18"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "test")


def ranges(ec2: Ec2, store: InMemoryStateStore, published: list[str], *, days: int = 0) -> Ranges:
    """Over the list `pl-1`, which is made when there is none."""
    if not ec2.lists:
        ec2.create_managed_prefix_list(MaxEntries=40)
    return Ranges(ec2, store, lambda: published, NOW + timedelta(days=days), _instant())


def _instant() -> Clock:
    passed = [0.0]
    return Clock(now=lambda: passed[0], sleep=lambda seconds: passed.__setitem__(0, passed[0] + seconds))


def test_the_first_run_fills_the_list_and_the_next_writes_nothing() -> None:
    ec2, store = Ec2(), InMemoryStateStore()
    refresh(ranges(ec2, store, FIVE), "pl-1")
    assert ec2.cidrs == set(FIVE)
    refresh(ranges(ec2, store, FIVE, days=1), "pl-1")
    assert ec2.writes == 1


def test_a_new_range_is_let_in_at_once_and_an_old_one_kept_for_a_month() -> None:
    ec2, store = Ec2(), InMemoryStateStore()
    refresh(ranges(ec2, store, FIVE), "pl-1")
    moved = [*FIVE[1:], NEW]
    refresh(ranges(ec2, store, moved, days=1), "pl-1")
    assert ec2.cidrs == {*FIVE, NEW}
    refresh(ranges(ec2, store, moved, days=30), "pl-1")
    assert FIVE[0] in ec2.cidrs
    refresh(ranges(ec2, store, moved, days=32), "pl-1")
    assert ec2.cidrs == set(moved)
    assert set(store.get(KEY)) == set(moved)


@pytest.mark.parametrize(
    "published",
    [[], FIVE[:2], [*FIVE, "0.0.0.0/0"], [*FIVE, "10.0.0.0/8"], [*FIVE, "64.0.0.0/7"], [*FIVE, "2400:cb00::/32"],
     [*FIVE, "nonsense"]],
    ids=["empty", "less than half", "everybody", "private", "too wide", "IPv6", "nonsense"],
)  # fmt: skip
def test_implausible_ranges_change_nothing(published: list[str]) -> None:
    ec2, store = Ec2(), InMemoryStateStore()
    refresh(ranges(ec2, store, FIVE), "pl-1")
    before = dict(store.values)
    with pytest.raises(Suspicious):
        refresh(ranges(ec2, store, published, days=1), "pl-1")
    assert (ec2.cidrs, ec2.writes, store.values) == (set(FIVE), 1, before)


def test_a_range_that_was_removed_by_hand_is_added_again() -> None:
    ec2, store = Ec2(), InMemoryStateStore()
    refresh(ranges(ec2, store, FIVE), "pl-1")
    ec2.cidrs.remove(FIVE[0])
    refresh(ranges(ec2, store, FIVE), "pl-1")
    assert ec2.cidrs == set(FIVE)


def test_a_change_is_published_but_not_the_first_filling(capsys: pytest.CaptureFixture[str]) -> None:
    ec2, store = Ec2(), InMemoryStateStore()
    refresh(ranges(ec2, store, FIVE), "pl-1")
    assert '"RangesAdded": 0' in capsys.readouterr().out
    refresh(ranges(ec2, store, [*FIVE, NEW]), "pl-1")
    assert '"RangesAdded": 1' in capsys.readouterr().out


def resource(kind: Any, ec2: Ec2, store: InMemoryStateStore, *, room: int = 40, published: list[str] = FIVE) -> str:
    properties = {"Name": "net-cloudflare", "MaxEntries": str(room)}
    request = Request(kind, properties, None if kind == "Create" else "pl-1")
    return provide(request, Ranges(ec2, store, lambda: published, NOW, _instant())).physical_id


def test_the_list_is_full_before_anything_refers_to_it_and_gone_with_the_resource() -> None:
    ec2, store = Ec2(), InMemoryStateStore()
    assert resource("Create", ec2, store) == "pl-1"
    assert (ec2.cidrs, ec2.lists["pl-1"]["State"]) == (set(FIVE), "modify-complete")
    assert ec2.lists["pl-1"]["TagSpecifications"][0]["Tags"] == [{"Key": "owner", "Value": "net-cloudflare"}]
    resource("Delete", ec2, store)
    assert (ec2.lists, store.values) == ({}, {})
    resource("Delete", ec2, store)


def test_an_event_that_comes_twice_makes_one_list() -> None:
    ec2, store = Ec2(), InMemoryStateStore()
    assert {resource("Create", ec2, store), resource("Create", ec2, store)} == {"pl-1"}


def test_more_room_takes_no_entry_away() -> None:
    ec2, store = Ec2(), InMemoryStateStore()
    resource("Create", ec2, store)
    assert resource("Update", ec2, store, room=50) == "pl-1"
    assert (ec2.lists["pl-1"]["MaxEntries"], ec2.cidrs) == (50, set(FIVE))


def test_a_list_that_could_not_be_filled_is_known_to_the_delete_that_follows() -> None:
    with pytest.raises(PartlyCreated) as failed:
        resource("Create", Ec2(), InMemoryStateStore(), published=[])
    assert failed.value.physical_id == "pl-1"


def test_a_change_that_ec2_fails_to_make_is_reported_and_not_stored() -> None:
    ec2, store = Ec2(), InMemoryStateStore()
    refresh(ranges(ec2, store, FIVE), "pl-1")
    before, ec2.fails = dict(store.values), "sg-1 has no room"
    with pytest.raises(Unsettled, match="modify-failed sg-1 has no room"):
        refresh(ranges(ec2, store, [*FIVE, NEW]), "pl-1")
    assert store.values == before


def test_a_change_that_failed_does_not_stop_the_next_one() -> None:
    ec2, store = Ec2(), InMemoryStateStore()
    refresh(ranges(ec2, store, FIVE), "pl-1")
    ec2.lists["pl-1"]["State"] = "modify-failed"
    refresh(ranges(ec2, store, [*FIVE, NEW]), "pl-1")
    assert NEW in ec2.cidrs
