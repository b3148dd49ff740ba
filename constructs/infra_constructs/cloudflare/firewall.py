"""Firewall: blocks requests that no user of this product makes, and limits the rate of others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra_constructs.cloudflare.provider import CloudflareProvider
from infra_constructs.cloudflare.rules import PhaseRules, Rule, host_is, hosts_are
from infra_runtime.contract.check_targets import PASS_HEADER
from infra_runtime.contract.cloudflare_phases import CUSTOM_WAF, RATE_LIMIT, SUPER_BOT_FIGHT_MODE
from infra_runtime.contract.secret_values import REFERENCE, TEXT

# Nothing here is PHP or serves configuration files: only scanners request these.
_PROBED = ("/.git", "/.env", "/.aws", "/wp-admin", "/wp-login", "/phpmyadmin", "/xmlrpc.php", "/etc/passwd")


@dataclass(frozen=True, kw_only=True)
class RateLimitProps:
    """At most `requests` of one address in `period_seconds`, then none for `block_seconds`."""

    host: str
    path: str
    requests: int
    period_seconds: int
    block_seconds: int


@dataclass(frozen=True, kw_only=True)
class FirewallProps:
    """What an environment may choose, and what its plan can do."""

    sites: Sequence[str]
    apis: Sequence[str]
    """Those of previews included."""
    previewed_sites: Sequence[str]
    media: str
    analytics_path: str | None
    """Path to which browsers send analytics events on each site; None without analytics."""
    rate_limits: Mapping[str, RateLimitProps]
    """Rate limits by name."""
    rate_limits_name_the_host: bool
    bots_are_challenged: bool
    """Whether Super Bot Fight Mode is on, which must not challenge API clients or media requests."""


class Firewall(Construct):
    """Custom rules in order: first blocks, then exceptions from the bot challenge."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        provider: CloudflareProvider,
        check_pass: secretsmanager.ISecret,
        adopt: bool,
        props: FirewallProps,
    ) -> None:
        super().__init__(scope, id_)
        check_pass.grant_read(provider.handler.role)
        rules = _custom(props, check_pass=check_pass)
        PhaseRules(self, "Custom", provider=provider, phase=CUSTOM_WAF, adopt=adopt, rules=rules)
        if props.rate_limits:
            PhaseRules(
                self,
                "RateLimits",
                provider=provider,
                phase=RATE_LIMIT,
                adopt=adopt,
                rules=[_limit(name, each, props) for name, each in props.rate_limits.items()],
            )


def _custom(props: FirewallProps, *, check_pass: secretsmanager.ISecret) -> Sequence[Rule]:
    ours = hosts_are([*props.sites, *props.apis, props.media, *props.previewed_sites])
    probed = " or ".join(f'lower(http.request.uri.path) contains "{each}"' for each in _PROBED)
    rules = [
        Rule(
            name="scanners",
            description="Paths that only scanners ask for",
            expression=f"({ours}) and ({probed})",
            action="block",
        ),
        Rule(
            name="media-is-read-only",
            description="Media is read, never written, through this name",
            expression=f'({host_is(props.media)}) and not (http.request.method in {{"GET" "HEAD" "OPTIONS"}})',
            action="block",
        ),
    ]
    if props.bots_are_challenged:
        # Super Bot Fight Mode spares static files by their suffix only: `avif`, `mp4` and `webm` are not on its list
        # (Cloudflare's documentation, "Static resource protection"), nor are names without one.
        unseen = [f"({hosts_are([*props.apis, props.media])})"]
        if props.analytics_path is not None:
            sites = hosts_are(props.sites)
            unseen.append(f'({sites} and starts_with(http.request.uri.path, "{props.analytics_path}/"))')
        rules.append(
            Rule(
                name="programs",
                description="No page to solve a challenge on: the API, media, analytics. All other rules apply",
                expression=" or ".join(unseen),
                action="skip",
                parameters={"phases": [SUPER_BOT_FIGHT_MODE]},
                # Otherwise each such request would count as a security event.
                logs=False,
            )
        )
    if props.bots_are_challenged and props.sites:
        shown = f'any(http.request.headers["{PASS_HEADER}"][*] eq "'
        rules.append(
            Rule(
                name="own-checks",
                description="Our own checks of the site, each minute",
                expression={
                    TEXT: [f"({hosts_are(props.sites)}) and {shown}", {REFERENCE: check_pass.secret_arn}, '")']
                },
                action="skip",
                parameters={"phases": [SUPER_BOT_FIGHT_MODE]},
                logs=False,
            )
        )
    return rules


def _limit(name: str, limit: RateLimitProps, props: FirewallProps) -> Rule:
    path = f'starts_with(http.request.uri.path, "{limit.path}")'
    return Rule(
        name=name,
        description=f"{limit.requests} requests in {limit.period_seconds} s to {limit.path}",
        expression=f"({host_is(limit.host)}) and {path}" if props.rate_limits_name_the_host else path,
        action="block",
        rate_limit={
            # The API requires this characteristic: Cloudflare counts in each of its locations separately.
            "characteristics": ["ip.src", "cf.colo.id"],
            "period": limit.period_seconds,
            "requests_per_period": limit.requests,
            "mitigation_timeout": limit.block_seconds,
        },
    )
