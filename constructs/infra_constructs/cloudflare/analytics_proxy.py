"""A path of each site that leads to PostHog: a Worker, and the routes to it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider
from infra_runtime.contract.cloudflare_workers import COMPATIBILITY_DATE

ANALYTICS_PATH = "/ingest"
_SCRIPT = Path(__file__).with_name("analytics_proxy.mjs")


class AnalyticsProxy(Construct):
    """What users do goes to PostHog by the site's own name (docs/posthog.md)."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: CloudflareProvider,
        sites: Sequence[str],
        region: Literal["eu", "us"],
        adopt: bool,
    ) -> None:
        super().__init__(scope, id_)
        provider.declare(
            self,
            "Worker",
            kind="worker",
            name="analytics-proxy",
            adopt=adopt,
            script=_SCRIPT.read_text(),
            compatibility_date=COMPATIBILITY_DATE,
            variables={
                "PREFIX": ANALYTICS_PATH,
                "EVENTS": f"https://{region}.i.posthog.com",
                "ASSETS": f"https://{region}-assets.i.posthog.com",
            },
            patterns=[f"{site}{ANALYTICS_PATH}/*" for site in sites],
        )
