"""Everything at Cloudflare: DNS, cache, firewall, TLS, and the functions that keep them as declared."""

from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk

from config import Environment, previews, services
from config.model import Owasp
from config.plans import PLANS
from infra_constructs import media_quarantine
from infra_constructs.alarms.edge import RotationAlarms
from infra_constructs.cloudflare.analytics_proxy import ANALYTICS_PATH, AnalyticsProxy
from infra_constructs.cloudflare.drift import DriftCheck
from infra_constructs.cloudflare.firewall import Firewall, FirewallProps, RateLimitProps
from infra_constructs.cloudflare.managed_rules import ManagedRules, OwaspExceptionProps, OwaspExceptions, OwaspProps
from infra_constructs.cloudflare.media import STATIC, MediaEdge, MediaHostProps
from infra_constructs.cloudflare.media_purge import MediaPurge
from infra_constructs.cloudflare.media_worker import MediaWorker
from infra_constructs.cloudflare.notifications import Notifications
from infra_constructs.cloudflare.provider import CloudflareProvider, CloudflareToken
from infra_constructs.cloudflare.records import ProxiedName, ProxiedNames
from infra_constructs.cloudflare.redirects import Redirects
from infra_constructs.cloudflare.rotation import UserAgentRotation
from infra_constructs.cloudflare.zone_settings import ZoneSettings
from infra_constructs.function import RuntimeFunction
from stacks.amplify_site import AmplifySiteExports
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.platform import PlatformExports


@dataclass(frozen=True, kw_only=True)
class EdgeExports:
    """What later stacks take from this one."""

    drift: RuntimeFunction
    purge: MediaPurge


