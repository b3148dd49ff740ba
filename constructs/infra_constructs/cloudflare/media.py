"""Media from a private bucket, and the sites' static files. Cloudflare caches media for a month and browsers for a
week, unless its prefix has another TTL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider
from infra_constructs.cloudflare.rules import PhaseRules, Rule, host_is, hosts_are
from infra_runtime.contract.cloudflare_phases import CACHE, LATE_TRANSFORM
from infra_runtime.contract.secret_values import REFERENCE

EDGE_SECONDS = 30 * 24 * 3600
BROWSER_SECONDS = 7 * 24 * 3600
# `override_origin` holds for errors, too (SSWConsulting/SSW.Website #4965): S3's 403 while the User-Agent rotates would
# be served for a month. -1 is "no-store" (cloudflare-docs, configure-cache-status-code.mdx; every plan).
_ERRORS_ARE_NOT_KEPT = {"status_code_range": {"from": 400, "to": 599}, "value": -1}
# The path of Next.js's static files, and so their prefix in the bucket. Their own Cache-Control says how long to cache.
STATIC = "_next/static/"


@dataclass(frozen=True, kw_only=True)
class MediaHostProps:
    """What an environment may choose."""

    host: str
    sites: Sequence[str]
    """Hosts of the sites whose static files are also in the bucket."""
    bucket: str
    region: str
    ttl_seconds: Mapping[str, int]
    """TTL at the edge and in browsers, by prefix. No prefix begins with another one."""
    quarantine: str | None
    """Prefix of uploads that are not scanned yet; Cloudflare must not read it."""

    @property
    def origin(self) -> str:
        """The IPv4 endpoint: over IPv6, the bucket's policy could not name the addresses of Cloudflare."""
        return f"{self.bucket}.s3.{self.region}.amazonaws.com"

    @property
    def prefixes_by_ttl(self) -> Mapping[int, Sequence[str]]:
        """Prefixes that share a TTL share a rule: plans limit the number of rules. Sorted."""
        return {
            seconds: sorted(prefix for prefix, each in self.ttl_seconds.items() if each == seconds)
            for seconds in sorted(set(self.ttl_seconds.values()))
        }

    @property
    def static(self) -> str | None:
        """Expression for the static files of every release, so that pages of an old release still find theirs."""
        if not self.sites:
            return None
        return f'{hosts_are(self.sites)} and starts_with(http.request.uri.path, "/{STATIC}")'

    @property
    def from_bucket(self) -> str:
        return host_is(self.host) if self.static is None else f"({host_is(self.host)}) or ({self.static})"


class MediaEdge(Construct):
    """Cloud Connector to S3, the secret user agent that the bucket asks for, and the cache."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: CloudflareProvider,
        user_agent: secretsmanager.ISecret,
        adopt: bool,
        props: MediaHostProps,
    ) -> None:
        super().__init__(scope, id_)
        user_agent.grant_read(provider.handler.role)
        self.user_agent_rule = PhaseRules(
            self,
            "UserAgent",
            provider=provider,
            phase=LATE_TRANSFORM,
            adopt=adopt,
            rules=[
                Rule(
                    name="media-user-agent",
                    description="The secret that the media bucket asks for",
                    expression=props.from_bucket,
                    action="rewrite",
                    parameters={
                        "headers": {"User-Agent": {"operation": "set", "value": {REFERENCE: user_agent.secret_arn}}}
                    },
                )
            ],
        ).resource
        PhaseRules(
            self,
            "Cache",
            provider=provider,
            phase=CACHE,
            adopt=adopt,
            rules=[
                Rule(
                    name="media-cache",
                    description="Media: a month at the edge, a week in browsers",
                    expression=host_is(props.host),
                    action="set_cache_settings",
                    parameters={
                        # Cloudflare caches AVIF by default, but only with its suffix, which our keys may lack.
                        "cache": True,
                        # S3 sends no Cache-Control of its own.
                        "edge_ttl": _at_edge(EDGE_SECONDS),
                        "browser_ttl": {"mode": "override_origin", "default": BROWSER_SECONDS},
                        "cache_key": {
                            "cache_deception_armor": True,
                            # S3 ignores the query, so `?x=RANDOM` would fetch and cache the same object again.
                            "custom_key": {"query_string": {"exclude": {"all": True}}},
                        },
                    },
                ),
                # The last matching rule that sets a value wins; the cache key stays that of the first rule
                # (cloudflare-docs, cache/how-to/cache-rules/order).
                *(
                    Rule(
                        name=f"media-ttl-{seconds}",
                        description=f"Media that changes under the same name: {seconds} s",
                        expression=f"{host_is(props.host)} and ({_begins_with(prefixes)})",
                        action="set_cache_settings",
                        parameters={
                            "cache": True,
                            "edge_ttl": _at_edge(seconds),
                            "browser_ttl": {"mode": "override_origin", "default": seconds},
                        },
                    )
                    for seconds, prefixes in props.prefixes_by_ttl.items()
                ),
            ],
        )
        # Last, because requests reach the bucket from here on.
        provider.declare(
            self,
            "Connector",
            kind="connector",
            name="media",
            adopt=adopt,
            entries=[
                {"name": "media", "expression": host_is(props.host), "host": props.origin},
                *([{"name": "static", "expression": props.static, "host": props.origin}] if props.static else []),
            ],
        )


def _at_edge(seconds: int) -> dict[str, Any]:
    return {"mode": "override_origin", "default": seconds, "status_code_ttl": [_ERRORS_ARE_NOT_KEPT]}


def _begins_with(prefixes: Sequence[str]) -> str:
    return " or ".join(f'starts_with(http.request.uri.path, "/{each}")' for each in prefixes)
