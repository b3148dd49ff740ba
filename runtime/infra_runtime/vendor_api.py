"""A client for vendors' APIs: rate limit, retries, and certainty about what was done."""

import email.utils
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

_ATTEMPTS = 8
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_TIMEOUT = httpx.Timeout(20.0, connect=5.0)
TRANSIENT = frozenset({408, 425, 429, *range(500, 600)})
# The request was never sent: even a create may be tried again.
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class VendorError(Exception):
    """The vendor did not do what was asked; the message carries no secret."""


class Refused(VendorError):
    """A definite no."""

    def __init__(self, message: str, *, codes: Collection[int] = ()) -> None:
        super().__init__(message)
        self.codes = frozenset(codes)
        """The vendor's own, where it has some."""


class NotFound(Refused):
    """There is nothing under that address."""


class Unavailable(VendorError):
    """No definite answer within the allowed attempts or time."""


class OutcomeUnknown(VendorError):
    """A create was sent and its answer lost: check whether the object exists before creating it again."""


class BadCredentials(Exception):
    """The secret with a vendor's credentials does not hold what its page in docs/ says. The value is not repeated."""


@dataclass(frozen=True)
class Clock:
    """The current time and sleep; tests replace them and do not wait."""

    now: Callable[[], float] = time.time
    """Seconds since 1970."""
    sleep: Callable[[float], None] = time.sleep


class Pace:
    """A token bucket: a small burst, and no more than the sustained rate from then on."""

    def __init__(self, clock: Clock, *, rate: float, burst: int) -> None:
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


@dataclass(kw_only=True)
class VendorApi:
    """Retries requests that may be sent twice. A create whose answer is lost raises `OutcomeUnknown` instead."""

    deadline: float
    """Seconds since 1970; nothing is waited for beyond it."""
    base_url: str
    pace: Pace = field(repr=False)
    clock: Clock = field(default_factory=Clock)
    http: httpx.Client = field(default_factory=connection, repr=False)
    redact: Callable[[str], str] = str
    """Removes secrets from the vendor's messages, which may quote the request."""

    def __post_init__(self) -> None:
        self._not_before = 0.0

    def _authorization(self) -> str:
        """Value of the header."""
        raise NotImplementedError

    def _understood(self, response: httpx.Response, *, is_read: bool) -> Any:
        """None when this is not an answer of the API: a proxy's page, half a document, a read without a result."""
        raise NotImplementedError

    def _definite(self, what: str, status: int, answer: Any) -> Any:
        """The answer of a success. Raises `Refused` or `NotFound`."""
        raise NotImplementedError

    def wait(self, seconds: float, why: str) -> None:
        """Raises `Unavailable` rather than go on beyond the deadline."""
        left = self.deadline - self.clock.now()
        if seconds >= left:
            raise Unavailable(f"{why}; a wait of {seconds:.0f} s is due and {max(left, 0):.0f} s are left")
        self.clock.sleep(seconds)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        files: Mapping[str, Any] | None = None,
        is_read: bool | None = None,
    ) -> Any:
        """`files` are the parts of a form, as httpx has them. `is_read`: a POST that changes nothing; None goes by the
        method."""
        what = f"{method} {path}"
        is_read = method == "GET" if is_read is None else is_read
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
                    files=files,
                    headers={"Authorization": self._authorization(), "User-Agent": "infra/1"},
                )
            except httpx.TransportError as error:
                trouble, was_sent = type(error).__name__, not isinstance(error, _NEVER_SENT)
            else:
                answer = self._understood(response, is_read=is_read)
                if response.status_code not in TRANSIENT and answer is not None:
                    return self._definite(what, response.status_code, answer)
                trouble = f"HTTP {response.status_code}" + ("" if answer is not None else ", not an answer of the API")
                was_sent = response.status_code != 429
                wait = _retry_after(response, self.clock.now())
            if wait is None:
                wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** (attempt - 1)) * random.uniform(0.5, 1)
            self._not_before = self.clock.now() + wait
            if method == "POST" and was_sent and not is_read:
                raise OutcomeUnknown(self.redact(f"{what}: {trouble}; it may have been done"))
        raise Unavailable(self.redact(f"{what}: {trouble}, {_ATTEMPTS} times"))


def _retry_after(response: httpx.Response, now: float) -> float | None:
    """Seconds; None when the header is absent or unreadable."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
