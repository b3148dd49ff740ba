"""A cache in one edge location: a zone's, which follows its cache rules and purges, or a Worker's."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from simulators.cloudflare.vendor import STAR


@dataclass(frozen=True)
class _Stored:
    until: float
    purges: int
    """Number of purged prefixes at the time of the request to the origin."""
    answer: httpx.Response


@dataclass
class EdgeCache:
    """Caches responses of every status, as an overridden TTL does (SSWConsulting/SSW.Website #4965)."""

    purged: Sequence[str]
    """Prefixes that have been purged; grows."""
    _stored: dict[str, _Stored] = field(default_factory=dict)

    def answer(
        self, settings: Mapping[str, Any], url: str, query: str, fetch: Callable[[], httpx.Response]
    ) -> httpx.Response:
        """`settings` are those of cache rules; `url` is a host and a path; `fetch` requests the origin."""
        if not settings.get("cache"):
            return fetch()
        ignores_query = settings.get("cache_key", {}).get("custom_key", {}).get("query_string") == {"exclude": STAR}
        key = url if ignores_query or not query else f"{url}?{query}"
        found = self._stored.get(key)
        if found is not None and found.until > time.monotonic() and not self._is_purged(url, found.purges):
            return self._sent(found.answer, settings, "HIT")
        purges, answer = len(self.purged), fetch()
        if (seconds := _seconds(settings["edge_ttl"], answer.status_code)) > 0:
            self._stored[key] = _Stored(time.monotonic() + seconds, purges, answer)
        return self._sent(answer, settings, "MISS")

    def _is_purged(self, url: str, since: int) -> bool:
        return any(url.startswith(prefix) for prefix in self.purged[since:])

    @staticmethod
    def _sent(answer: httpx.Response, settings: Mapping[str, Any], state: str) -> httpx.Response:
        headers = {**answer.headers, "cf-cache-status": state}
        browser = settings.get("browser_ttl", {})
        if browser.get("mode") == "override_origin" and answer.status_code == 200:
            headers["cache-control"] = f"max-age={browser['default']}"
        return httpx.Response(answer.status_code, headers=headers, content=answer.content)


def _seconds(edge_ttl: Mapping[str, Any], status: int) -> int:
    """0: no-cache, -1: no-store (cloudflare-docs, configure-cache-status-code.mdx)."""
    for each in edge_ttl.get("status_code_ttl", ()):
        of = each.get("status_code_range") or {"from": each["status_code"], "to": each["status_code"]}
        if of.get("from", 100) <= status <= of.get("to", 999):
            return int(each["value"])
    return int(edge_ttl["default"])
