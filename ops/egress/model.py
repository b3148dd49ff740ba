"""Which traffic meets the target: a simulation of requests, edge locations and what they keep.

The TTL says how long the edge *may* keep an object; what counts is how long it *does*. Cloudflare evicts objects that
are seldom requested even before their TTL ends, and revalidates expired ones without fetching them again (304). So
bytes leave the bucket for first fills and for refills after an eviction. A location evicts an object after `kept_days`
without a request: the approximation of an LRU cache by Che, Tung and Wang (2002). Tests compare it with a real LRU.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TARGET_PERCENT = 78.0
"""The target of REQUIREMENTS.md. It depends on traffic, so it is no promise."""
_DAYS = 30
_HALF_LIFE_OF_VISITORS_DAYS = 2.0

Days = NDArray[np.float64]
Ids = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class MediaTraffic:
    """A month of requests for media, as browsers make them."""

    requests_per_object: float
    """Requests for an object in 30 days, on average."""
    objects: int = 10_000
    alpha: float = 0.9
    """Exponent of Zipf's law: how much more often popular objects are requested."""
    repeated_percent: float = 0.0
    """Share of requests for objects that the same visitor fetched some days before (half of them within two)."""
    bypass_percent: float = 0.0
    """Share of requests that no cache answers: random query strings, purges."""


@dataclass(frozen=True, kw_only=True)
class EdgeModel:
    kept_days: float
    """How long a location keeps an object that is not requested."""
    tiered: bool
    """Whether locations ask one upper location before the bucket (Smart Tiered Cache)."""
    locations: int = 30
    browser_days: float = 7.0
    """As the cache rule says (constructs/infra_constructs/cloudflare/media.py)."""


@dataclass(frozen=True, kw_only=True)
class Saving:
    """Counts of the last 30 of 60 days: the first 30 fill the empty caches.

    The model gives popular objects no other sizes than the rest, so shares of requests are shares of bytes.
    """

    asked: int
    """Requests that browsers would have made without any cache."""
    edge: int
    """Requests that the edge has answered."""
    bucket: int
    """Requests that the bucket has answered with the object."""

    @property
    def percent(self) -> float:
        """As production measures it: 100 × (1 - bucket bytes / edge bytes)."""
        return 100 * (1 - self.bucket / self.edge)

    @property
    def percent_with_browsers(self) -> float:
        """Compared with no cache at all, not even in browsers; production cannot measure that."""
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
        # The upper location gets only the requests that the lower ones missed.
        missed[missed] = misses(when[missed], what[missed], edge.kept_days)
    missed |= random.random(len(when)) < traffic.bypass_percent / 100
    counted = when >= _DAYS
    return Saving(asked=asked, edge=int(counted.sum()), bucket=int((missed & counted).sum()))


def requests(traffic: MediaTraffic, *, seed: int = 1) -> Trace:
    """Independent requests; Zipf's law says which object each one is for."""
    random = np.random.default_rng(seed)
    count = int(2 * traffic.objects * traffic.requests_per_object)
    weights = np.arange(1, traffic.objects + 1, dtype=np.float64) ** -traffic.alpha
    cumulative = np.cumsum(weights) / weights.sum()
    what = np.searchsorted(cumulative, random.random(count)).clip(max=traffic.objects - 1)
    return Trace(when=np.sort(random.random(count) * 2 * _DAYS), what=what.astype(np.int64))


def misses(when: Days, what: Ids, kept_days: float) -> NDArray[np.bool_]:
    """Which requests miss: an object's first, and those more than `kept_days` after its last."""
    # Stable: the requests for each object stay in order.
    order = np.argsort(what, kind="stable")
    first = np.ones(len(order), dtype=bool)
    first[1:] = what[order][1:] != what[order][:-1]
    gaps = np.full(len(order), np.inf)
    gaps[1:] = np.diff(when[order])
    missed = np.empty(len(order), dtype=bool)
    missed[order] = first | (gaps > kept_days)
    return missed


def _in_browser(count: int, traffic: MediaTraffic, edge: EdgeModel, random: np.random.Generator) -> NDArray[np.bool_]:
    """Requests that a visitor's own browser answers from its cache."""
    repeated = random.random(count) < traffic.repeated_percent / 100
    since = random.exponential(_HALF_LIFE_OF_VISITORS_DAYS / np.log(2), count)
    return repeated & (since <= edge.browser_days)
