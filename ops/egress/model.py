"""Which traffic meets the target: a simulation of requests, edge locations and what they keep.

What decides is not how long the edge *may* keep an object (its TTL) but how long it *does*: Cloudflare evicts what was
not asked for, whatever the TTL, and asks the origin for an expired object without fetching it again (304). So bytes
leave the bucket for first fills, and for refills after an eviction. An object is evicted when nobody has asked for it
at that location for `kept_days`: what a cache that evicts the least recently used does, by the approximation of Che,
Tung and Wang (2002), and what tests hold against such a cache.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TARGET_PERCENT = 78.0
"""What REQUIREMENTS.md hopes for. A claim about traffic, so a target, and never a promise."""
_DAYS = 30
_HALF_LIFE_OF_VISITORS_DAYS = 2.0

Days = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class MediaTraffic:
    """A month of requests for media, as browsers make them."""

    requests_per_object: float
    """In 30 days, on average."""
    objects: int = 10_000
    alpha: float = 0.9
    """Of Zipf's law: how much more the popular ones are asked for."""
    repeated_percent: float = 0.0
    """Share of requests that a visitor makes for what he had some days before (half of them within two)."""
    bypass_percent: float = 0.0
    """Share of requests that no cache answers: query strings made up, purges."""


@dataclass(frozen=True, kw_only=True)
class EdgeModel:
    kept_days: float
    """How long a location keeps what nobody asks for."""
    tiered: bool
    """Locations ask one upper location before the bucket (Smart Tiered Cache)."""
    locations: int = 30
    browser_days: float = 7.0
    """As the cache rule says (constructs/infra_constructs/cloudflare/media.py)."""


@dataclass(frozen=True, kw_only=True)
class Saving:
    """Of the last 30 days of 60, so that nothing is counted of the time when every cache was empty.

    Sizes of objects have nothing to do with how popular they are here, so that bytes go as requests do.
    """

    asked: int
    """Requests that browsers would have made without any cache."""
    edge: int
    """Requests that the edge has answered."""
    bucket: int
    """Requests that the bucket has answered with the object."""

    @property
    def percent(self) -> float:
        """As it is measured: 100 × (1 - bucket bytes / edge bytes)."""
        return 100 * (1 - self.bucket / self.edge)

    @property
    def percent_with_browsers(self) -> float:
        """Against a world without any cache, which nobody can measure."""
        return 100 * (1 - self.bucket / self.asked)


@dataclass(frozen=True, kw_only=True)
class Trace:
    """60 days of requests, in their order."""

    when: Days
    what: Ids


def saving(traffic: MediaTraffic, edge: EdgeModel, trace: Trace, *, seed: int = 1) -> Saving:
    random = np.random.default_rng(seed)
    when, what = trace.when, trace.what
    asked = int((when >= _DAYS).sum())
    where = random.integers(edge.locations, size=len(when))
    reaches = ~_in_browser(len(when), traffic, edge, random)
    when, what, where = when[reaches], what[reaches], where[reaches]
    missed = misses(when, what * edge.locations + where, edge.kept_days)
    if edge.tiered:
        # The upper location hears only of what the lower ones have not.
        missed[missed] = misses(when[missed], what[missed], edge.kept_days)
    missed |= random.random(len(when)) < traffic.bypass_percent / 100
    counted = when >= _DAYS
    return Saving(asked=asked, edge=int(counted.sum()), bucket=int((missed & counted).sum()))


def requests(traffic: MediaTraffic, *, seed: int = 1) -> Trace:
    """Independent of each other, popular ones by Zipf's law."""
    random = np.random.default_rng(seed)
    count = int(2 * traffic.objects * traffic.requests_per_object)
    weights = np.arange(1, traffic.objects + 1, dtype=np.float64) ** -traffic.alpha
    cumulative = np.cumsum(weights) / weights.sum()
    what = np.searchsorted(cumulative, random.random(count)).clip(max=traffic.objects - 1)
    return Trace(when=np.sort(random.random(count) * 2 * _DAYS), what=what.astype(np.int64))


def misses(when: Days, what: Ids, kept_days: float) -> NDArray[np.bool_]:
    """Of requests in their order, those that come first, or later than `kept_days` after the one before."""
    # Stable, and so in their order for each object.
    order = np.argsort(what, kind="stable")
    first = np.ones(len(order), dtype=bool)
    first[1:] = what[order][1:] != what[order][:-1]
    gaps = np.full(len(order), np.inf)
    gaps[1:] = np.diff(when[order])
    missed = np.empty(len(order), dtype=bool)
    missed[order] = first | (gaps > kept_days)
    return missed


def _in_browser(count: int, traffic: MediaTraffic, edge: EdgeModel, random: np.random.Generator) -> NDArray[np.bool_]:
    """Requests that a visitor's own browser answers, as it had the object within its time."""
    repeated = random.random(count) < traffic.repeated_percent / 100
    since = random.exponential(_HALF_LIFE_OF_VISITORS_DAYS / np.log(2), count)
    return repeated & (since <= edge.browser_days)