class EdgeStack(EnvironmentStack):
    """Rules before DNS records: users reach the product only once its protection is in place."""

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        data: DataExports,
        platform: PlatformExports,
        on_amplify: Mapping[str, AmplifySiteExports],
    ) -> None:
        super().__init__(scope, id_, environment=environment, description="DNS, cache, WAF and bots at Cloudflare")
        settings, domains, provider = environment.cloudflare, environment.domains, platform.cloudflare
        plan = PLANS[settings.plan]
        if settings.zone is not None:
            self._zone(environment, provider)
        elif plan.managed_waf:
            OwaspExceptions(
                self, "OwaspExceptions", provider=provider, adopt=settings.adopt, exceptions=_programs(environment)
            )
        Firewall(
            self,
            "Firewall",
            provider=provider,
            check_pass=platform.check_pass,
            adopt=settings.adopt,
            props=FirewallProps(
                sites=services.public_hosts(environment, sites=True),
                apis=services.public_hosts(environment, sites=False) + _previewed(environment, sites=False),
                previewed_sites=_previewed(environment, sites=True),
                media=domains.media,
                analytics_path=ANALYTICS_PATH if environment.posthog is not None else None,
                rate_limits={
                    name: RateLimitProps(
                        host=services.hosts(environment)[each.service],
                        path=each.path,
                        requests=each.requests,
                        period_seconds=each.period_seconds,
                        block_seconds=each.block_seconds,
                    )
                    for name, each in settings.rate_limits.items()
                },
                rate_limits_name_the_host=plan.rate_limit_by_host,
                bots_are_challenged=plan.super_bot_fight_mode,
            ),
        )
        media = MediaHostProps(
            host=domains.media,
            sites=services.hosts_with_static_files(environment),
            bucket=environment.media.bucket,
            region=environment.aws.region,
            ttl_seconds=environment.media.ttl_seconds,
            quarantine=environment.media.quarantine,
        )
        token = CloudflareToken(self, name=settings.token_secret)
        secret = data.media_access.secret
        if environment.media.origin == "worker":
            rotation = MediaWorker(
                self,
                "MediaWorker",
                provider=provider,
                token=token,
                store=self.edge_store,
                bucket=data.media,
                key=secret,
                adopt=settings.adopt,
                props=media,
            ).rotation
        else:
            edge = MediaEdge(self, "Media", provider=provider, user_agent=secret, adopt=settings.adopt, props=media)
            rotation = UserAgentRotation(
                self,
                "UserAgentRotation",
                token=token,
                store=self.edge_store,
                user_agent=secret,
                bucket=data.media,
                rule=edge.user_agent_rule,
                quarantine=media_quarantine.variables(
                    environment.media.quarantine, account=self.account, stack=self.stack_called("data")
                ),
            ).handler
        purge = MediaPurge(
            self,
            "MediaPurge",
            token=token,
            zone=domains.zone,
            host=domains.media,
            bucket=environment.media.bucket,
            # Names of static files change with their content: no purge needed.
            spared=STATIC if media.sites else None,
        )
        if environment.posthog is not None:
            AnalyticsProxy(
                self,
                "AnalyticsProxy",
                provider=provider,
                sites=services.public_hosts(environment, sites=True),
                region=environment.posthog.region,
                adopt=settings.adopt,
            )
        hosts = services.hosts(environment)
        redirects = {host: hosts[service] for host, service in domains.redirects.items()}
        balancer = platform.load_balancer.balancer.load_balancer_dns_name
        names = [
            ProxiedName(name="media", host=domains.media, origin=media.origin),
            *(
                ProxiedName(name=name, host=each.host, origin=balancer)
                for name, each in services.load_balanced(environment).items()
                if each.host is not None
            ),
            *(ProxiedName(name=name, host=hosts[name], origin=each.origin) for name, each in on_amplify.items()),
        ]
        names += [
            ProxiedName(name=f"preview-{slot}-{service}", host=host, origin=balancer)
            for slot in previews.slots(environment)
            for service, host in previews.hosts(environment, slot).items()
        ]
        names += [ProxiedName(name=f"redirect-{host}", host=host, origin=to) for host, to in redirects.items()]
        ProxiedNames(self, "Names", provider=provider, names=names, adopt=settings.adopt)
        if redirects:
            # Redirects come after the DNS records that they point to.
            Redirects(self, "Redirects", provider=provider, redirects=redirects, adopt=settings.adopt)
        drift = DriftCheck(
            self,
            "Drift",
            token=token,
            store=self.edge_store,
            environment=self.environment_name,
            secrets=[secret, platform.check_pass],
        )
        RotationAlarms(self, "RotationAlarms", rotation=rotation.function, topics=platform.topics)
        self.exports = EdgeExports(drift=drift.handler, purge=purge)

    def _zone(self, environment: Environment, provider: CloudflareProvider) -> None:
        """Zone-wide settings, which this environment sets for all that share the zone."""
        settings = environment.cloudflare
        assert settings.zone is not None
        plan, owasp = PLANS[settings.plan], settings.zone.owasp
        ZoneSettings(
            self,
            "Zone",
            provider=provider,
            super_bot_fight_mode=plan.super_bot_fight_mode,
            acts_on_likely_bots=plan.acts_on_likely_bots,
        )
        ManagedRules(
            self,
            "ManagedRules",
            provider=provider,
            adopt=settings.adopt,
            owasp=None
            if owasp is None
            else OwaspProps(
                paranoia=owasp.paranoia,
                threshold=owasp.threshold,
                action=owasp.action,
                exceptions=_exceptions(environment, owasp),
            ),
            ddos_sensitivity=settings.zone.ddos_sensitivity,
        )
        Notifications(
            self,
            "Notifications",
            provider=provider,
            emails=environment.alarms.critical.email,
            zone=environment.domains.zone,
            counts_origin_errors=plan.name == "enterprise",
        )


def _exceptions(environment: Environment, owasp: Owasp) -> dict[str, OwaspExceptionProps]:
    """The configured exceptions, after those for programs if OWASP's action is a challenge."""
    programs = _programs(environment) if owasp.action == "managed_challenge" else {}
    chosen = {
        f"chosen-{name}": OwaspExceptionProps(hosts=[each.host], path=each.path, rules=each.rules)
        for name, each in owasp.exceptions.items()
    }
    return programs | chosen


def _programs(environment: Environment) -> dict[str, OwaspExceptionProps]:
    """Exceptions for programs, which cannot solve a challenge: APIs, their previews, the sites' analytics path."""
    found = {}
    if apis := services.public_hosts(environment, sites=False):
        found["api"] = OwaspExceptionProps(hosts=[*apis, *_previewed(environment, sites=False)], path="/")
    if environment.posthog is not None:
        found["analytics"] = OwaspExceptionProps(
            hosts=services.public_hosts(environment, sites=True), path=f"{ANALYTICS_PATH}/"
        )
    return found


def _previewed(environment: Environment, *, sites: bool) -> list[str]:
    hosts = [previews.hosts(environment, slot) for slot in previews.slots(environment)]
    return [host for each in hosts for name, host in each.items() if environment.services[name].site is sites]
