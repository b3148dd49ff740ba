"""Upstash's Developer API, as far as databases are made, changed and deleted by it.

Paths, methods and bodies are those of the vendor's own command line (npm, @upstash/cli 1.0.2), which the tests run
against the same simulator. No limit of requests is published: the pace is one that a person would not exceed either.
"""

import base64
import json
import os
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra_runtime.contract.secret_values import Secrets
from infra_runtime.vendor_api import BadCredentials, Clock, NotFound, Pace, Refused, VendorApi

_BASE_URL = "https://api.upstash.com"


@dataclass(kw_only=True)
class UpstashApi(VendorApi):
    email: str
    api_key: str = field(repr=False)
    base_url: str = _BASE_URL
    pace: Pace = field(default_factory=lambda: Pace(Clock(), rate=2, burst=20), repr=False)

    def databases(self) -> list[dict[str, Any]]:
        """All databases of the account. Raises what `VendorApi` raises."""
        found: list[dict[str, Any]] = self._ask("GET", "/v2/redis/databases")
        return found

    def database(self, identity: str) -> dict[str, Any]:
        """One, with its password. Raises `NotFound`."""
        found: dict[str, Any] = self._ask("GET", f"/v2/redis/database/{identity}")
        return found

    def statistics(self, identity: str) -> dict[str, Any]:
        """Series of points, by name."""
        found: dict[str, Any] = self._ask("GET", f"/v2/redis/stats/{identity}")
        return found

    def create(self, *, name: str, region: str, read_regions: list[str]) -> dict[str, Any]:
        """Raises `OutcomeUnknown` when it may have been made."""
        body = {
            "database_name": name,
            "region": "global",
            "primary_region": region,
            "read_regions": read_regions,
        }
        found: dict[str, Any] = self._ask("POST", "/v2/redis/database", body=body)
        return found

    def set_read_regions(self, identity: str, regions: list[str]) -> None:
        self._ask("POST", f"/v2/redis/update-regions/{identity}", body={"read_regions": regions})

    def enable_tls(self, identity: str) -> None:
        self._ask("POST", f"/v2/redis/enable-tls/{identity}")

    def set_eviction(self, identity: str, *, on: bool) -> None:
        self._ask("POST", f"/v2/redis/{'enable' if on else 'disable'}-eviction/{identity}")

    def delete(self, identity: str) -> None:
        """A missing database counts as deleted."""
        try:
            self._ask("DELETE", f"/v2/redis/database/{identity}")
        except NotFound:
            return

    def _authorization(self) -> str:
        return "Basic " + base64.b64encode(f"{self.email}:{self.api_key}".encode()).decode()

    def _understood(self, response: httpx.Response, *, is_read: bool) -> Any:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        if 400 <= response.status_code < 500:
            # Its refusals are sometimes plain text.
            return answer if isinstance(answer, dict) else {"error": answer or response.text[:200]}
        return answer if isinstance(answer, dict | list) or not is_read else None

    def _definite(self, what: str, status: int, answer: Any) -> Any:
        if status < 400:
            return answer
        text = answer.get("error") or answer.get("message")
        hint = " (are e-mail address and API key right, and of the right team?)" if status in (401, 403) else ""
        kind = NotFound if status == 404 else Refused
        raise kind(self.redact(f"{what}: HTTP {status}: {text or 'no reason given'}{hint}"))


def upstash_from(secrets: Secrets, identity: str, *, deadline: float) -> UpstashApi:
    """Speaks for the account whose credentials the secret holds. Raises `BadCredentials`."""
    try:
        found = json.loads(secrets.read(identity))
        email, api_key = found["email"], found["api_key"]
    except (ValueError, TypeError, KeyError):
        raise BadCredentials(f'the secret {identity} is not JSON with "email" and "api_key"') from None
    if not all(isinstance(each, str) and each.isascii() and each.strip() == each != "" for each in (email, api_key)):
        raise BadCredentials(f"the secret {identity} holds an e-mail address or an API key that can be none")
    secrets.known.add(api_key)
    # Set by a rehearsal, and by no template.
    base_url = os.environ.get("UPSTASH_BASE_URL", _BASE_URL).rstrip("/")
    return UpstashApi(email=email, api_key=api_key, deadline=deadline, base_url=base_url, redact=secrets.redact)
