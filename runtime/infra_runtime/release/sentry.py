"""Reports releases to Sentry, so that Sentry shows which release brought an error.

Paths, methods and bodies are those of the vendor's own command line (npm, @sentry/cli 3.8.0), which the tests run
against the same simulator.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from infra_runtime.contract.releases import RELEASE_TAG
from infra_runtime.release.ledger import Release
from infra_runtime.vendor_api import BadCredentials, Clock, NotFound, Pace, Refused, VendorApi

_BASE_URL = "https://sentry.io"
# The tag of service-release.yml: commit, run and attempt. The build knows the release by its commit.
_BUILD = re.compile(r"^([0-9a-f]{40})-\d+-\d+$")


def version_of(service: str, image: str, tags: Iterable[str] = ()) -> str:
    """Sentry's name of a release: SENTRY_RELEASE of its tasks, or of its image's build when one of `tags` says so.

    A version may hold no slash, which an image does.
    """
    built = sorted(_BUILD.sub(r"\1", each.removeprefix(RELEASE_TAG)) for each in tags if each.startswith(RELEASE_TAG))
    return f"{service}@{built[0] if built else image.partition('@sha256:')[2]}"


@dataclass(kw_only=True)
class SentryApi(VendorApi):
    token: str = field(repr=False)
    organization: str
    base_url: str = _BASE_URL
    pace: Pace = field(default_factory=lambda: Pace(Clock(), rate=2, burst=10), repr=False)

    def deployed(self, release: Release, *, version: str, project: str, environment: str) -> None:
        """Reports a release that has ended. May be called twice. Raises what `VendorApi` raises."""
        at = f"/api/0/organizations/{self.organization}/releases/"
        self._ask("POST", at, body={"version": version, "projects": [project], "dateStarted": release.began})
        self._ask("PUT", f"{at}{version}/", body={"projects": [project], "dateReleased": release.ended})
        deploy = {"environment": environment, "name": release.id}
        dates = {"dateStarted": release.began, "dateFinished": release.ended}
        self._ask("POST", f"{at}{version}/deploys/", body=deploy | dates)

    def _authorization(self) -> str:
        return f"Bearer {self.token}"

    def _understood(self, response: httpx.Response, *, is_read: bool) -> Any:  # noqa: ARG002  (nothing is read)
        try:
            return response.json()
        except ValueError:
            return None

    def _definite(self, what: str, status: int, answer: Any) -> Any:
        if status < 400:
            return answer
        detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
        hint = " (may the token release, in this organization?)" if status in (401, 403) else ""
        raise (NotFound if status == 404 else Refused)(f"{what}: HTTP {status}: {str(detail)[:200]}{hint}")


def sentry_from(secret: str, *, organization: str, deadline: float) -> SentryApi:
    """`secret` is the secret's value: JSON with `token`, and `url` unless it is sentry.io. Raises `BadCredentials`."""
    try:
        found = json.loads(secret)
        token, url = found["token"], found.get("url", _BASE_URL)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadCredentials("the secret for Sentry holds no JSON with token; see docs/sentry.md") from None
    return SentryApi(
        token=token,
        organization=organization,
        base_url=str(url).rstrip("/"),
        deadline=deadline,
        redact=lambda text: text.replace(token, "********"),
    )
