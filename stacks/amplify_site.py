"""A site that AWS Amplify hosts."""

from dataclasses import dataclass

import aws_cdk as cdk

from config import Environment
from config.services import ON_AMPLIFY
from infra_constructs.alarms.events import SiteBuildEvents
from infra_constructs.amplify import AmplifyProps, AmplifySite
from infra_constructs.amplify_domain import AmplifyDomain, AmplifyDomainProps
from infra_constructs.cloudflare.provider import CloudflareToken
from infra_constructs.media import grant_application
from stacks.base import EnvironmentStack
from stacks.data import DataExports
from stacks.platform import PlatformExports
from stacks.settings import media_variables, site_variables


@dataclass(frozen=True, kw_only=True)
class AmplifySiteExports:
    """What later stacks take from this one."""

    origin: str
    """Target of the site's proxied DNS record."""


class AmplifySiteStack(EnvironmentStack):
    """Amplify builds and deploys the site at every push to its repository, without `infra release`."""

    def __init__(
        self,
        scope: cdk.Stage,
        id_: str,
        *,
        environment: Environment,
        service: str,
        data: DataExports,
        platform: PlatformExports,
    ) -> None:
        super().__init__(
            scope,
            id_,
            environment=environment,
            description=f"{service}: a site on Amplify",
            called=f"{service}{ON_AMPLIFY}",
        )
        own = environment.services[service]
        amplify, host = own.amplify, own.host
        assert amplify is not None and host is not None, "config.rules requires it"
        variables = dict(site_variables(environment, self.environment_name, service))
        if "media" in own.needs:
            variables |= media_variables(environment, data)
        site = AmplifySite(
            self,
            "Amplify",
            variables=variables,
            props=AmplifyProps(
                repository_url=f"https://github.com/{amplify.repository}",
                branch=amplify.branch,
                access_token_secret=amplify.access_token_secret,
                release=service if own.sentry is not None else None,
            ),
        )
        if "media" in own.needs:
            grant_application(data.media, site.compute_role)
        SiteBuildEvents(self, "BuildEvents", app_id=site.app_id, topics=platform.topics)
        domain = AmplifyDomain(
            self,
            "Domain",
            site=site,
            token=CloudflareToken(self, name=environment.cloudflare.token_secret),
            owner=self.environment_name,
            props=AmplifyDomainProps(
                service=service, host=host, zone=environment.domains.zone, adopt=environment.cloudflare.adopt
            ),
        )
        self.exports = AmplifySiteExports(origin=domain.target)
