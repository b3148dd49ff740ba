"""The prefix list follows Cloudflare: union first, shrink later, and never a list that cannot be right."""

from datetime import timedelta

import pytest

from infra_runtime.cloudflare_ranges import KEY, Ranges, Suspicious, provide, refresh
from infra_runtime.custom_resource import Request
from rehearsal.memory import InMemory
from tests.runtime.fakes import NOW, Ec2

FIVE = ["103.21.244.0/22", "104.16.0.0/13", "162.158.0.0/15", "172.64.0.0/13", "198.41.128.0/17"]
NEW = "141.101.64.0/18"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENVIRONMENT", "test")


def ranges(ec2: Ec2, memory: InMemory, published: list[str], *, days: int = 0) -> Ranges:
    return Ranges(ec2, memory, lambda: published, NOW + timedelta(days=days))


def test_the_first_run_fills_the_list_and_the_next_writes_nothing() -> None:
    ec2, memory = Ec2(), InMemory()
    refresh(ranges(ec2, memory, FIVE), "pl-1")
    assert ec2.cidrs == set(FIVE)
    refresh(ranges(ec2, memory, FIVE, days=1), "pl-1")
    assert ec2.writes == 1


def test_a_new_range_is_let_in_at_once_and_an_old_one_kept_for_a_month() -> None:
    ec2, memory = Ec2(), InMemory()
    refresh(ranges(ec2, memory, FIVE), "pl-1")
    moved = [*FIVE[1:], NEW]
    refresh(ranges(ec2, memory, moved, days=1), "pl-1")
    assert ec2.cidrs == {*FIVE, NEW}
    refresh(ranges(ec2, memory, moved, days=30), "pl-1")
    assert FIVE[0] in ec2.cidrs
    refresh(ranges(ec2, memory, moved, days=32), "pl-1")
    assert ec2.cidrs == set(moved)
    assert set(memory.get(KEY)) == set(moved)


@pytest.mark.parametrize(
    "published",
    [[], FIVE[:2], [*FIVE, "0.0.0.0/0"], [*FIVE, "10.0.0.0/8"], [*FIVE, "64.0.0.0/7"], [*FIVE, "2400:cb00::/32"],
     [*FIVE, "nonsense"]],
    ids=["empty", "less than half", "everybody", "private", "too wide", "IPv6", "nonsense"],
)  # fmt: skip
def test_what_cannot_be_right_changes_nothing(published: list[str]) -> None:
    ec2, memory = Ec2(), InMemory()
    refresh(ranges(ec2, memory, FIVE), "pl-1")
    before = dict(memory.values)
    with pytest.raises(Suspicious):
        refresh(ranges(ec2, memory, published, days=1), "pl-1")
    assert (ec2.cidrs, ec2.writes, memory.values) == (set(FIVE), 1, before)


def test_what_somebody_took_out_by_hand_comes_back() -> None:
    ec2, memory = Ec2(), InMemory()
    refresh(ranges(ec2, memory, FIVE), "pl-1")
    ec2.cidrs.remove(FIVE[0])
    refresh(ranges(ec2, memory, FIVE), "pl-1")
    assert ec2.cidrs == set(FIVE)


def test_a_change_is_published_but_not_the_first_filling(capsys: pytest.CaptureFixture[str]) -> None:
    ec2, memory = Ec2(), InMemory()
    refresh(ranges(ec2, memory, FIVE), "pl-1")
    assert '"RangesAdded": 0' in capsys.readouterr().out
    refresh(ranges(ec2, memory, [*FIVE, NEW]), "pl-1")
    assert '"RangesAdded": 1' in capsys.readouterr().out


def test_the_resource_forgets_when_it_goes() -> None:
    ec2, memory = Ec2(), InMemory()
    jobs: list[str] = []
    made = provide(Request("Create", {"PrefixList": "pl-1"}, None), jobs.append, memory)
    assert (made.physical_id, jobs) == ("pl-1", ["pl-1"])
    refresh(ranges(ec2, memory, FIVE), "pl-1")
    provide(Request("Delete", {"PrefixList": "pl-1"}, "pl-1"), jobs.append, memory)
    assert (memory.values, jobs) == ({}, ["pl-1"])
