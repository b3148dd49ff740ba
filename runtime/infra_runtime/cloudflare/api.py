"""Cloudflare's API v4: its envelope, its pages, its limit of requests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra_runtime.vendor_api import Clock, NotFound, Pace, Refused, VendorApi

BASE_URL = "https://api.cloudflare.com/client/v4"

# Cloudflare allows 1,200 requests in five minutes to each user, over all tokens ("API rate limits"; read 2026-11):
# a burst and five minutes of the sustained rate are 1,150.
REQUESTS_PER_SECOND = 3.5
_BURST = 100
# Client certificates and their host names that do not exist, with any status (alchemy's live tests).
_NOT_FOUND = frozenset({1551, 1552, 1553})
# Zones come in pages of at most 50.
_PAGE = 50


def new_pace(clock: Clock | None = None) -> Pace:
    return Pace(clock or Clock(), rate=REQUESTS_PER_SECOND, burst=_BURST)


@dataclass(kw_only=True)
class Api(VendorApi):
    """Uses the environment's token."""

    token: str = field(repr=False)
    base_url: str = BASE_URL
    pace: Pace = field(default_factory=new_pace, repr=False)

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

    def write(self, method: str, path: str, body: Any = None, *, may_repeat: bool = False) -> Any:
        """What Cloudflare says it did, which may be None. Raises `OutcomeUnknown` besides what `get` raises.

        With `may_repeat`, a POST whose answer is lost is sent again: doing it twice changes nothing more.
        """
        return self._ask(method, path, body=body, is_read=True if may_repeat else None)["result"]

    def upload(self, method: str, path: str, files: Mapping[str, Any]) -> Any:
        """As `write`, of a form with parts."""
        return self._ask(method, path, files=files)["result"]

    def delete(self, path: str) -> None:
        """A missing object counts as deleted: by another person, or by our own call whose answer was lost."""
        try:
            self.write("DELETE", path)
        except NotFound:
            return

    def _authorization(self) -> str:
        return f"Bearer {self.token}"

    def _understood(self, response: httpx.Response, *, is_read: bool) -> Any:
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

    def _definite(self, what: str, status: int, answer: Any) -> Any:
        if status < 400 and answer.get("success") is True:
            return answer
        errors = [each for each in answer.get("errors") or [] if isinstance(each, dict)]
        text = "; ".join(_message(each) for each in errors) or "no reason given"
        hint = " (is the token still valid, and does it have the permission?)" if status in (401, 403) else ""
        codes = {each["code"] for each in errors if isinstance(each.get("code"), int)}
        kind = NotFound if status == 404 or codes & _NOT_FOUND else Refused
        raise kind(self.redact(f"{what}: HTTP {status}: {text}{hint}"), codes=codes)


def _message(error: Mapping[str, Any]) -> str:
    where = (error.get("source") or {}).get("pointer", "")
    chain = "".join(f" > {_message(each)}" for each in error.get("error_chain") or [] if isinstance(each, dict))
    return f"{error.get('code', '?')}: {error.get('message', '')}{f' (at {where})' if where else ''}{chain}"
