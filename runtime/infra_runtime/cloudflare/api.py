"""Cloudflare's API v4: one envelope, one pace, one idea of when to try again."""

import email.utils
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

BASE_URL = "https://api.cloudflare.com/client/v4"

# Cloudflare allows 1,200 requests in five minutes to each user, whatever the token ("API rate limits"; read 2026-11):
# a burst and five minutes of the sustained rate are 1,150.
REQUESTS_PER_SECOND = 3.5
_BURST = 100
_ATTEMPTS = 8
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
_PAGE = 500
_TRANSIENT = frozenset({408, 425, 429, *range(500, 600)})
# The request never left, or was turned away unread: even a create may be tried again.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class CloudflareError(Exception):
    """Cloudflare did not do what was asked; the message carries no secret."""


class Refused(CloudflareError):
    """A definite no."""


class NotFound(Refused):
    """There is nothing under that address."""


class Unavailable(CloudflareError):
    """No definite answer within the attempts, or the time, there were."""


class Unsure(CloudflareError):
    """A create was sent and its answer lost: look whether it is there before creating it again."""


@dataclass(frozen=True)
class Clock:
    """Time, so that tests need none."""

    now: Callable[[], float] = time.time
    """Seconds since 1970."""
    sleep: Callable[[float], None] = time.sleep


class Pace:
    """A token bucket: a small burst, and no more than the sustained rate from then on."""

    def __init__(self, clock: Clock, *, rate: float = REQUESTS_PER_SECOND, burst: int = _BURST) -> None:
        self._clock, self._rate, self._burst = clock, rate, burst
        self._tokens, self._at = float(burst), clock.now()

    def take(self) -> None:
        """Waits until one more request is allowed."""
        now = self._clock.now()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = now
        if self._tokens < 1:
            self._clock.sleep((1 - self._tokens) / self._rate)
            self._at = self._clock.now()
            self._tokens = 1
        self._tokens -= 1


@cache
def connection() -> httpx.Client:
    """Kept open between invocations of a function."""
    return httpx.Client(timeout=_TIMEOUT)


@dataclass
class Api:
    """Speaks with the one token. Safe to ask twice: a create is never sent again before somebody has looked."""

    token: str = field(repr=False)
    deadline: float
    """Seconds since 1970; nothing is waited for beyond it."""
    base_url: str = BASE_URL
    clock: Clock = field(default_factory=Clock)
    http: httpx.Client = field(default_factory=connection, repr=False)
    pace: Pace = field(default_factory=lambda: Pace(Clock()), repr=False)
    redact: Callable[[str], str] = str
    """Takes secrets out of what Cloudflare says, which quotes what it was sent."""

    def __post_init__(self) -> None:
        self._not_before = 0.0

    def get(self, path: str, **query: str | int) -> Any:
        """The result. Raises `NotFound`, `Refused`, `Unavailable`."""
        return self._ask("GET", path, query=query)["result"]

    def pages(self, path: str, **query: str | int) -> list[dict[str, Any]]:
        """All pages of a list, or an error: never a part of it, as what is missing would look deleted."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            answer = self._ask("GET", path, query={**query, "page": page, "per_page": _PAGE})
            found += answer["result"]
            if page >= int((answer.get("result_info") or {}).get("total_pages") or 1):
                return found
            page += 1

    def write(self, method: str, path: str, body: Any = None) -> Any:
        """What Cloudflare says it did, which may be None. Raises `Unsure` besides what `get` raises."""
        return self._ask(method, path, body=body)["result"]

    def delete(self, path: str) -> None:
        """What is not there any more, as somebody else has deleted it, or a lost answer has, is deleted."""
        try:
            self.write("DELETE", path)
        except NotFound:
            return

    def wait(self, seconds: float, why: str) -> None:
        """Raises `Unavailable` rather than go on beyond the deadline."""
        left = self.deadline - self.clock.now()
        if seconds > left:
            raise Unavailable(f"{why}; a wait of {seconds:.0f} s is due and {max(left, 0):.0f} s are left")
        self.clock.sleep(seconds)

    def _ask(self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None) -> Any:
        what = f"{method} {path}"
        for attempt in range(1, _ATTEMPTS + 1):
            if (held := self._not_before - self.clock.now()) > 0:
                self.wait(held, what)
            if self.clock.now() >= self.deadline:
                raise Unavailable(f"{what}: no time is left")
            self.pace.take()
            trouble, was_sent, wait = None, True, None
            try:
                response = self.http.request(
                    method,
                    self.base_url + path,
                    params=query,
                    json=body,
                    headers={"Authorization": f"Bearer {self.token}", "User-Agent": "infra-edge/1"},
                )
            except httpx.TransportError as error:
                trouble, was_sent = type(error).__name__, not isinstance(error, _NEVER_SENT)
            else:
                envelope = _envelope(response, is_read=method == "GET")
                if response.status_code not in _TRANSIENT and envelope is not None:
                    return self._definite(what, response.status_code, envelope)
                trouble = f"HTTP {response.status_code}" + (
                    "" if envelope is not None else ", not an answer of the API"
                )
                was_sent = response.status_code != 429
                wait = _retry_after(response, self.clock.now())
            if wait is None:
                wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1)
            self._not_before = self.clock.now() + wait
            if method == "POST" and was_sent:
                raise Unsure(self.redact(f"{what}: {trouble}; it may have been done"))
        raise Unavailable(self.redact(f"{what}: {trouble}, {_ATTEMPTS} times"))

    def _definite(self, what: str, status: int, envelope: dict[str, Any]) -> dict[str, Any]:
        if status < 400 and envelope.get("success") is True:
            return envelope
        errors = [each for each in envelope.get("errors") or [] if isinstance(each, dict)]
        told = "; ".join(_told(each) for each in errors) or "no reason given"
        hint = " (is the token still valid, and does it have the permission?)" if status in (401, 403) else ""
        kind = NotFound if status == 404 else Refused
        raise kind(self.redact(f"{what}: HTTP {status}: {told}{hint}"))


def _envelope(response: httpx.Response, *, is_read: bool) -> dict[str, Any] | None:
    """None when this is not an answer of the API: a proxy's page, half a document, a read without a result."""
    try:
        envelope = response.json()
    except ValueError:
        return None
    if not isinstance(envelope, dict) or "success" not in envelope:
        return None
    envelope.setdefault("result", None)
    if is_read and envelope["success"] is True and envelope["result"] is None:
        return None
    return envelope


def _told(error: Mapping[str, Any]) -> str:
    where = (error.get("source") or {}).get("pointer", "")
    chain = "".join(f" > {_told(each)}" for each in error.get("error_chain") or [] if isinstance(each, dict))
    return f"{error.get('code', '?')}: {error.get('message', '')}{f' (at {where})' if where else ''}{chain}"


def _retry_after(response: httpx.Response, now: float) -> float | None:
    """Seconds; None when the header is absent or says nothing that can be understood."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
