"""The model of egress, compared with a cache simulator that others wrote, and with rules of thumb."""

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import libcachesim
import numpy as np
import pytest
from numpy.typing import NDArray

from ops.egress.model import EdgeModel, Ids, MediaTraffic, Saving, Trace, misses, requests, saving
from tests.ops.command import infra_says
from tests.ops.every_command import conforms

ROOT = Path(__file__).resolve().parents[2]
OBJECTS = 2_000


def traffic(**changes: float) -> MediaTraffic:
    return MediaTraffic(**{"requests_per_object": 10.0, "objects": OBJECTS, **changes})  # type: ignore[arg-type]


def of(edge: EdgeModel, **changes: float) -> Saving:
    asked = traffic(**changes)
    return saving(asked, edge, requests(asked))


def resident(trace: Trace, kept_days: float) -> int:
    """Mean number of objects in a cache that keeps each for this time after its last request."""
    counts = []
    for moment in np.linspace(30, 60, 40):
        recent = (trace.when <= moment) & (trace.when > moment - kept_days)
        counts.append(len(np.unique(trace.what[recent])))
    return round(float(np.mean(counts)))


def least_recently_used(what: Ids, size: int) -> NDArray[np.bool_]:
    """Misses of a cache for `size` objects, by libCacheSim; each object is of one size."""
    cache = libcachesim.LRU(cache_size=size, hashpower=16)
    return np.array([not cache.get(libcachesim.Request(obj_size=1, obj_id=int(each))) for each in what])


@pytest.mark.parametrize("alpha", [0.7, 0.9, 1.1])
@pytest.mark.parametrize("kept_days", [1.0, 7.0])
def test_a_retention_time_approximates_an_lru_cache(alpha: float, kept_days: float) -> None:
    """The model is based on this approximation; it holds within one percentage point."""
    trace = requests(traffic(alpha=alpha))
    counted = trace.when >= 30
    ours = misses(trace.when, trace.what, kept_days)[counted].mean()
    theirs = least_recently_used(trace.what, resident(trace, kept_days))[counted].mean()
    assert abs(ours - theirs) * 100 < 1, f"ours {ours:.4f}, theirs {theirs:.4f}"


def test_two_tiers_are_two_caches_one_behind_the_other() -> None:
    """Compares every location and the upper tier with libCacheSim, within one percentage point."""
    edge, asked = EdgeModel(kept_days=3, tiered=True, locations=5), traffic()
    trace = requests(asked)
    ours = saving(asked, edge, trace, seed=7)
    where = np.random.default_rng(7).integers(edge.locations, size=len(trace.when))
    missed = np.zeros(len(trace.when), dtype=bool)
    for location in range(edge.locations):
        here = where == location
        part = Trace(when=trace.when[here], what=trace.what[here])
        missed[here] = least_recently_used(part.what, resident(part, edge.kept_days))
    upper = Trace(when=trace.when[missed], what=trace.what[missed])
    missed[missed] = least_recently_used(upper.what, resident(upper, edge.kept_days))
    counted = trace.when >= 30
    theirs = 100 * (1 - missed[counted].mean())
    assert abs(ours.percent - theirs) < 1, f"ours {ours.percent:.2f}, theirs {theirs:.2f}"


def test_a_cache_that_is_too_small_would_be_noticed() -> None:
    """Shows that the comparison above can fail."""
    trace = requests(traffic())
    counted = trace.when >= 30
    ours = misses(trace.when, trace.what, 7.0)[counted].mean()
    theirs = least_recently_used(trace.what, resident(trace, 7.0) // 2)[counted].mean()
    assert abs(ours - theirs) * 100 > 1


def test_more_requests_a_tier_and_a_longer_memory_save_more() -> None:
    tiered, alone = EdgeModel(kept_days=7, tiered=True), EdgeModel(kept_days=7, tiered=False)
    rising = [of(tiered, requests_per_object=each).percent for each in (1.0, 3.0, 10.0, 30.0)]
    assert rising == sorted(rising)
    assert of(tiered).percent > of(alone).percent + 10
    assert (
        of(EdgeModel(kept_days=30, tiered=True)).percent
        > of(tiered).percent
        > of(EdgeModel(kept_days=1, tiered=True)).percent
    )


def test_requests_that_bypass_the_cache_reduce_the_saving() -> None:
    edge = EdgeModel(kept_days=7, tiered=True)
    lost = of(edge).percent - of(edge, bypass_percent=10).percent
    assert 7 < lost < 10, "ten per cent of what would otherwise mostly be hits"


def test_browsers_save_bytes_and_lower_what_is_measured() -> None:
    """The share alone is therefore no measure of success."""
    edge = EdgeModel(kept_days=7, tiered=True)
    without, with_ = of(edge), of(edge, repeated_percent=40)
    assert without.percent == without.percent_with_browsers
    assert with_.percent < without.percent
    assert with_.percent_with_browsers > without.percent_with_browsers
    assert with_.bucket <= without.bucket
    assert of(EdgeModel(kept_days=7, tiered=True, browser_days=0), repeated_percent=40).edge == without.edge


MODEL = ("egress", "model", "--objects", "200")


def test_the_model_runs_from_the_command_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ops", *MODEL, "--plot", str(tmp_path / "egress.svg")],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": f"{ROOT / 'runtime'}:{ROOT}", "PATH": "/usr/bin:/bin", "COLUMNS": "160"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "78 % from" in done.stdout
    picture = ElementTree.parse(tmp_path / "egress.svg")  # noqa: S314  (our own)
    text = "".join(picture.getroot().itertext())
    assert "tiered, kept 7 days" in text
    assert "the target, 78 %" in text
    found = conforms("egress model", infra_says(*MODEL, "--json").stdout)
    assert found["saving_percent"]["tiered, kept 7 days"]["10"] > 78
    assert found["requests_for_target"]["tiered, kept 30 days"] <= 2


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--plot", "picture.png"], ".svg"),
        (["--plot", "/nowhere/picture.svg"], "No such file"),
        (["--alpha", "9"], "--alpha"),
        (["--bypass", "100"], "--bypass"),
    ],
)
def test_wrong_arguments_end_with_exit_code_2(words: list[str], expected: str) -> None:
    done = infra_says(*MODEL, *words, COLUMNS="160")
    assert done.returncode == 2
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
